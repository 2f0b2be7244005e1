"""One recipe on all folds: a network per fold, scored out of fold."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from digits_core.data.digits import CLASS_COUNT, Split
from digits_core.data.folds import Folds
from digits_core.errors import UsageError
from digits_core.metrics import Score, score
from digits_core.recipe import Recipe
from digits_core.records import EpochRow
from digits_core.training.copies import BestEpoch, Copy, DeviceSplit, Diverged
from digits_core.training.engine import check_fit


@dataclass(frozen=True, kw_only=True)
class DeviceFolds:
    """Folds as tensors on a device."""

    splits: tuple[DeviceSplit, ...]
    positions: tuple[npt.NDArray[np.int64], ...]  # of each fold's held-out images in the pool
    labels: npt.NDArray[np.uint8]  # (N,), of the pool

    @staticmethod
    def from_folds(folds: Folds, device: torch.device) -> "DeviceFolds":
        return DeviceFolds(
            splits=tuple(DeviceSplit.from_split(split, device) for split in folds.splits),
            positions=folds.positions,
            labels=folds.validation.labels,
        )


def folded(recipe: Recipe) -> Recipe:
    """The recipe as trained on folds: the last epoch counts, because choosing one would use the images that judge it.

    Raises UsageError if the recipe itself uses those images, to lower the learning rate or to stop early.
    """
    for field, looks in (
        ("schedule.name=plateau", recipe.schedule.name == "plateau"),
        (f"training.patience_epochs={recipe.training.patience_epochs}", recipe.training.patience_epochs > 0),
    ):
        if looks:
            raise UsageError(
                f"{field} would steer training by the images that each fold is judged on; with --folds, use"
                " --set schedule.name=one-cycle --set training.patience_epochs=0"
            )
    return recipe.with_overrides({"training.keep": "last"})


def fitted(recipe: Recipe, side: int, data: Split | Folds) -> Recipe:
    """The recipe as trained on this data. Raises UsageError if it cannot be trained on it."""
    recipe = folded(recipe) if isinstance(data, Folds) else recipe
    check_fit(recipe, side, data.train_count)
    return recipe


class Folded:
    """One network per fold, scored out of fold. What `Copy` says of one network, this says of all of them."""

    def __init__(self, recipe: Recipe, data: DeviceFolds) -> None:
        assert recipe == folded(recipe)
        self.recipe, self.data = recipe, data
        self.copies = tuple(Copy(recipe, split) for split in data.splits)
        self.curve: list[EpochRow] = []
        self.best: BestEpoch | None = None

    @property
    def failure(self) -> Diverged | None:
        """The failure of the first fold that has failed."""
        return next((one.failure for one in self.copies if one.failure is not None), None)

    @property
    def fold_scores(self) -> tuple[Score, ...]:
        """Each fold's network, scored on the images held out from it."""
        if self.best is None:  # stopped before every fold had finished its first epoch
            return ()
        return tuple(one.best.validation for one in self.copies if one.best is not None)

    @property
    def finished(self) -> bool:
        """Whether every fold has done all its epochs."""
        return all(one.finished for one in self.copies)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train."""
        return self.failure is not None or self.finished

    def gather(self) -> None:
        """Pool the out-of-fold results of the epochs that all folds have finished."""
        self.curve = [pooled(list(rows)) for rows in zip(*(one.curve for one in self.copies), strict=False)]
        if self.failure is None:
            self.best = self._pooled_best(len(self.curve)) if self.curve else None

    def _pooled_best(self, epoch: int) -> BestEpoch:
        probabilities = np.empty((len(self.data.labels), CLASS_COUNT), dtype=np.float32)
        weights = {}
        for number, (one, positions) in enumerate(zip(self.copies, self.data.positions, strict=True)):
            assert one.best is not None
            probabilities[positions] = one.best.validation_probabilities
            weights.update({f"fold{number}.{name}": value for name, value in one.best.weights.items()})
        return BestEpoch(
            epoch=epoch,
            validation=score(self.data.labels, probabilities),
            validation_probabilities=probabilities,
            weights=weights,
        )


def pooled(rows: list[EpochRow]) -> EpochRow:
    """The same epoch of all folds as one row: counts and seconds summed, losses averaged over images."""
    train_n, validation_n = sum(row.train_n for row in rows), sum(row.validation_n for row in rows)
    return EpochRow(
        epoch=rows[0].epoch,
        train_loss=sum(row.train_loss * row.train_n for row in rows) / train_n,
        train_error_count=sum(row.train_error_count for row in rows),
        train_n=train_n,
        validation_nll=sum(row.validation_nll * row.validation_n for row in rows) / validation_n,
        validation_error_count=sum(row.validation_error_count for row in rows),
        validation_n=validation_n,
        seconds=sum(row.seconds for row in rows),
        busy_seconds=sum(row.busy_seconds for row in rows),
        validation_busy_seconds=sum(row.validation_busy_seconds or 0.0 for row in rows),
    )


def upload(data: Split | Folds, device: torch.device) -> DeviceSplit | DeviceFolds:
    """Upload the images that training may see to a device."""
    return DeviceFolds.from_folds(data, device) if isinstance(data, Folds) else DeviceSplit.from_split(data, device)


Trained = Copy | Folded
"""What a trial trains: one network, or one per fold."""


def trained_by(recipe: Recipe, data: DeviceSplit | DeviceFolds) -> Trained:
    """What a trial of this recipe trains, to be given to a Crew."""
    return Folded(recipe, data) if isinstance(data, DeviceFolds) else Copy(recipe, data)
