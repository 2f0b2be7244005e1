"""A worker: a Ray process that trains one trial after another; its time limit, and the roll call at its start."""

import contextlib
import faulthandler
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ray import tune

from digits_core.data.digits import Split
from digits_core.data.folds import Folds
from digits_core.records import Assignment
from digits_core.runs.trial_folder import TIMEOUT_NOTE
from digits_core.training.cross_validation import upload
from digits_core.training.device import default_device
from sweeps.running.objective import WORTH_ANOTHER_TRY, TrialRun, use_threads
from sweeps.running.trial_place import TrialPlace
from sweeps.search.reported import EPOCH, ERROR_RATE, FAILED, FINISHED, METRIC

POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class RollCall:
    """Lets workers wait for each other: each leaves a file in `folder`, and `expected` files are waited for."""

    folder: Path
    expected: int
    limit_seconds: float = 60.0  # do not wait for ever for a process that died while starting

    def answer(self) -> None:
        """Report this process as present and wait until all are. A late process does not have to wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / str(os.getpid())).touch()
        deadline = time.monotonic() + self.limit_seconds
        while len(list(self.folder.iterdir())) < self.expected and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


class TimeLimit:
    """A context in which this process may spend `seconds` in total; after that, the process is ended.

    The interpreter's watchdog thread (faulthandler) does this without running Python code, so even a call that never
    returns from compiled code is ended. It writes every thread's stack to `note`. Only one limit at a time can be
    active.
    """

    def __init__(self, note: Path, seconds: float | None) -> None:
        self.note, self.seconds, self.spent = note, seconds, 0.0
        self.stream: IO[str] | None = None

    def __enter__(self) -> None:
        self.entered_at = time.monotonic()
        if self.seconds is None:
            return
        if self.stream is None:
            self.note.parent.mkdir(parents=True, exist_ok=True)
            self.stream = self.note.open("w", encoding="utf-8")
        faulthandler.dump_traceback_later(max(self.seconds - self.spent, 0.001), exit=True, file=self.stream)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.seconds is not None:
            faulthandler.cancel_dump_traceback_later()
        self.spent += time.monotonic() - self.entered_at

    def close(self) -> None:
        """Close the note: the time limit is no longer needed."""
        if self.stream is not None:
            self.stream.close()


class Worker(tune.Trainable):  # type: ignore[misc]
    """Trains one trial after another in one process: the data stays on the device, torch stays imported."""

    def setup(
        self,
        config: dict[str, Any],
        split: Split | Folds,
        place: TrialPlace,
        timeout_seconds: float | None,
        roll_call: RollCall,
    ) -> None:
        """Upload the data once."""
        self.place, self.timeout_seconds = place, timeout_seconds
        place.settle()
        import torch._dynamo  # noqa: F401 - otherwise imported by the first optimizer step: a second of a trial's time

        use_threads(1)
        self.device = default_device()
        self.data = upload(split, self.device)
        self.roll_call = roll_call
        self.first: dict[str, Any] | None = config  # of the first trial; None once it has started

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        assignment = Assignment.from_dict(config)
        folder = self.place.open(assignment)
        self.limit = TimeLimit(folder.folder / TIMEOUT_NOTE, self.timeout_seconds)
        self.run: TrialRun | None = None
        with self.limit, failures_that_stay():
            self.run = TrialRun(assignment, self.data, self.device, folder)

    def step(self) -> dict[str, Any]:
        """Train one epoch. A failure that would happen again is reported as a result, so that the process lives on."""
        if self.first is not None:
            self.roll_call.answer()  # not in setup: Tune must know by now that this process is alive
            self._begin(self.first)
            self.first = None
        run, advanced = self.run, False
        if run is not None:
            with self.limit, failures_that_stay():
                run.advance()
                advanced = True
        self.place.send()
        is_over = not advanced or (run is not None and run.finished)
        if is_over:
            self.limit.close()
        return {
            METRIC: run.best_nll if advanced and run is not None else math.nan,
            ERROR_RATE: run.best_error_rate if advanced and run is not None else math.nan,
            EPOCH: run.epoch if run is not None else 0,
            FINISHED: advanced and is_over,
            FAILED: not advanced,
            tune.result.DONE: is_over,
        }


@contextlib.contextmanager
def failures_that_stay() -> Iterator[None]:
    """Swallow failures that would happen again: the trial has recorded them. All others go to Tune."""
    try:
        yield
    except WORTH_ANOTHER_TRY:
        raise
    except Exception:  # noqa: BLE001 - whatever a network, an optimizer or an augmentation raises
        return
