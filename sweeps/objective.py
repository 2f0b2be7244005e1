"""One trial, without Ray: trains a recipe an epoch at a time and leaves its files in the trial's folder."""

import time
import traceback

import torch

from digits_core.cross_validation import DeviceFolds, trainer_for
from digits_core.engine import DeviceSplit
from digits_core.recipe import Recipe
from digits_core.records import EpochRow, RunRecord, Status
from digits_core.store import TrialFolder


def use_threads(count: int) -> None:
    """So many threads from here on, whatever OMP_NUM_THREADS says: the bits depend on it.

    A sweep's trials take one each, for they run side by side.
    """
    torch.set_num_threads(count)


class TrialRun:
    """A trial in progress. After every epoch its folder holds all that would be needed if it ended there."""

    def __init__(
        self,
        trial: int,
        recipe: Recipe,
        data: DeviceSplit | DeviceFolds,
        device: torch.device,
        folder: TrialFolder,
        label: str = "",
    ) -> None:
        self.trial, self.recipe, self.device, self.folder, self.label = trial, recipe, device, folder, label
        self.started_at = time.time()
        folder.create()
        try:
            self.trainer = trainer_for(recipe, data, device)
        except Exception:
            self.folder.write_progress(failed_record(trial, recipe, self.started_at, traceback.format_exc(), label))
            raise

    @property
    def finished(self) -> bool:
        """Whether the recipe's last epoch is done."""
        return self.trainer.finished

    @property
    def best_nll(self) -> float:
        """The lowest validation NLL so far: what the search minimises and the leaderboard ranks by."""
        assert self.trainer.best is not None
        return self.trainer.best.validation.nll

    def advance(self) -> EpochRow:
        """Train one epoch and keep its outcome. An exception is kept as well, then raised again."""
        try:
            row = self.trainer.run_epoch()
            best = self.trainer.best
            if best is not None and best.epoch == row.epoch:
                self.folder.write_best(best.validation_probabilities, best.weights)
            self.folder.write_progress(self.record("finished" if self.finished else "stopped"))
        except Exception:
            self.folder.write_progress(self.record("failed", error=traceback.format_exc()))
            raise
        return row

    def record(self, status: Status, error: str | None = None) -> RunRecord:
        """The record as of now."""
        best = self.trainer.best
        return RunRecord(
            trial=self.trial,
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
            label=self.label,
            fold_scores=self.trainer.fold_scores,
        )


def failed_record(trial: int, recipe: Recipe, started_at: float, error: str, label: str = "") -> RunRecord:
    """The record of a trial that never validated."""
    return RunRecord(
        trial=trial,
        status="failed",
        recipe=recipe,
        started_at=started_at,
        ended_at=time.time(),
        error=error,
        label=label,
    )
