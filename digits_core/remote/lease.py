"""A lease on a run elsewhere: whoever holds it may change the run there.

It is a small file beside the run, made and renewed by conditional writes, so that of many who try at once exactly one
succeeds. Its holder renews it by a heartbeat; two minutes after the last one it is over. Machines' clocks need agree
only within a minute, and only that decides how long to wait: a holder that was taken for dead notices at its next
renewal, and a run's manifest is written conditionally as well.
"""

import dataclasses
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.bucket import Bucket, Conflict, Version

FILE_NAME = "lease.json"
SECONDS_BETWEEN_HEARTBEATS = 20.0
SECONDS_WITHOUT_LIFE = 120.0


class LeaseLost(EnvironmentFailure):
    """Another process has taken the run over."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lease."""

    token: str
    host: str
    process: int
    since: float  # seconds since 1970
    alive_at: float  # last heartbeat, by the holder's clock
    is_over: bool = False

    @property
    def lives(self) -> bool:
        """Whether its last heartbeat is recent."""
        return not self.is_over and abs(time.time() - self.alive_at) < SECONDS_WITHOUT_LIFE

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that has ended."""
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return self.host == socket.gethostname()
        except (OSError, OverflowError):
            return False
        return False

    @property
    def text(self) -> str:
        """Who holds it and since when."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        silent = max(0.0, time.time() - self.alive_at)
        return f"process {self.process} on {self.host} has held it since {since}, last heartbeat {silent:.0f} s ago"


def holder_of(bucket: Bucket, run: str) -> Holder | None:
    """Who holds the lease on a run; None if nobody does."""
    found, _ = _read(bucket, run)
    return found if found is not None and found.lives else None


def _read(bucket: Bucket, run: str) -> tuple[Holder | None, Version | None]:
    stored = bucket.read(f"{run}/{FILE_NAME}")
    if stored is None:
        return None, None
    try:
        values = json.loads(stored.content)
        holder = Holder(
            token=str(values["token"]), host=repr(str(values["host"]))[1:-1], process=int(values["process"]),
            since=float(values["since"]), alive_at=float(values["alive_at"]), is_over=bool(values["is_over"]),
        )  # fmt: skip
        _ = holder.text
    except (ValueError, TypeError, LookupError, OverflowError, OSError):
        return None, stored.version  # no driver wrote this: it may be replaced
    return holder, stored.version


class Lease:
    """A lease that this process holds."""

    def __init__(self, bucket: Bucket, run: str, take_over: bool = False, *, left: str = "") -> None:
        """Acquire it. Raises UsageError, naming the holder, if somebody else has it; `take_over` takes it from them.

        `left`: the token of the lease under which this folder was last pushed, whose holder could not give it back if
        the bucket was out of reach at its end.
        """
        self.bucket, self.run, self.lock = bucket, run, threading.Lock()
        theirs, version = _read(bucket, run)
        is_left = theirs is not None and theirs.token == left and theirs.is_gone
        if theirs is not None and theirs.lives and not take_over and not is_left:
            raise self._taken(theirs)
        now = time.time()
        self.holder = Holder(
            token=secrets.token_hex(8), host=socket.gethostname(), process=os.getpid(), since=now, alive_at=now
        )
        self.version = version
        try:
            self._write(self.holder)
        except LeaseLost:
            raise self._taken(_read(bucket, run)[0]) from None

    def _taken(self, theirs: Holder | None) -> UsageError:
        """Return (not raise) the error that names the holder."""
        who = "another process has just taken it" if theirs is None else theirs.text
        return UsageError(
            f"{self.run!r} is in use at {self.bucket.address}: {who}; wait for it, or use --take-over if that machine"
            " is lost"
        )

    def _write(self, holder: Holder) -> None:
        content = json.dumps(dataclasses.asdict(holder)).encode()
        try:
            self.version = self.bucket.write_if(f"{self.run}/{FILE_NAME}", content, self.version)
        except Conflict:
            theirs, version = _read(self.bucket, self.run)  # an answer that was lost on its way made us write twice
            if theirs is None or theirs.token != holder.token:
                raise LeaseLost(
                    f"another process has taken over {self.run!r} at {self.bucket.address}; nothing more of it is sent"
                    " from here"
                ) from None
            self.version = version
        self.holder = holder

    def renew(self) -> None:
        """A heartbeat. Raises LeaseLost if somebody else has the lease by now."""
        self._write(dataclasses.replace(self.holder, alive_at=time.time()))

    def keep(self) -> None:
        """A heartbeat, if it is due. For any thread of a long push."""
        with self.lock:
            if time.time() - self.holder.alive_at > SECONDS_BETWEEN_HEARTBEATS:
                self.renew()

    def release(self) -> None:
        """Give it back."""
        self._write(dataclasses.replace(self.holder, is_over=True))
