"""A worker: a Ray process that trains one trial, or company of trials, after another; its time limit and roll call."""

import faulthandler
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ray import tune

from digits_core.data.digits import Split
from digits_core.data.folds import Folds
from digits_core.records import Assignment
from digits_core.training.cross_validation import upload
from digits_core.training.device import default_device
from sweeps.running.objective import Attempt, States, use_threads
from sweeps.search.reported import PROGRESS, reported
from sweeps.space.assignments import company_of

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
            is_readable = self.note.parent.is_dir()  # by the driver: not if it runs on another node
            self.stream = open(self.note if is_readable else os.devnull, "w", encoding="utf-8")
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
    """Trains one trial after another in one process: the data stays on the device, torch stays imported.

    Writes no file of the run: what a trial yields travels to the driver as part of its results.
    """

    def setup(
        self,
        config: dict[str, Any],
        split: Split | Folds,
        notes: Path,
        timeout_seconds: float | None,
        roll_call: RollCall | None,
    ) -> None:
        """Upload the data once. `notes`: where a process that is killed for taking too long leaves its stacks."""
        import torch._dynamo  # noqa: F401 - otherwise imported by the first optimizer step: a second of a trial's time

        use_threads(1)
        self.notes, self.timeout_seconds, self.roll_call = notes, timeout_seconds, roll_call
        self.device = default_device()
        self.data = upload(split, self.device)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Prepare the next trial in the same process."""
        self.begin(company_of(new_config), {})
        self.limit = TimeLimit(self.notes / str(new_config["trial"]), self.timeout_seconds)
        return True

    def begin(self, assignments: Sequence[Assignment], states: Mapping[int, States]) -> None:
        """Prepare to train these trials.

        The driver calls this before the first step if some of the company have ended, or if there are states to
        continue from.
        """
        self.attempt = Attempt(assignments, self.data, self.device, states)

    def step(self) -> dict[str, Any]:
        """Train one epoch of each trial."""
        if self.roll_call is not None:
            self.roll_call.answer()  # not in setup: Tune must know by now that this process is alive
            self.roll_call = None
        with self.limit:
            progress = self.attempt.advance()
        is_over = all(one.record.status != "stopped" for one in progress)
        if is_over:
            self.limit.close()
        return {**reported(progress[0].record), PROGRESS: progress, tune.result.DONE: is_over}
