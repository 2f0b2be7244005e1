"""Training a recipe to its end in this process."""

from dataclasses import dataclass

import torch

from digits_core.data.digits import Split
from digits_core.recipe import Recipe
from digits_core.records import EpochRow
from digits_core.training.copies import BestEpoch, DeviceSplit
from digits_core.training.engine import Trainer


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a finished training run yields."""

    curve: tuple[EpochRow, ...]
    best: BestEpoch


def train(recipe: Recipe, split: Split, device: torch.device) -> TrainResult:
    """Train a recipe to the end and return the curve and the best epoch."""
    trainer = Trainer(recipe, DeviceSplit.from_split(split, device), device)
    while not trainer.copy.finished:
        trainer.advance()
    assert trainer.copy.best is not None
    return TrainResult(curve=tuple(trainer.copy.curve), best=trainer.copy.best)
