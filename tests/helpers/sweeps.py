"""Small sweeps, views that record their events, and views that disturb them."""

import os
from pathlib import Path

from digits_core.records import RunRecord
from digits_core.runs.run import Run
from sweeps.plans.config import SweepConfig
from tests.helpers.processes import children_of


class Recorder:
    """A view that remembers its events."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.epochs: dict[int, list[int]] = {}
        self.over: list[RunRecord] = []
        self.recalled: list[RunRecord] = []
        self.retried: list[int] = []
        self.notes: list[str] = []
        self.closed = False

    def recall(self, records: list[RunRecord], seconds_ago: float = 0.0) -> None:
        self.recalled, self.seconds_ago = records, seconds_ago

    def trial_retried(self, trial: int) -> None:
        self.retried.append(trial)

    def trial_started(self, trial: int) -> None:
        self.started.append(trial)

    def trial_advanced(self, trial: int, epoch: int) -> None:
        self.epochs.setdefault(trial, []).append(epoch)

    def trial_over(self, record: RunRecord) -> None:
        self.over.append(record)

    def tick(self) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        self.closed = True


def config(runs: Path, **changes: object) -> SweepConfig:
    return SweepConfig(**{"runs": runs, "name": "test", "trials": 6, "max_epochs": 3, "concurrency": 2, **changes})  # type: ignore[arg-type]


def own_workers() -> list[int]:
    """Process ids of Ray's workers whose raylet is a child of this process."""
    return [
        worker
        for child in children_of(os.getpid())
        for worker in children_of(child)
        if b"ray::Worker" in Path(f"/proc/{worker}/cmdline").read_bytes()
    ]


class Killed(BaseException):
    """Nothing that runs afterwards writes anything, as if this process had been killed."""


class Interrupter(Recorder):
    """Raises KeyboardInterrupt, or what it is told, after this many epochs of all trials together."""

    def __init__(self, epochs: int, how: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self.left, self.how = epochs, how

    def trial_advanced(self, trial: int, epoch: int) -> None:
        super().trial_advanced(trial, epoch)
        self.left -= 1
        if not self.left:
            raise self.how


def outcomes(store: Run) -> dict[int, tuple[object, ...]]:
    """The results that must not depend on interruptions, by trial."""
    return {
        record.trial: (
            record.status,
            record.recipe,
            [row.validation_nll for row in record.curve],
            store.validation_probabilities(record.trial).tobytes() if record.counts else b"",
        )
        for record in store.records
    }
