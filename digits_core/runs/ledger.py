"""The ledger of a run: one line for every opening of its sealed test set."""

import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from digits_core.records import Opening
from digits_core.runs.durable import check_regular, opened_for_appending, unusable
from digits_core.runs.trial_folder import folder_name

FILE_NAME = "ledger.jsonl"


def read_ledger(folder: Path, runs: Sequence[str]) -> list[Opening]:
    """Every opening so far. `runs`: folders that the ledger covers, "" for the run itself or the name of an inner one.

    Raises EnvironmentFailure if it cannot be read, or if one of these folders has test predictions that no line names.
    """
    path = folder / FILE_NAME
    openings = []
    check_regular(path)
    if path.is_file():
        try:
            content = path.read_text(encoding="utf-8")
            whole = content[: content.rfind("\n") + 1]  # a torn last line was never an opening: see below
            openings = [Opening.from_dict(json.loads(line)) for line in whole.splitlines()]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise unusable(path, error) from error
    named = {(opening.run, folder_name(trial)) for opening in openings for trial in opening.trials}
    for run in runs:
        found = {(run, test.parent.name) for test in (folder / run).glob("trials/*/test.npy")}
        if found - named:
            trial = min(found - named)[1]
            where = f"trial {trial} of {run}" if run else f"trial {trial}"
            raise unusable(path, f"it does not name {where}, for which the test set was opened")
    return openings


def append_to_ledger(folder: Path, purpose: str, trials: tuple[int, ...], run: str) -> None:
    """Add a line. It is on disk when this returns, so before anything is opened. Cuts off a torn last line.

    Under a lock: of two commands at once, neither may take the other's half-written line for a torn one.
    """
    path = folder / FILE_NAME
    try:
        with opened_for_appending(path) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            content = stream.read()
            stream.truncate(content.rfind(b"\n") + 1)
            number = content.count(b"\n") + 1
            opening = Opening(number=number, at=time.time(), purpose=purpose, trials=trials, run=run)
            stream.write((json.dumps(dataclasses.asdict(opening)) + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
