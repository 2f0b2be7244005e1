"""A claim on a run in an object store, where no lock reaches: a file that its driver renews by a heartbeat.

The claim is `driver.json` in the run's folder and is uploaded with it. It expires two minutes after its last heartbeat.
A claim made from the same local copy bars nobody: there the lock decides (digits_core.runs.ownership).
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
MIRROR_NOTE = Path(".mirror") / "where.json"  # marks a runs folder as a local copy: its URL and its id
LATEST_TIME = 1e10  # seconds since 1970: about the year 2286
SECONDS_WITHOUT_LIFE = 120.0  # heartbeats come every few seconds; the machines' clocks may differ by a minute


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`copy`: the id of the driver's local copy. `token`: identifies this claim. `after`: the token it replaces."""

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
        """A claim by this process, starting now. `before`: the last claim that it knows of."""
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
        """Read a claim from JSON. None if there isn't one, or if no driver would have written it."""
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
        write_atomically(folder / FILE_NAME, json_bytes(dataclasses.asdict(self)), durable=False)

    def renewed(self, *, is_over: bool = False) -> "Claim":
        """The same claim with a heartbeat of now."""
        return dataclasses.replace(self, alive_at=time.time(), is_over=is_over)

    def knows(self, other: "Claim") -> bool:
        """Whether `other` is this claim or the one that it replaced."""
        return other.token in (self.token, self.after)

    @property
    def lives(self) -> bool:
        """Whether its driver has renewed it recently."""
        return not self.is_over and abs(time.time() - self.alive_at) < SECONDS_WITHOUT_LIFE

    def bars(self, copy: str) -> bool:
        """Whether a process working in the local copy `copy` must keep out: a driver in another copy is alive."""
        return self.lives and self.copy != copy

    def words(self) -> str:
        """Who holds the run and since when, for an error message."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        silent = max(0.0, time.time() - self.alive_at)
        return (
            f"process {self.process} on {self.host} has held it since {since} (last heartbeat {silent:.0f} s ago;"
            f" the claim expires after {SECONDS_WITHOUT_LIFE:.0f} s)"
        )


@dataclass(frozen=True, kw_only=True)
class MirrorNote:
    """What marks a folder as a local copy. `copy` is unique to it, even if its files are copied to another machine."""

    url: str
    copy: str
    folder: Path


def claim_in(folder: Path) -> Claim | None:
    """The claim on a run, as it was when the folder was last downloaded."""
    path = folder / FILE_NAME
    return Claim.parse(path.read_bytes()) if path.is_file() else None


def claim_from_elsewhere(folder: Path) -> Claim | None:
    """The claim of a live driver in another copy of the run, if there is one."""
    claim, note = claim_in(folder), mirror_note(folder)
    return claim if claim is not None and note is not None and claim.bars(note.copy) else None


def mirror_note(folder: Path) -> MirrorNote | None:
    """The note of the local copy that this folder is, or is inside; None without one."""
    for parent in (folder, *folder.parents[:2]):
        path = parent / MIRROR_NOTE
        if path.is_file():
            url, copy = read_json(path, lambda note: (str(note["url"]), str(note["copy"])))
            here = f"{copy} {_machine()} {parent.absolute()}"
            return MirrorNote(url=url, copy=hashlib.sha256(here.encode()).hexdigest()[:16], folder=parent)
    return None


def _machine() -> str:
    """Host name and machine id: tells this machine from another that has a copy of its files."""
    try:
        number = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        number = str(uuid.getnode())
    return f"{socket.gethostname()} {number}"
