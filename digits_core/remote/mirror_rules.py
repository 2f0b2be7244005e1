"""Whose version of a file counts, where a run lies in a bucket and in a local copy: rules without any traffic.

For each file the copy notes what both sides looked like when they were last the same:

| changed since    | `pull` does                                                                    |
| ---------------- | ------------------------------------------------------------------------------ |
| there alone      | fetches it, or removes it here                                                 |
| here alone       | leaves it, for the next `push`; but what is gone here is fetched again         |
| on both sides    | leaves ours, unless another driver has taken the run up since: then theirs     |
| nobody knows     | fetches theirs: a copy whose notes are lost, or a fetch that was cut off       |
"""

import json
from pathlib import Path

from digits_core.remote.object_store import SAFE_NAME, Stamp
from digits_core.runs import claims
from digits_core.runs.ownership import FILE_NAME as LOCK_NAME

STAYS_HERE = (LOCK_NAME, "study.db-journal", "study.db-wal", "study.db-shm")
NEEDLESS = ("progress.json", "state.safetensors", "timeout.txt")
"""What a trial needs no more once its record is sealed."""

MADE_AGAIN = (claims.FILE_NAME, "study.db", "report.html", "leaderboard.csv")
"""What a command makes again from the rest: not worth setting aside."""

UNSETTLED: Stamp = (-1, -1)
"""The store's clock counts whole seconds: a file that has just changed may change again without looking different."""

FETCHING: Stamp = (-2, -2)
SENDING: Stamp = (-3, -3)
"""How a file looked here, noted before it is touched: should this be cut off, it is known whose version counts."""

Stamps = dict[str, Stamp]
Known = dict[str, tuple[Stamp, Stamp]]
"""Path -> how a file looked there and here when both were last the same."""


def read_known(note: Path, run: str) -> Known:
    """What is noted of a run; nothing where the note is damaged: then theirs count."""
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
    """Whether a file here is to become what it is there: see the table above.

    `overtaken`: another machine's driver has taken the run up since.
    """
    if known is None:
        return theirs is not None or overtaken
    known_theirs, known_ours = known
    if known_ours == FETCHING or (theirs is not None and ours is None):
        return True
    changed_there, changed_here = theirs != known_theirs, ours != known_ours
    return (changed_there or changed_here) if overtaken else (changed_there and not changed_here)


def scope_of(path: str, run: str, there: Stamps, here: Stamps) -> str:
    """The folder of the run that a file belongs to: one inside another's folder is a run of its own."""
    inner = "/".join(path.split("/")[:2])
    is_run = any(f"{inner}/{name}" in files for name in ("sweep.json", claims.FILE_NAME) for files in (there, here))
    return inner if is_run else run


def is_needless(path: str, here: Stamps) -> bool:
    """Whether a file that is gone here may go there as well: of a trial that is sealed."""
    folder, _, name = path.rpartition("/")
    return name in NEEDLESS and f"{folder}/record.json" in here


def merged_lines(theirs: bytes, ours: bytes) -> bytes:
    """Both sides' lines of a file that is only ever appended to, each once."""
    return b"".join(dict.fromkeys([*theirs.splitlines(keepends=True), *ours.splitlines(keepends=True)]))


def by_run(entries: Stamps) -> dict[str, Stamps]:
    """Files by the run that they belong to; what lies beside the runs is not ours."""
    runs: dict[str, Stamps] = {}
    for path, stamp in entries.items():
        run, slash, _ = path.partition("/")
        if slash and f"{run}/sweep.json" in entries and Path(path).name not in STAYS_HERE:
            runs.setdefault(run, {})[path] = stamp
    return runs


def order_of_files(path: str) -> tuple[int, str]:
    """What others go by comes after what it vouches for; the claim, which may say that all is over, at the end."""
    name = Path(path).name
    last = ("progress.json", "record.json", "ensemble.json", "sweep.json", "journal.jsonl", "summary.json")
    if name == claims.FILE_NAME:
        return len(last) + 1, path
    return (last.index(name) + 1 if name in last else 0), path
