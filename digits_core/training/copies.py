"""What is trained: one network's recipe and its images on a device, with what has come of it so far."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from digits_core.data.digits import LabelledImages, Split
from digits_core.errors import UsageError
from digits_core.metrics import Score
from digits_core.recipe import Recipe
from digits_core.records import EpochRow
from digits_core.training.device import room_for


def more_memory(device: torch.device) -> str:
    """How to get by with the memory there is, for an error message."""
    if device.type == "cpu":
        return "stop other programs that use much of it, or train fewer trials at a time (--concurrency)"
    return "stop the other programs that use it, or choose --device cpu"


class Diverged(RuntimeError):
    """The training loss, or a validation probability, is no longer finite."""


@dataclass(frozen=True, kw_only=True)
class BestEpoch:
    """The epoch that counts: the lowest validation NLL, ties to the earlier one; or the last, if the recipe says so."""

    epoch: int
    validation: Score
    validation_probabilities: npt.NDArray[np.float32]  # (N, 10)
    weights: dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class DevicePart:
    """One set of images on a device. images: uint8 (N, 1, H, W); labels: int64 (N,). Never written to."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class DeviceSplit:
    """A split as tensors on a device. On a CPU the images share memory with the arrays they came from."""

    train: DevicePart
    validation: DevicePart
    validation_labels: npt.NDArray[np.uint8]

    @staticmethod
    def from_split(split: Split, device: torch.device) -> "DeviceSplit":
        """Upload a split. Images shared between processes stay shared: nothing here writes to them."""
        with room_for("the data set", more_memory(device)):
            return DeviceSplit(
                train=_upload(split.train, device),
                validation=_upload(split.validation, device),
                validation_labels=split.validation.labels,
            )


def _upload(part: LabelledImages, device: torch.device) -> DevicePart:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images = torch.from_numpy(part.images)
    return DevicePart(
        images=images.unsqueeze(1).to(device),
        labels=torch.from_numpy(part.labels.astype(np.int64)).to(device),
    )


def check_batch_size(recipe: Recipe, train_count: int) -> None:
    """Raise UsageError if a batch is larger than the training set."""
    if recipe.training.batch_size > train_count:
        raise UsageError(
            f"training.batch_size {recipe.training.batch_size} is larger than the {train_count} training images;"
            f" choose at most {train_count}"
        )


def split_order(order: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Batches of that size, of (N,) or (M, N). A single image left over joins the batch before it, for batch norm."""
    batches = list(torch.split(order, batch_size, dim=-1))
    if len(batches) > 1 and batches[-1].shape[-1] == 1 < batch_size:
        batches[-2:] = [torch.cat(batches[-2:], dim=-1)]
    return batches


def gathered(parts: Sequence[DevicePart], indices: torch.Tensor, *, shared: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch's images and labels, by the indices (N,) of one copy or (M, N) of several.

    shared: all copies have the same images.
    """
    if shared:
        return parts[0].images[indices], parts[0].labels[indices]
    each = list(zip(parts, indices, strict=True))
    images = torch.stack([own.images[chosen] for own, chosen in each])
    return images, torch.stack([own.labels[chosen] for own, chosen in each])


class Copy:
    """One network's training: what it trains, and what has come of it so far."""

    fold_scores: tuple[Score, ...] = ()  # a single split has none; see cross_validation.py

    def __init__(self, recipe: Recipe, data: DeviceSplit) -> None:
        check_batch_size(recipe, len(data.train.labels))
        self.recipe, self.data = recipe, data
        self.curve: list[EpochRow] = []
        self.best: BestEpoch | None = None
        self.failure: Diverged | None = None

    @property
    def copies(self) -> "tuple[Copy, ...]":
        """The networks that are trained for it: itself. Folds have several."""
        return (self,)

    def gather(self) -> None:
        """Nothing to do: what came of its networks is what came of it."""

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or the recipe's patience has run out."""
        done, patience = len(self.curve), self.recipe.training.patience_epochs
        nlls = [row.validation_nll for row in self.curve]
        waited = done - 1 - nlls.index(min(nlls)) if nlls else 0
        return done >= self.recipe.training.epochs or (patience > 0 and waited >= patience)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train: it has finished or diverged."""
        return self.failure is not None or self.finished
