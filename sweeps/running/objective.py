"""One trial, without Ray: trains a recipe epoch by epoch and keeps its files in the trial's folder."""

import time
import traceback

import torch

from digits_core.errors import EnvironmentFailure
from digits_core.records import Assignment, EpochRow, RunRecord, Status
from digits_core.runs.trial_folder import TrialFolder
from digits_core.training.cross_validation import DeviceFolds, trainer_for
from digits_core.training.engine import BestEpoch, DeviceSplit
from digits_core.training.state import resume, state_of

SECONDS_BETWEEN_STATES = 1.0
"""An interrupted trial repeats about this much at most. Writing the state after every short epoch costs more."""

WORTH_ANOTHER_TRY = (EnvironmentFailure, MemoryError, OSError, torch.AcceleratorError)
"""Errors that may not happen again in another process. All others would: training is reproducible bit for bit."""


def use_threads(count: int) -> None:
    """Set the number of threads, whatever OMP_NUM_THREADS says, because results depend on it in their last bits.

    A sweep's trials use one thread each, because they run side by side.
    """
    torch.set_num_threads(count)


class TrialRun:
    """A trial in progress. After every epoch its folder holds everything that is needed if it ends there.

    Resumes an interrupted attempt if that left its state in the folder.
    """

    def __init__(
        self, assignment: Assignment, data: DeviceSplit | DeviceFolds, device: torch.device, folder: TrialFolder
    ) -> None:
        self.assignment, self.recipe = assignment, assignment.recipe
        self.inherited_epochs = 0
        self.device, self.folder = device, folder
        self.started_at = time.time()
        folder.create()
        try:
            self.trainer = trainer_for(self.recipe, data, device)
            self._resume_or_inherit(data)
        except Exception:
            folder.write_progress(failed_record(assignment, self.started_at, traceback.format_exc()))
            raise
        self.state_kept_at = time.monotonic()

    def _resume_or_inherit(self, data: DeviceSplit | DeviceFolds) -> None:
        state, progress = self.folder.read_state(), self.folder.read_progress()
        if state is None or progress is None or progress.recipe != self.recipe:
            self._inherit()
            return
        try:
            resume(self.trainer, state)
        except (KeyError, ValueError, RuntimeError):  # the network is built differently by now
            self.trainer = trainer_for(self.recipe, data, self.device)
            self._inherit()
            return
        self.started_at, self.inherited_epochs = progress.started_at, progress.inherited_epochs
        if self.trainer.best is not None:  # the folder may hold those of a later epoch
            self._keep(self.trainer.best)

    def _inherit(self) -> None:
        """Continue from the parent's last state, if there is a parent. Its best epoch is not inherited."""
        if self.assignment.parent is None:
            return
        parent = self.folder.beside(self.assignment.parent)
        state = parent.read_state()
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

    @property
    def best_nll(self) -> float:
        """The lowest validation NLL so far. The search minimises it and the leaderboard ranks by it."""
        assert self.trainer.best is not None
        return self.trainer.best.validation.nll

    @property
    def best_error_rate(self) -> float:
        """Share of the validation images that are wrong at the best epoch."""
        assert self.trainer.best is not None
        return self.trainer.best.validation.error_count / self.trainer.best.validation.n

    def advance(self) -> EpochRow:
        """Train one epoch and store the outcome. An exception is stored as well, then raised again."""
        try:
            row = self.trainer.run_epoch()
            best = self.trainer.best
            if best is not None and best.epoch == row.epoch:
                self._keep(best)
            if self._is_state_due():
                self.folder.write_state(state_of(self.trainer))
                self.state_kept_at = time.monotonic()
            self.folder.write_progress(self.record("finished" if self.finished else "stopped"))
        except Exception:
            self.folder.write_progress(self.record("failed", error=traceback.format_exc()))
            raise
        return row

    def _keep(self, best: BestEpoch) -> None:
        self.folder.write_best(best.validation_probabilities, best.weights, best.epoch)

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
