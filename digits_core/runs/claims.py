"""Who drives a run that lies in an object store, where no lock reaches: a note with a sign of life.

`driver.json` in the run's folder travels with it. A claim whose last sign of life is two minutes old is nobody's. One
that was made from the same local copy says nothing: there the lock does (digits_core.runs.ownership).
"""

import dataclasses
import hashlib
import json
import os
import secrets
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from digits_core.runs.durable import json_bytes, read_json, write_atomically

FILE_NAME = "driver.json"
MIRROR_NOTE = Path(".mirror") / "where.json"  # in a runs folder that is a local copy: whose, and which of them
LATEST_TIME = 1e10  # seconds since 1970: some three hundred years
SECONDS_WITHOUT_LIFE = 120.0  # a heartbeat comes every few seconds; clocks may be a minute apart


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`copy` is the local copy that the driver works in, `token` this one claim, `after` the one that it replaces."""

    token: str
    after: str
    copy: str
    process: int
    host: str
    since: float
    alive_at: float
    is_over: bool = False

    @staticmethod
    def new(copy: str, before: "Claim | None") -> "Claim":
        """One of this process, from now on; `before` is the last one that it knows of."""
        now = time.time()
        return Claim(
            token=secrets.token_hex(8),
            after="" if before is None else before.token,
            copy=copy,
            process=os.getpid(),
            host=socket.gethostname(),
            since=now,
            alive_at=now,
        )

    @staticmethod
    def parse(content: bytes | None) -> "Claim | None":
        """What a note says; None where there is none, or none that a driver would write."""
        try:
            claim = Claim(**json.loads(content)) if content else None
        except (ValueError, TypeError, RecursionError):
            return None
        if claim is None:
            return None
        texts, times = (claim.token, claim.after, claim.copy, claim.host), (claim.since, claim.alive_at)
        is_sound = all(isinstance(text, str) and text.isprintable() for text in texts) and all(
            isinstance(at, (int, float)) and 0 <= at < LATEST_TIME for at in times
        )
        return claim if is_sound and isinstance(claim.process, int) and isinstance(claim.is_over, bool) else None

    def write(self, folder: Path) -> None:
        """Leave it in the run's folder."""
        write_atomically(folder / FILE_NAME, json_bytes(dataclasses.asdict(self)), durable=False)

    def renewed(self, *, is_over: bool = False) -> "Claim":
        """The same with a sign of life of now."""
        return dataclasses.replace(self, alive_at=time.time(), is_over=is_over)

    def knows(self, other: "Claim") -> bool:
        """Whether the other is this claim, or the one before it."""
        return other.token in (self.token, self.after)

    @property
    def lives(self) -> bool:
        """Whether its driver was there a moment ago."""
        return not self.is_over and abs(time.time() - self.alive_at) < SECONDS_WITHOUT_LIFE

    def bars(self, copy: str) -> bool:
        """Whether who works in this copy has to keep out: a driver in another one lives."""
        return self.lives and self.copy != copy

    def words(self) -> str:
        """Who it is, for an error."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        silent = max(0.0, time.time() - self.alive_at)
        return (
            f"process {self.process} on {self.host} has it since {since} (last sign of life {silent:.0f} s ago;"
            f" after {SECONDS_WITHOUT_LIFE:.0f} it is free)"
        )


@dataclass(frozen=True, kw_only=True)
class MirrorNote:
    """What a local copy says of itself. `copy` tells it from the copies on other machines, also from copies of it."""

    url: str
    copy: str
    folder: Path


def claim_in(folder: Path) -> Claim | None:
    """The claim on a run's folder, as of when it was last fetched."""
    path = folder / FILE_NAME
    return Claim.parse(path.read_bytes()) if path.is_file() else None


def claim_from_elsewhere(folder: Path) -> Claim | None:
    """A living claim that was made from another copy of the run."""
    claim, note = claim_in(folder), mirror_note(folder)
    return claim if claim is not None and note is not None and claim.bars(note.copy) else None


def mirror_note(folder: Path) -> MirrorNote | None:
    """Of the local copy that this is, or that it lies in; None for a folder of its own."""
    for parent in (folder, *folder.parents[:2]):
        path = parent / MIRROR_NOTE
        if path.is_file():
            url, copy = read_json(path, lambda note: (str(note["url"]), str(note["copy"])))
            here = f"{copy} {_machine()} {parent.absolute()}"
            return MirrorNote(url=url, copy=hashlib.sha256(here.encode()).hexdigest()[:16], folder=parent)
    return None


def _machine() -> str:
    """What tells this machine from one that has a copy of its files."""
    try:
        number = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        number = str(uuid.getnode())
    return f"{socket.gethostname()} {number}"
