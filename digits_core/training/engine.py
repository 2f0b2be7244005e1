"""The only training loop.

All images stay on the device as uint8; each batch is gathered, augmented and normalised there. Every source of
randomness has its own stream, seeded from the recipe's seed and the epoch number, so the same recipe gives the same
bits on a CPU with the same number of threads.
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
from torch import nn

from digits_core.data.digits import LabelledImages, Split
from digits_core.errors import UsageError
from digits_core.metrics import Score, score
from digits_core.recipe import Recipe
from digits_core.records import EpochRow
from digits_core.training.augment import augmented
from digits_core.training.device import default_device, has_native_bfloat16, room_for
from digits_core.training.evaluate import predict, to_model_input
from digits_core.training.fast_steps import CapturedStep, freed_memory_kept, why_not_captured
from digits_core.training.losses import training_loss
from digits_core.training.models import build_model, count_parameters, fit_preprocessing
from digits_core.training.optim import (
    Progress,
    WeightAverage,
    build_optimizers,
    keep_rate_on_device,
    learning_rate_factor,
    set_learning_rate,
)

SMALLEST_SIDE_FOR_BFLOAT16 = 16  # below this, casting costs more than the matrix units save (docs/lab-log.md)

SHARED_GPU = "stop the other programs that use it, or choose --device cpu"


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
class TrainResult:
    """What a finished training run returns."""

    curve: tuple[EpochRow, ...]
    best: BestEpoch


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
        with room_for("the data set", SHARED_GPU):
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
    """An independent 64-bit seed for a named random stream in one epoch."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), epoch])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)  # torch takes signed 64 bits


def resolve_precision(recipe: Recipe, side: int, device: torch.device) -> torch.dtype:
    """The dtype of the matrix products: the one the recipe names, or what `auto` means on this device."""
    wanted = recipe.training.precision
    convolutional, seen_side = recipe.model.name != "mlp", recipe.input.side or side
    large = device.type == "cuda" or (convolutional and seen_side >= SMALLEST_SIDE_FOR_BFLOAT16)
    if wanted == "bfloat16" or (wanted == "auto" and large and has_native_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


def check_batch_size(recipe: Recipe, train_count: int) -> None:
    """Raise UsageError if a batch is larger than the training set."""
    if recipe.training.batch_size > train_count:
        raise UsageError(
            f"training.batch_size {recipe.training.batch_size} is larger than the {train_count} training images;"
            f" choose at most {train_count}"
        )


def check_fit(recipe: Recipe, side: int, train_count: int) -> None:
    """Raise UsageError if a recipe cannot be trained on `train_count` square images of `side` pixels."""
    if recipe.training.epochs == 0:
        raise UsageError("training.epochs is 0, so nothing would be trained; set it to 1 or more")
    check_batch_size(recipe, train_count)
    with torch.random.fork_rng(devices=[]):
        model = build_model(recipe, side)
        if recipe.training.batch_size == 1:
            _check_single_image(model, side)


def _check_single_image(model: nn.Module, side: int) -> None:
    """Raise UsageError if batch norm would see a single value per channel, which has no variance."""
    try:
        with torch.no_grad():
            model.train()(torch.zeros(1, 1, side, side))
    except ValueError as error:
        raise UsageError("training.batch_size 1 is too small for this network's batch norm; use at least 2") from error


class Trainer:
    """Trains one network on one split, an epoch at a time: call `run_epoch` until `finished`."""

    fold_scores: tuple[Score, ...] = ()  # a single split has none; FoldsTrainer in cross_validation.py does

    def __init__(self, recipe: Recipe, data: DeviceSplit, device: torch.device) -> None:
        train_count, _, side, _ = data.train.images.shape
        check_batch_size(recipe, train_count)
        self.recipe, self.data, self.device = recipe, data, device
        self.precision = resolve_precision(recipe, side, device)
        with torch.random.fork_rng(devices=_cuda_devices(device)):
            torch.manual_seed(seed_for(recipe.training.seed, "init"))
            self.model = build_model(recipe, side)
        self.parameter_count = count_parameters(self.model)
        with room_for(f"this network of {self.parameter_count:,} parameters", SHARED_GPU):
            fit_preprocessing(self.model, data.train.images)
            self.model.to(device)
        self.forward: Callable[[torch.Tensor], torch.Tensor] = self.model
        if recipe.training.compile == "on":
            self.forward = torch.compile(self.model)
        self.optimizers = build_optimizers(list(self.model.parameters()), recipe.optimizer, device)
        self.average = WeightAverage(self.model, recipe.training.ema_decay) if recipe.training.ema_decay else None
        self.augmentation_stream = torch.Generator(device)
        self.loss_sum = torch.zeros((), device=device)  # over the images of the current epoch so far
        self.error_count = torch.zeros((), dtype=torch.int64, device=device)
        self.captured = self._capture_where_possible()
        self.curve: list[EpochRow] = []
        self.best: BestEpoch | None = None

    def _capture_where_possible(self) -> CapturedStep | None:
        if self.recipe.training.compile != "auto" or why_not_captured(self.device, self.recipe.optimizer.name):
            return None
        for optimizer in self.optimizers:
            keep_rate_on_device(optimizer, self.device)
        return CapturedStep(self.recipe.training.batch_size, self.device, self.optimizers, [self.augmentation_stream])

    @property
    def execution(self) -> str:
        """How steps run: "CUDA graph", "torch.compile" or "eager", with the reason if a CUDA graph was not possible."""
        if self.recipe.training.compile != "auto":
            return "torch.compile" if self.recipe.training.compile == "on" else "eager"
        if self.device.type != "cuda":
            return "eager"
        if self.captured is None:
            return f"eager ({why_not_captured(self.device, self.recipe.optimizer.name)})"
        return f"eager (capture failed: {self.captured.failure})" if self.captured.failure else "CUDA graph"

    @property
    def evaluated_model(self) -> nn.Module:
        """The network that is validated and kept: the weight average if the recipe asks for one."""
        if self.average is None:
            return self.model
        averaged: nn.Module = self.average.module
        return averaged

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or the recipe's patience has run out."""
        done, patience = len(self.curve), self.recipe.training.patience_epochs
        nlls = [row.validation_nll for row in self.curve]
        waited = done - 1 - nlls.index(min(nlls)) if nlls else 0
        return done >= self.recipe.training.epochs or (patience > 0 and waited >= patience)

    def run_epoch(self) -> EpochRow:
        """Train one epoch, validate, and keep the weights if this is the best epoch so far.

        Raises Diverged as soon as the loss is not finite (on a GPU: at the end of the epoch), EnvironmentFailure if the
        GPU runs out of memory.
        """
        assert not self.finished
        epoch = len(self.curve) + 1
        wall, busy = time.perf_counter(), self._busy_seconds()
        batch_size = self.recipe.training.batch_size
        with room_for(f"training.batch_size={batch_size} with this network", f"try {max(1, batch_size // 2)}"):
            with freed_memory_kept():
                loss, error_count = self._train_epoch(epoch)
            self._check_loss(loss, epoch)
            validating = self._busy_seconds()
            probabilities = predict(self.evaluated_model, self.data.validation.images, self.precision)
        validating = self._busy_seconds() - validating
        if not np.isfinite(probabilities).all():
            raise Diverged(
                f"the validation probabilities are not finite after epoch {epoch}; a lower learning rate may help"
            )
        validation = score(self.data.validation_labels, probabilities)
        if self.best is None or self.recipe.training.keep == "last" or validation.nll < self.best.validation.nll:
            self.best = BestEpoch(
                epoch=epoch,
                validation=validation,
                validation_probabilities=probabilities,
                weights={
                    name: value.detach().to("cpu", copy=True).numpy()
                    for name, value in self.evaluated_model.state_dict().items()
                },
            )
        row = EpochRow(
            epoch=epoch,
            train_loss=loss,
            train_error_count=error_count,
            train_n=len(self.data.train.labels),
            validation_nll=validation.nll,
            validation_error_count=validation.error_count,
            validation_n=validation.n,
            seconds=time.perf_counter() - wall,
            busy_seconds=self._busy_seconds() - busy,
            validation_busy_seconds=validating,
        )
        self.curve.append(row)
        return row

    def _busy_seconds(self) -> float:
        """A clock: processor time on a CPU, wall time elsewhere."""
        return time.process_time() if self.device.type == "cpu" else time.perf_counter()

    def _train_epoch(self, epoch: int) -> tuple[float, int]:
        """One pass over the training images. Returns the mean loss and the error count."""
        seed, batch_size = self.recipe.training.seed, self.recipe.training.batch_size
        order_stream = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
        self.augmentation_stream.manual_seed(seed_for(seed, "augmentation", epoch))
        count = len(self.data.train.labels)
        batches = split_order(torch.randperm(count, generator=order_stream).to(self.device), batch_size)
        nlls = tuple(row.validation_nll for row in self.curve)
        self.loss_sum.zero_()
        self.error_count.zero_()
        self.model.train()
        with torch.random.fork_rng(devices=_cuda_devices(self.device)):
            torch.manual_seed(seed_for(seed, "dropout", epoch))
            for step, indices in enumerate(batches):
                epochs_done = epoch - 1 + step / len(batches)
                progress = Progress(epochs_done=epochs_done, epochs=self.recipe.training.epochs, validation_nlls=nlls)
                factor = learning_rate_factor(self.recipe.schedule, progress)
                for optimizer in self.optimizers:
                    set_learning_rate(optimizer, self.recipe.optimizer.learning_rate * factor)
                if self.average is not None:
                    self.average.advance()
                if self.captured is None:
                    self._step(indices)
                else:
                    self.captured.run(self._step, indices)
                if self.device.type == "cpu":  # elsewhere, reading the loss would wait for the device
                    self._check_loss(float(self.loss_sum), epoch)
        return float(self.loss_sum) / count, int(self.error_count)

    def _step(self, indices: torch.Tensor) -> None:
        """One update on these training images. Adds their loss and errors to the epoch's sums."""
        labels = self.data.train.labels[indices]
        images = to_model_input(self.data.train.images[indices])
        images = augmented(images, self.recipe.augmentation, self.augmentation_stream)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == torch.bfloat16):
            raw = self.forward(images.contiguous(memory_format=torch.channels_last))
        logits = raw.float()
        loss = training_loss(logits, labels, self.recipe.loss)
        torch.autograd.backward(loss)
        if self.recipe.training.gradient_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.training.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        self.loss_sum += loss.detach() * len(labels)
        self.error_count += (logits.detach().argmax(dim=1) != labels).sum()

    def _check_loss(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise Diverged(f"the training loss is {loss} in epoch {epoch}; a lower learning rate may help")


def split_order(order: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Batches of that size. A single image left over joins the batch before it: batch norm cannot take it alone."""
    batches = list(torch.split(order, batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def train(
    recipe: Recipe,
    split: Split,
    device: torch.device | None = None,
    on_epoch: Callable[[EpochRow], None] | None = None,
) -> TrainResult:
    """Train a recipe to the end and return the curve and the best epoch."""
    device = device or default_device()
    trainer = Trainer(recipe, DeviceSplit.from_split(split, device), device)
    while not trainer.finished:
        row = trainer.run_epoch()
        if on_epoch is not None:
            on_epoch(row)
    if trainer.best is None:
        raise UsageError("training.epochs is 0, so nothing was trained; set it to 1 or more")
    return TrainResult(curve=tuple(trainer.curve), best=trainer.best)
