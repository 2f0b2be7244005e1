"""The only training loop.

All images live on the device as uint8 from the first step; a batch is gathered, augmented and normalised
there. Every source of randomness is its own stream, derived from the recipe's seed and the epoch's number,
so that the same recipe gives the same bits on a CPU with the same thread count.
"""

import math
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from digits_core.augment import random_affine
from digits_core.data import LabelledImages, Split
from digits_core.device import default_device, has_native_bfloat16
from digits_core.errors import UsageError
from digits_core.evaluate import predict, to_model_input
from digits_core.metrics import Score, score
from digits_core.models import build_model, count_parameters
from digits_core.optim import build_optimizer, learning_rate_factor
from digits_core.recipe import Recipe
from digits_core.records import EpochRow

SMALLEST_SIDE_FOR_BFLOAT16 = 16  # below, casting costs more than the matrix units give back (docs/lab-log.md)


class Diverged(RuntimeError):
    """The training loss is no longer a finite number."""


@dataclass(frozen=True, kw_only=True)
class BestEpoch:
    """The epoch that counts: lowest validation NLL, ties to the earlier one."""

    epoch: int
    validation: Score
    validation_probabilities: npt.NDArray[np.float32]  # (N, 10)
    weights: dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a finished training run leaves."""

    curve: tuple[EpochRow, ...]
    best: BestEpoch


@dataclass(frozen=True, kw_only=True)
class DevicePart:
    """images: uint8 (N, 1, H, W); labels: int64 (N,), both on one device. Never written to."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class DeviceSplit:
    """A split as tensors on a device; on a CPU the images share the memory of the arrays they came from."""

    train: DevicePart
    validation: DevicePart
    validation_labels: npt.NDArray[np.uint8]

    @staticmethod
    def from_split(split: Split, device: torch.device) -> "DeviceSplit":
        """Upload once. Arrays shared between processes stay shared: nothing here writes to them."""
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


def seed_for(seed: int, stream: str, epoch: int = 0) -> int:
    """An independent 64-bit seed for a named stream of randomness in one epoch."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), epoch])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)  # torch takes signed 64 bits


def resolve_precision(recipe: Recipe, side: int, device: torch.device) -> torch.dtype:
    """The type of the matrix products: what the recipe says, or what `auto` means here."""
    wanted = recipe.training.precision
    convolutional = recipe.model.name != "mlp"
    large = device.type == "cuda" or (convolutional and side >= SMALLEST_SIDE_FOR_BFLOAT16)
    if wanted == "bfloat16" or (wanted == "auto" and large and has_native_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


class Trainer:
    """One training run that advances an epoch at a time: call `run_epoch` until `finished`."""

    def __init__(self, recipe: Recipe, data: DeviceSplit, device: torch.device) -> None:
        train_count, _, side, _ = data.train.images.shape
        if recipe.training.batch_size > train_count:
            raise UsageError(
                f"training.batch_size {recipe.training.batch_size} is larger than the {train_count} training images"
            )
        self.recipe, self.data, self.device = recipe, data, device
        self.precision = resolve_precision(recipe, side, device)
        with torch.random.fork_rng(devices=_cuda_devices(device)):
            torch.manual_seed(seed_for(recipe.training.seed, "init"))
            self.model = build_model(recipe.model, side).to(device)
        self.parameter_count = count_parameters(self.model)
        self.optimizer = build_optimizer(self.model.parameters(), recipe.optimizer, device)
        self.curve: list[EpochRow] = []
        self.best: BestEpoch | None = None

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        return len(self.curve) >= self.recipe.training.epochs

    def run_epoch(self) -> EpochRow:
        """Train one epoch, validate, keep the weights if this is the best epoch so far.

        Raises Diverged as soon as the epoch's mean loss is not finite.
        """
        assert not self.finished
        epoch = len(self.curve) + 1
        wall, busy = time.perf_counter(), time.process_time()
        loss, error_count = self._train_epoch(epoch)
        if not math.isfinite(loss):
            raise Diverged(f"the training loss is {loss} in epoch {epoch}; a lower learning rate may help")
        probabilities = predict(self.model, self.data.validation.images, self.precision)
        if not np.isfinite(probabilities).all():
            raise Diverged(f"the validation probabilities are not finite after epoch {epoch}")
        validation = score(self.data.validation_labels, probabilities)
        if self.best is None or validation.nll < self.best.validation.nll:
            self.best = BestEpoch(
                epoch=epoch,
                validation=validation,
                validation_probabilities=probabilities,
                weights={
                    name: value.detach().to("cpu", copy=True).numpy() for name, value in self.model.state_dict().items()
                },
            )
        seconds = time.perf_counter() - wall
        row = EpochRow(
            epoch=epoch,
            train_loss=loss,
            train_error_count=error_count,
            train_n=len(self.data.train.labels),
            validation_nll=validation.nll,
            validation_error_count=validation.error_count,
            validation_n=validation.n,
            seconds=seconds,
            busy_seconds=time.process_time() - busy if self.device.type == "cpu" else seconds,
        )
        self.curve.append(row)
        return row

    def _train_epoch(self, epoch: int) -> tuple[float, int]:
        """One pass over the training images: mean loss and error count."""
        seed, batch_size = self.recipe.training.seed, self.recipe.training.batch_size
        order_stream = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
        augmentation_stream = torch.Generator(self.device).manual_seed(seed_for(seed, "augmentation", epoch))
        count = len(self.data.train.labels)
        batches = torch.split(torch.randperm(count, generator=order_stream).to(self.device), batch_size)
        steps_before, step_count = (epoch - 1) * len(batches), self.recipe.training.epochs * len(batches)
        loss_sum = torch.zeros((), device=self.device)
        error_count = torch.zeros((), dtype=torch.int64, device=self.device)
        self.model.train()
        with torch.random.fork_rng(devices=_cuda_devices(self.device)):
            torch.manual_seed(seed_for(seed, "dropout", epoch))
            for step, indices in enumerate(batches, start=steps_before):
                factor = learning_rate_factor(self.recipe.schedule, step / step_count)
                self._set_learning_rate(self.recipe.optimizer.learning_rate * factor)
                labels = self.data.train.labels[indices]
                logits = self._step(indices, labels, augmentation_stream)
                loss_sum += F.cross_entropy(logits, labels, reduction="sum")
                error_count += (logits.argmax(dim=1) != labels).sum()
        return float(loss_sum) / count, int(error_count)

    def _step(self, indices: torch.Tensor, labels: torch.Tensor, stream: torch.Generator) -> torch.Tensor:
        """One update; returns the detached logits (B, 10)."""
        images = random_affine(to_model_input(self.data.train.images[indices]), self.recipe.augmentation, stream)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == torch.bfloat16):
            raw: torch.Tensor = self.model(images.contiguous(memory_format=torch.channels_last))
        logits = raw.float()
        torch.autograd.backward(F.cross_entropy(logits, labels))
        self.optimizer.step()
        return logits.detach()

    def _set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def train(
    recipe: Recipe,
    split: Split,
    device: torch.device | None = None,
    on_epoch: Callable[[EpochRow], None] | None = None,
) -> TrainResult:
    """Train a recipe to its last epoch and return the curve and the best epoch."""
    device = device or default_device()
    trainer = Trainer(recipe, DeviceSplit.from_split(split, device), device)
    while not trainer.finished:
        row = trainer.run_epoch()
        if on_epoch is not None:
            on_epoch(row)
    if trainer.best is None:
        raise UsageError("training.epochs is 0: nothing was trained")
    return TrainResult(curve=tuple(trainer.curve), best=trainer.best)
