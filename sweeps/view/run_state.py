"""The state of runs, read from their folders even while they run; and the removal of a run."""

import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.judging.candidates import Candidate, candidates
from digits_core.records import RunKind, RunRecord
from digits_core.runs.ownership import check_free, is_running
from digits_core.runs.run import Run, check_name, runs_in
from sweeps.view.tally import folder_bytes


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run, what drives it now, and how large it is."""

    run: Run
    state: str  # "running", "interrupted" or "over"
    byte_count: int

    @staticmethod
    def of(run: Run) -> "RunState":
        """Read a run's folder. Raises EnvironmentFailure if it is damaged."""
        summary, _ = run.summary, run.records  # damaged ones are found here
        state = "over"
        if any(map(is_running, (run.folder, *run.inner_folders))):
            state = "running"
        elif summary is None or summary.interrupted or (summary.error and run.header.kind != RunKind.TRAINING):
            state = "interrupted"  # a failed training run has its record: nothing is left to resume
        return RunState(run=run, state=state, byte_count=folder_bytes(run.folder))

    @property
    def state_text(self) -> str:
        """The state in words: what has no driver and nothing left to run is "finished"."""
        return "finished" if self.state == "over" else self.state

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Best first; none for refitted models, which only the test set can rank."""
        return [] if self.run.header.kind == RunKind.REFIT else candidates(self.run)

    @property
    def best(self) -> Candidate | None:
        """The leader; None if no trial counts."""
        return next(iter(self.candidates), None)

    @property
    def progress(self) -> str:
        """How many of the run's trials have ended, in words."""
        planned = self.run.header.asked_trials
        return f"{len(self.run.records)}" + (f" of {planned}" if planned else "")


def list_runs(runs: Path) -> list[tuple[str, RunState | None, str]]:
    """Every run, oldest first: its name, and its state or what is wrong with it."""
    found: list[tuple[str, RunState | None, str]] = []
    for run in runs_in(runs):
        try:
            state = RunState.of(run)
            _ = state.candidates, run.history, run.ledger
            found.append((run.name, state, ""))
        except EnvironmentFailure as error:
            found.append((run.name, None, str(error)))
    return found


def trial_of(run: Run, number: int) -> RunRecord:
    """A trial's record. Raises UsageError if there isn't one (yet)."""
    for record in run.records:
        if record.trial == number:
            return record
    if number in run.history.trials:
        raise UsageError(f"trial {number} of {run.name!r} has not ended yet")
    raise UsageError(f"{run.name!r} has no trial {number}; it has {len(run.records)}")


def check_removable(runs: Path, name: str) -> Run:
    """The run, opened. Raises UsageError if it is running or its folder is a link."""
    run = Run.open(runs, check_name(name))
    if run.folder.is_symlink():
        raise UsageError(f"{run.folder} is a link; remove it, or the folder that it points to, by hand")
    for folder in (run.folder, *run.inner_folders):
        check_free(folder)
    return run


def remove_run(runs: Path, name: str) -> int:
    """Delete a run's folder permanently. Returns its size in bytes. Raises UsageError if it must not be deleted."""
    run = check_removable(runs, name)
    byte_count = folder_bytes(run.folder)
    gone = run.folder.with_name(f".removing-{name}-{os.getpid()}")  # renamed first, so that it disappears at once
    run.folder.rename(gone)
    shutil.rmtree(gone)
    return byte_count
