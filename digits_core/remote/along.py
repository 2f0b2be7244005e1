"""`--push ADDRESS`: sends a run while a command grows it.

A thread pushes whenever a trial has ended and, with every heartbeat of the lease, what is in progress. A place that
cannot be reached is tried again; the end of the command says what was not sent.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.bucket import Bucket
from digits_core.remote.copies import check_place, check_push, lease_on, push
from digits_core.remote.lease import SECONDS_BETWEEN_HEARTBEATS, Lease, LeaseLost
from digits_core.remote.manifest import Files, is_there
from digits_core.runs.command_line import digits_command, runs_option
from digits_core.runs.journal import FILE_NAME as JOURNAL

SECONDS_BETWEEN_LOOKS = 2.0
NOT_WHILE_RUNNING = ("study.db", "report.html")  # a database is complete only once it is closed


class Sender:
    """Pushes one run from a thread."""

    def __init__(self, bucket: Bucket, files: Files, lease: Lease) -> None:
        self.bucket, self.files, self.lease = bucket, files, lease
        self.lost: LeaseLost | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._send_along, name="pushes the run", daemon=True)

    def push(self, but: tuple[str, ...] = ()) -> None:
        """Push now, if there is anything to push yet."""
        if (self.files.folder / "sweep.json").is_file():
            push(self.bucket, self.files, self.lease, but=but)

    def _send_along(self) -> None:
        sent_at, ended = time.monotonic(), 0
        while not self.over.wait(SECONDS_BETWEEN_LOOKS):
            try:
                is_due, count = time.monotonic() - sent_at > SECONDS_BETWEEN_HEARTBEATS, self._ended_count()
                if not is_due and count == ended:
                    continue
                if is_due:
                    self.lease.renew()
                self.push(NOT_WHILE_RUNNING)
            except LeaseLost as error:
                self.lost = error
                os.kill(os.getpid(), signal.SIGTERM)  # ends the command as Ctrl-C does, which background jobs ignore
                return
            except Exception:  # noqa: BLE001, S112 - the place may come back; the end says what was not sent
                continue
            sent_at, ended = time.monotonic(), count

    def _ended_count(self) -> int:
        path = self.files.folder / JOURNAL
        return path.read_bytes().count(b'"event": "over"') if path.is_file() else 0

    def end(self) -> str:
        """Push the rest and give the lease back. Returns what went wrong, and what to do about it; usually nothing."""
        self.over.set()
        self.thread.join()
        try:
            if self.lost is None:
                self.push()
                self.lease.release()
        except LeaseLost as error:
            self.lost = error
        except (EnvironmentFailure, UsageError, OSError, KeyboardInterrupt) as error:
            folder = self.files.folder
            command = digits_command("push", folder.name, self.bucket.address, *runs_option(folder))
            return f"not everything was sent: {error or 'interrupted'}; send it with: {command}"
        return "" if self.lost is None else str(self.lost)


@contextlib.contextmanager
def pushed_along(folder: Path, address: str | None, *, take_over: bool = False) -> Iterator[None]:
    """Push the run in this folder while the body grows it, and at its end. Does nothing without an address.

    Raises UsageError if another process has the run there, or if the run there is not the one here; at the end
    EnvironmentFailure, with the command to run, if something was not sent.
    """
    if address is None:
        if take_over:
            raise UsageError("--take-over belongs to --push ADDRESS")
        yield
        return
    bucket, files = Bucket(address), Files(folder)
    check_place(bucket, folder)
    if not folder.exists() and is_there(bucket, folder.name):
        raise UsageError(f"there is already a run {folder.name!r} at {bucket.address}; choose another --name")
    check_push(bucket, files)  # before the lease: a take-over that is refused must not end anybody's run
    sender = Sender(bucket, files, lease_on(bucket, folder, take_over=take_over))
    try:
        sender.push()
    except BaseException:
        with contextlib.suppress(EnvironmentFailure):
            sender.lease.release()
        raise
    sender.thread.start()
    ended: BaseException | None = None
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - raised again below
        ended = error
    problem = sender.end()
    if problem and isinstance(ended, (EnvironmentFailure, UsageError, OSError)):
        raise (UsageError if isinstance(ended, UsageError) else EnvironmentFailure)(f"{ended}; {problem}") from ended
    if problem and (ended is None or isinstance(ended, KeyboardInterrupt) or hasattr(ended, "exit_code")):
        raise EnvironmentFailure(problem) from ended
    if ended is not None:
        raise ended
