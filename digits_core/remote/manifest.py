"""What a run consists of: its files here, and the manifest that says which files there belong together."""

import hashlib
import json
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from digits_core.errors import EnvironmentFailure
from digits_core.remote.bucket import SAFE_NAME, Bucket, Version
from digits_core.remote.lease import FILE_NAME as LEASE
from digits_core.runs.durable import json_bytes, write_atomically
from digits_core.runs.ownership import FILE_NAME as LOCK

MANIFEST, NOTE = "manifest.json", ".pushed.json"
STAYS_HERE = (LOCK, LEASE, "driver.json", "study.db-journal", "study.db-wal", "study.db-shm")
MADE_AGAIN = ("study.db", "report.html", "leaderboard.csv", "best_parameters.json")
"""Commands make these from the other files: a difference in them is no conflict."""

Entry = tuple[int, str]
"""A file's size in bytes and its SHA-256."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Which files are the run, and what `digits ls --at` shows of it."""

    token: str  # identifies this version of the run
    pushed_at: float
    host: str
    kind: str
    dataset: str
    trial_count: int
    ended_count: int
    files: dict[str, Entry]

    @property
    def byte_count(self) -> int:
        return sum(size for size, _ in self.files.values())

    @staticmethod
    def parse(content: bytes, where: str) -> "Manifest":
        """Raises EnvironmentFailure for anything that no push has written, such as a name that leaves the folder."""
        try:
            values = json.loads(content)
            files = _entries(values.pop("files"))
            manifest = Manifest(files=files, **values)
            time.localtime(manifest.pushed_at)
            texts = (manifest.token, manifest.host, manifest.kind, manifest.dataset)
            is_sound = (
                all(SAFE_NAME.fullmatch(path) and Path(path).name not in STAYS_HERE for path in files)
                and all(re.fullmatch(r"[0-9a-f]{64}", digest) for _, digest in files.values())
                and all(isinstance(text, str) and text.isprintable() for text in texts)
                and all(isinstance(count, int) for count in (manifest.trial_count, manifest.ended_count))
            )
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, OSError, RecursionError):
            is_sound = False
        if not is_sound:
            raise EnvironmentFailure(
                f"cannot use {where}/{MANIFEST}: no push has written it; push the run with --force"
            )
        return manifest


def _entries(stored: Mapping[str, Any]) -> dict[str, Entry]:
    return {str(path): (int(size), str(digest)) for path, (size, digest) in stored.items()}


def is_there(bucket: Bucket, run: str) -> bool:
    """Whether a push, or an older version, has put a run of this name there."""
    return any(bucket.read(f"{run}/{name}") for name in (MANIFEST, "sweep.json"))


def read_manifest(bucket: Bucket, run: str, *, force: bool = False) -> tuple[Manifest | None, Version | None]:
    """A run's manifest there, and its version; None if it was never pushed or, with `force`, if it is unusable."""
    stored = bucket.read(f"{run}/{MANIFEST}")
    if stored is None:
        return None, None
    try:
        return Manifest.parse(stored.content, f"{bucket.address}/{run}"), stored.version
    except EnvironmentFailure:
        if not force:
            raise
        return None, stored.version


def stored_name(run: str, path: str, entry: Entry) -> str:
    return f"{run}/{path}.{entry[1][:16]}"


def entry_of(content: bytes) -> Entry:
    return len(content), hashlib.sha256(content).hexdigest()


@dataclass
class Files:
    """A run's files here. Remembers the checksums of those that do not change."""

    folder: Path
    known: dict[str, tuple[tuple[int, int, int], Entry]] = field(default_factory=dict)

    def entries(self, but: Collection[str] = ()) -> dict[str, Entry]:
        """Every file's entry, but for links, hidden files and those that stay here.

        Records are read first and the journal and the ledger last: what a record stands for was written before it, and
        the journal knows every trial that has a record.
        """
        paths = [
            path
            for path in self.folder.rglob("*")
            if not path.is_symlink() and path.is_file() and path.name not in (*STAYS_HERE, *but)
        ]
        names = [path.relative_to(self.folder).as_posix() for path in paths]
        found = {}
        for name in sorted(filter(SAFE_NAME.fullmatch, names), key=reading_order):
            entry = self._entry(name)
            if entry is not None:
                found[name] = entry
        return found

    def _entry(self, name: str) -> Entry | None:
        try:
            status = (self.folder / name).stat()
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self.known.get(name, (None,))[0] != stamp:
                self.known[name] = (stamp, entry_of((self.folder / name).read_bytes()))
        except FileNotFoundError:
            return None  # dropped a moment ago
        return self.known[name][1]


def reading_order(name: str) -> int:
    order = {"record.json": 0, "ensemble.json": 0, "journal.jsonl": 2, "ledger.jsonl": 2}
    return order.get(Path(name).name, 1)


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is known here of a run at one address."""

    tokens: tuple[str, ...] = ()  # of the version on which both sides agreed, and of one whose push may have failed
    files: Mapping[str, Entry] = field(default_factory=dict)  # as they were here then
    lease: str = ""  # token of the lease under which this folder was last pushed

    @staticmethod
    def read(folder: Path, address: str) -> "Note":
        """Empty if the run was never pushed there or pulled from there."""
        try:
            values = json.loads((folder / NOTE).read_bytes())[address]
            return Note(
                tokens=tuple(map(str, values["tokens"])),
                files=_entries(values["files"]),
                lease=str(values.get("lease", "")),
            )
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return Note()

    def write(self, folder: Path, address: str) -> None:
        try:
            notes = dict(json.loads((folder / NOTE).read_bytes()))
        except (OSError, ValueError, TypeError):
            notes = {}
        notes[address] = {"tokens": self.tokens, "files": self.files, "lease": self.lease}
        write_atomically(folder / NOTE, json_bytes(notes), durable=False)


def differing(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> list[str]:
    """Files that are not the same in both, but for those that commands make again."""
    return sorted(
        path for path in {*one, *other} if one.get(path) != other.get(path) and Path(path).name not in MADE_AGAIN
    )
