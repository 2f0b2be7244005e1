"""One trial, without Ray and without files: trains a recipe epoch by epoch."""

import os
import time
import traceback
from dataclasses import asdict, replace

import torch

from digits_core.errors import EnvironmentFailure
from digits_core.recipe import Recipe
from digits_core.records import Assignment, Bundle, RunRecord, Status
from digits_core.runs.durable import Content
from digits_core.runs.trial_folder import Progress, best_files, bundle_file
from digits_core.training.cross_validation import DeviceFolds, trainer_for
from digits_core.training.engine import DeviceSplit
from digits_core.training.state import resume, state_of

SECONDS_BETWEEN_STATES = 1.0
"""An interrupted trial repeats about this much at most. Keeping the state after every short epoch costs more."""

WORTH_ANOTHER_TRY = (EnvironmentFailure, MemoryError, OSError, torch.AcceleratorError)
"""Errors that may not happen again in another process. All others would: training is reproducible bit for bit."""


def use_threads(count: int) -> None:
    """Set the number of threads, whatever OMP_NUM_THREADS says, because results depend on it in their last bits.

    A sweep's trials use one thread each, because they run side by side.
    """
    limit = os.environ.get("OMP_THREAD_LIMIT", "")  # asked for more, OpenMP waits for ever
    torch.set_num_threads(min(count, int(limit)) if limit.isdecimal() else count)


class TrialRun:
    """A trial in progress.

    It resumes from `state`, which an interrupted attempt left, or continues from `parent_state`, its parent's last.
    """

    def __init__(
        self,
        assignment: Assignment,
        data: DeviceSplit | DeviceFolds,
        device: torch.device,
        state: Bundle | None = None,
        parent_state: Bundle | None = None,
    ) -> None:
        self.assignment, self.recipe, self.device = assignment, assignment.recipe, device
        self.inherited_epochs, self.started_at = 0, time.time()
        self.trainer = trainer_for(self.recipe, data, device)
        self.is_restored = state is not None and self._resume(state)  # and not yet reported
        if not self.is_restored:
            self.trainer = trainer_for(self.recipe, data, device)
            self._inherit(parent_state)
        self.is_best_sent = False
        self.state_kept_at = time.monotonic()

    def _resume(self, state: Bundle) -> bool:
        """Whether the state fits: the network may be built differently by now."""
        try:
            begun = state.facts["trial"]
            if Recipe.from_dict(begun["recipe"]) != self.recipe:
                return False
            started_at, inherited_epochs = float(begun["started_at"]), int(begun["inherited_epochs"])
            resume(self.trainer, state)
        except (LookupError, ValueError, RuntimeError, TypeError, AttributeError):
            return False
        self.started_at, self.inherited_epochs = started_at, inherited_epochs
        return True

    def _inherit(self, state: Bundle | None) -> None:
        """Continue from the parent's last state, if there is a parent. Its best epoch is not inherited."""
        if self.assignment.parent is None:
            return
        if state is None:
            raise EnvironmentFailure(
                f"the state of trial {self.assignment.parent}, from which this one continues, is missing"
            )
        resume(self.trainer, state)
        self.trainer.best, self.inherited_epochs = None, self.epoch

    @property
    def epoch(self) -> int:
        """The last finished epoch; 0 before the first."""
        return len(self.trainer.curve)

    @property
    def finished(self) -> bool:
        """Whether the trial has trained its last epoch."""
        last_epoch = self.assignment.last_epoch
        return self.trainer.finished or (last_epoch is not None and self.epoch >= last_epoch)

    def advance(self) -> Progress:
        """Train one epoch. The first time after resuming, report the restored epoch instead of training another.

        For the driver may have died before it acted on that epoch: the scheduler may have stopped the trial there.
        Raises whatever training raises.
        """
        if not self.is_restored and not self.finished:
            self.trainer.run_epoch()
        self.is_restored = False
        best = self.trainer.best
        is_new = best is not None and (best.epoch == self.epoch or not self.is_best_sent)
        self.is_best_sent |= is_new
        return Progress(
            record=self.record("finished" if self.finished else "stopped"),
            best=best_files(best.validation_probabilities, best.weights) if best and is_new else {},
            state=self._state() if self._is_state_due() else None,
        )

    def _state(self) -> Content:
        begun = {
            "recipe": asdict(self.recipe),
            "started_at": self.started_at,
            "inherited_epochs": self.inherited_epochs,
        }
        self.state_kept_at = time.monotonic()
        state = state_of(self.trainer)
        return bundle_file(replace(state, facts={**state.facts, "trial": begun}))

    def _is_state_due(self) -> bool:
        if self.finished:
            return not self.trainer.finished  # other trials continue from it
        return time.monotonic() - self.state_kept_at >= SECONDS_BETWEEN_STATES

    def record(self, status: Status, error: str | None = None) -> RunRecord:
        """The record as of now."""
        best = self.trainer.best
        return RunRecord(
            trial=self.assignment.trial,
            status=status,
            recipe=self.recipe,
            started_at=self.started_at,
            ended_at=time.time(),
            device=str(self.device),
            precision=str(self.trainer.precision).removeprefix("torch."),
            execution=self.trainer.execution,
            thread_count=torch.get_num_threads(),
            parameter_count=self.trainer.parameter_count,
            curve=tuple(self.trainer.curve),
            best_epoch=best.epoch if best else None,
            validation=best.validation if best else None,
            error=error,
            label=self.assignment.label,
            fold_scores=self.trainer.fold_scores,
            parent=self.assignment.parent,
            inherited_epochs=self.inherited_epochs,
            last_epoch=self.assignment.last_epoch,
        )


class Attempt:
    """One attempt at a trial, by one process. What would fail again in another ends in a record; the rest is raised."""

    def __init__(self, assignment: Assignment, data: DeviceSplit | DeviceFolds, device: torch.device) -> None:
        self.assignment, self.data, self.device = assignment, data, device
        self.states: tuple[Bundle | None, Bundle | None] = (None, None)  # the trial's own last one, its parent's last
        self.run: TrialRun | None = None

    def advance(self) -> Progress:
        """Train one epoch. Raises WORTH_ANOTHER_TRY."""
        started_at = time.time()
        try:
            if self.run is None:
                self.run = TrialRun(self.assignment, self.data, self.device, *self.states)
            return self.run.advance()
        except WORTH_ANOTHER_TRY:
            raise
        except Exception:  # noqa: BLE001 - whatever a network, an optimizer or an augmentation raises
            error = traceback.format_exc()
            record = self.run.record("failed", error) if self.run else failed_record(self.assignment, started_at, error)
            return Progress(record=record, best={})


def failed_record(assignment: Assignment, started_at: float, error: str) -> RunRecord:
    """The record of a trial that never validated."""
    return RunRecord(
        trial=assignment.trial,
        status="failed",
        recipe=assignment.recipe,
        started_at=started_at,
        ended_at=time.time(),
        error=error,
        label=assignment.label,
        parent=assignment.parent,
        last_epoch=assignment.last_epoch,
    )
