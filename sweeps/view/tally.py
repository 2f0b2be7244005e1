"""The state of a run, gathered from its events: counts, rates, the best few trials."""

import contextlib
import math
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from digits_core.records import RunRecord
from digits_core.stored import asked_trials

TOP_COUNT = 5
FORECAST_FROM = 5  # the first trials train all epochs, so they say little about the many that are stopped
DISK_INTERVAL_SECONDS = 10.0


@dataclass
class Tally:
    """The state of a sweep, gathered from its events."""

    trial_count: int
    max_epochs: int
    concurrency: int = 1
    folder: Path | None = None  # of the run, to measure its size on disk
    started_at: float = field(default_factory=time.monotonic)
    first_trial_at: float | None = None
    running: dict[int, int] = field(default_factory=dict)  # trial -> epochs done
    over: dict[str, int] = field(default_factory=lambda: {"finished": 0, "stopped": 0, "failed": 0})
    top: list[RunRecord] = field(default_factory=list)
    last_error: str = ""
    recalled_count: int = 0  # trials of earlier sessions
    retry_count: int = 0
    busy_seconds: float = 0.0  # of the trials that ended in this session
    disk_bytes: int = 0
    disk_measured_at: float = -math.inf

    @property
    def over_count(self) -> int:
        """Trials that have ended."""
        return sum(self.over.values())

    def start(self, trial: int) -> None:
        """Count a trial as running."""
        self.running[trial] = 0
        if self.first_trial_at is None:
            self.first_trial_at = time.monotonic()

    def recall(self, records: list[RunRecord], seconds_ago: float = 0.0) -> None:
        """Count trials that ended before this session, which began `seconds_ago`."""
        for record in records:
            self.finish(record)
        self.recalled_count, self.busy_seconds = len(records), 0.0
        if seconds_ago:
            self.started_at -= seconds_ago
            self.first_trial_at = self.started_at

    def finish(self, record: RunRecord) -> None:
        """Count a trial as ended and keep the best few."""
        self.running.pop(record.trial, None)
        self.busy_seconds += record.busy_seconds
        self.over[record.status] += 1
        if record.error:
            self.last_error = f"trial {record.trial}: {record.failure}"
        if record.counts:
            self.top = sorted([*self.top, record], key=lambda r: (r.nll, r.trial))[:TOP_COUNT]

    def seconds_left(self) -> float | None:
        """A forecast from the trials that ended in this session; None if they are too few or only time limits them."""
        over_here = self.over_count - self.recalled_count
        if not asked_trials(self.trial_count):
            return None
        if self.first_trial_at is None or over_here < FORECAST_FROM:
            return None
        per_trial = (time.monotonic() - self.first_trial_at) / over_here
        return per_trial * (self.trial_count - self.over_count)

    @property
    def working_seconds(self) -> float:
        """Seconds since the first trial started."""
        return 0.0 if self.first_trial_at is None else time.monotonic() - self.first_trial_at

    @property
    def trials_a_minute(self) -> float | None:
        """Trials that ended per minute of this session; None while they are too few."""
        over_here = self.over_count - self.recalled_count
        return 60 * over_here / self.working_seconds if over_here >= FORECAST_FROM and self.working_seconds else None

    @property
    def training_share(self) -> float | None:
        """Share of the workers' time spent training, without the trials that are still running; None as above."""
        if self.trials_a_minute is None:
            return None
        return self.busy_seconds / (self.working_seconds * self.concurrency)

    def measure_disk(self) -> None:
        """Measure the size of the run's folder, if the last time was long enough ago."""
        if self.folder is None or time.monotonic() - self.disk_measured_at < DISK_INTERVAL_SECONDS:
            return
        self.disk_bytes, self.disk_measured_at = folder_bytes(self.folder), time.monotonic()


def folder_bytes(folder: Path) -> int:
    """Total size of the files below a folder, without those that disappear meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total
