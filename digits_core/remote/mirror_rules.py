"""Which side's version of a file wins when a run is both in a bucket and in a local copy. Rules only, no traffic.

For each file the copy notes its state on both sides when they last agreed:

| changed since    | `pull`                                                                                   |
| ---------------- | ---------------------------------------------------------------------------------------- |
| in the store     | downloads it, or deletes it here                                                         |
| here             | leaves it for the next `push`; but a file missing here is downloaded again               |
| on both sides    | keeps ours, unless another machine's driver has resumed the run since: then theirs       |
| unknown          | downloads theirs: the notes are lost, or a download was interrupted                      |
"""

import json
from pathlib import Path

from digits_core.remote.object_store import SAFE_NAME, Stamp
from digits_core.runs import claims
from digits_core.runs.ownership import FILE_NAME as LOCK_NAME

STAYS_HERE = (LOCK_NAME, "study.db-journal", "study.db-wal", "study.db-shm")
NEEDLESS = ("progress.json", "state.safetensors", "timeout.txt")
"""Files that a trial no longer needs once its record is complete."""

MADE_AGAIN = (claims.FILE_NAME, "study.db", "report.html", "leaderboard.csv")
"""Files that commands regenerate from the others: not worth moving aside."""

UNSETTLED: Stamp = (-1, -1)
"""Noted for a file that changed just now: the store's times are whole seconds, so it may change again unnoticed."""

FETCHING: Stamp = (-2, -2)
SENDING: Stamp = (-3, -3)
"""Local stamps noted before a transfer: if it is interrupted, they still tell which side's version wins."""

Stamps = dict[str, Stamp]
Known = dict[str, tuple[Stamp, Stamp]]
"""Path -> a file's stamps in the store and here when both sides last agreed."""


def read_known(note: Path, run: str) -> Known:
    """A run's notes. Empty if they are missing or damaged: then the store's versions win."""
    try:
        files = json.loads(note.read_bytes())
        return {
            name: ((int(there[0]), int(there[1])), (int(here[0]), int(here[1])))
            for name, (there, here) in files.items()
            if SAFE_NAME.fullmatch(name) and name.startswith(f"{run}/")
        }
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError):
        return {}


def is_theirs(theirs: Stamp | None, ours: Stamp | None, known: tuple[Stamp, Stamp] | None, overtaken: bool) -> bool:
    """Whether the store's version of a file replaces ours: see the table above. A stamp is None for a missing file.

    `overtaken`: another machine's driver has resumed the run since.
    """
    if known is None:
        return theirs is not None or overtaken
    known_theirs, known_ours = known
    if known_ours == FETCHING or (theirs is not None and ours is None):
        return True
    changed_there, changed_here = theirs != known_theirs, ours != known_ours
    return (changed_there or changed_here) if overtaken else (changed_there and not changed_here)


def scope_of(path: str, run: str, there: Stamps, here: Stamps) -> str:
    """The folder of the run that a file belongs to. A run inside another run's folder is a run of its own."""
    inner = "/".join(path.split("/")[:2])
    is_run = any(f"{inner}/{name}" in files for name in ("sweep.json", claims.FILE_NAME) for files in (there, here))
    return inner if is_run else run


def is_needless(path: str, here: Stamps) -> bool:
    """Whether a file deleted here may be deleted from the store as well: its trial is complete and does not need it."""
    folder, _, name = path.rpartition("/")
    return name in NEEDLESS and f"{folder}/record.json" in here


def merged_lines(theirs: bytes, ours: bytes) -> bytes:
    """The lines of both sides of an append-only file, each once."""
    return b"".join(dict.fromkeys([*theirs.splitlines(keepends=True), *ours.splitlines(keepends=True)]))


def by_run(entries: Stamps) -> dict[str, Stamps]:
    """The files of each run. Files that belong to no run are left out: they are not ours."""
    runs: dict[str, Stamps] = {}
    for path, stamp in entries.items():
        run, slash, _ = path.partition("/")
        if slash and f"{run}/sweep.json" in entries and Path(path).name not in STAYS_HERE:
            runs.setdefault(run, {})[path] = stamp
    return runs


def order_of_files(path: str) -> tuple[int, str]:
    """Sort key for transfers: a record comes after the files that it stands for, the claim after everything.

    The claim comes last because it may say that the driver is done.
    """
    name = Path(path).name
    last = ("progress.json", "record.json", "ensemble.json", "sweep.json", "journal.jsonl", "summary.json")
    if name == claims.FILE_NAME:
        return len(last) + 1, path
    return (last.index(name) + 1 if name in last else 0), path
