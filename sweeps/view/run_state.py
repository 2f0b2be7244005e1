"""The state of runs, read from their folders even while they run; and the removal of a run."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.records import RunKind, RunRecord, SweepHeader, rank
from digits_core.runs.journal import History, read_journal
from digits_core.runs.ownership import check_free, is_running
from digits_core.runs.store import SweepStore, check_name, sweep_names
from digits_core.stored import MOST_TRIALS
from sweeps.view.tally import folder_bytes


@dataclass(frozen=True, kw_only=True)
class RunState:
    """The contents of a run's folder, read once."""

    folder: Path
    header: SweepHeader
    records: tuple[RunRecord, ...]
    history: History
    state: str  # "running", "interrupted" or "over"
    test_openings: int
    byte_count: int

    @staticmethod
    def of(store: SweepStore) -> "RunState":
        """Read a run's folder. Raises EnvironmentFailure if it is damaged."""
        records, summary = tuple(store.records()), store.summary()
        state = "over"
        if any(map(is_running, (store.folder, *store.inner_folders))):
            state = "running"
        elif summary is None or summary.interrupted or (summary.error and store.header.kind != RunKind.TRAINING):
            state = "interrupted"  # a failed training run has its record: nothing is left to resume
        return RunState(
            folder=store.folder,
            header=store.header,
            records=records,
            history=read_journal(store.folder),
            state=state,
            test_openings=len(store.ledger()),
            byte_count=folder_bytes(store.folder),
        )

    @property
    def state_text(self) -> str:
        """The state in words: what has no driver and nothing left to run is "finished"."""
        return "finished" if self.state == "over" else self.state

    @property
    def best(self) -> RunRecord | None:
        """The trial with the lowest validation NLL; None if no trial has one."""
        return next(iter(rank(self.records)), None)

    @property
    def progress(self) -> str:
        """How many of the run's trials have ended, in words."""
        planned = self.header.trial_count
        return f"{len(self.records)}" + (f" of {planned}" if planned < MOST_TRIALS else "")


def list_runs(runs: Path) -> list[tuple[str, RunState | None, str]]:
    """Every run, oldest first: its name, and its state or what is wrong with it."""
    if runs.exists() and not runs.is_dir():
        raise UsageError(f"{runs} is not a folder; --runs must name the folder that holds the runs")
    found: list[tuple[str, RunState | None, str]] = []
    for name in sweep_names(runs):
        try:
            found.append((name, RunState.of(SweepStore(runs / name)), ""))
        except EnvironmentFailure as error:
            found.append((name, None, str(error)))
    return found


def trial_of(state: RunState, number: int) -> RunRecord:
    """A trial's record. Raises UsageError if there isn't one (yet)."""
    for record in state.records:
        if record.trial == number:
            return record
    if number in state.history.trials:
        raise UsageError(f"trial {number} of {state.header.name!r} has not ended yet")
    raise UsageError(f"{state.header.name!r} has no trial {number}; it has {len(state.records)}")


def check_removable(runs: Path, name: str) -> SweepStore:
    """The run's store. Raises UsageError if the run is running or its folder is a link."""
    store = SweepStore.open(runs, check_name(name))
    if store.folder.is_symlink():
        raise UsageError(f"{store.folder} is a link; remove it, or the folder that it points to, by hand")
    for folder in (store.folder, *store.inner_folders):
        check_free(folder)
    return store


def remove_run(runs: Path, name: str) -> int:
    """Delete a run's folder permanently. Returns its size in bytes. Raises UsageError if it must not be deleted."""
    store = check_removable(runs, name)
    byte_count = folder_bytes(store.folder)
    gone = store.folder.with_name(f".removing-{name}-{os.getpid()}")  # renamed first, so that it disappears at once
    store.folder.rename(gone)
    shutil.rmtree(gone)
    return byte_count
