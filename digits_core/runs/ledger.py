"""The ledger of a run: one line for every opening of its sealed test set.

It never bricks a run: an opening whose line is lost or damaged still counts, from the test predictions that lie there.
"""

import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from digits_core.errors import READ_ONLY, EnvironmentFailure
from digits_core.records import Opening
from digits_core.runs.durable import check_regular, opened_for_appending, unusable
from digits_core.stored import from_json

FILE_NAME = "ledger.jsonl"
UNREADABLE = "unknown: its line in the ledger is damaged"
UNRECORDED = "unknown: the ledger does not name these trials, but their test predictions are there"


def read_ledger(folder: Path, runs: Sequence[str]) -> list[Opening]:
    """Every opening so far. `runs`: folders that the ledger covers, "" for the run itself or the name of an inner one.

    A damaged line is an opening of unknown trials. Test predictions that no line names are one more opening for each of
    the `runs`. Raises EnvironmentFailure if the file cannot be read at all.
    """
    path = folder / FILE_NAME
    check_regular(path)
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise unusable(path, error) from error
    return _openings(folder, content[: content.rfind(b"\n") + 1], runs)  # a torn last line was never an opening


def _openings(folder: Path, lines: bytes, runs: Iterable[str]) -> list[Opening]:
    modified_at = (folder / FILE_NAME).stat().st_mtime if lines else 0.0
    openings = [_opening(line, number, modified_at) for number, line in enumerate(lines.splitlines(), start=1)]
    named = {(opening.run, trial) for opening in openings for trial in opening.trials}
    for run in runs:
        tested = {int(path.parent.name): path for path in (folder / run).glob("trials/[0-9]*/test.npy")}
        missing = sorted(trial for trial in tested if (run, trial) not in named)
        if missing:
            at = min(tested[trial].lstat().st_mtime for trial in missing)
            number = len(openings) + 1
            openings.append(Opening(number=number, at=at, purpose=UNRECORDED, trials=tuple(missing), run=run))
    return openings


def _opening(line: bytes, number: int, modified_at: float) -> Opening:
    try:
        return dataclasses.replace(from_json(Opening, line), number=number)
    except ValueError:
        return Opening(number=number, at=modified_at, purpose=UNREADABLE, trials=())


def append_to_ledger(folder: Path, purpose: str, trials: tuple[int, ...], run: str, runs: Sequence[str] = ()) -> None:
    """Add a line. It is on disk when this returns, so before anything is opened. Cuts off a torn last line.

    Under a lock: of two commands at once, neither may take the other's half-written line for a torn one. `runs`: as for
    `read_ledger`; openings that no line names get theirs now.
    """
    path = folder / FILE_NAME
    try:
        with opened_for_appending(path) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            content = stream.read()
            lines = content[: content.rfind(b"\n") + 1]
            stream.truncate(len(lines))
            known = _openings(folder, lines, runs)
            new = Opening(number=len(known) + 1, at=time.time(), purpose=purpose, trials=trials, run=run)
            for opening in (*known[lines.count(b"\n") :], new):
                stream.write((json.dumps(dataclasses.asdict(opening)) + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        if error.errno in READ_ONLY:
            raise EnvironmentFailure(
                f"cannot write to {path} ({error.strerror}), and the test set is not opened without a line there; copy"
                f" {folder.name} to a folder of your own and name that folder with --runs"
            ) from error
        raise OSError(error.errno, error.strerror, str(path)) from error
