"""The only training loop.

All images stay on the device as uint8; each batch is gathered, augmented and normalised there. Every source of
randomness has its own stream, seeded from the recipe's seed and the epoch number, so the same recipe gives the same
bits on a CPU with the same number of threads, if it is trained alone or in the same company.
"""

import contextlib
import math
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from digits_core.errors import UsageError
from digits_core.metrics import Score, score
from digits_core.recipe import STILL, Recipe
from digits_core.records import EpochRow
from digits_core.training.augment import augmented
from digits_core.training.copies import (
    BestEpoch,
    Copy,
    DeviceSplit,
    Diverged,
    check_batch_size,
    gathered,
    more_memory,
    split_order,
)
from digits_core.training.device import has_native_bfloat16, room_for
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
from digits_core.training.stacking import Streams, part, stack

SMALLEST_SIDE_FOR_BFLOAT16 = 16  # below this, casting costs more than the matrix units save (docs/lab-log.md)


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


class Stack:
    """Trains copies of one recipe as one network, an epoch at a time. A stack of one is that network.

    The copies differ in their seeds and may differ in their images, not in how many these are. Each has the
    initialisation, order, augmentation and dropout that it would have alone (on a GPU, the dropout masks differ).
    """

    def __init__(self, copies: Sequence[Copy], device: torch.device) -> None:
        first = copies[0]
        self.copies, self.device, self.recipe = tuple(copies), device, first.recipe
        self.train_count, _, side, _ = first.data.train.images.shape
        assert all(len(one.data.train.labels) == self.train_count for one in copies)
        self.shares_images = all(one.data is first.data for one in copies)
        self.clock = time.process_time if device.type == "cpu" else time.perf_counter  # of this stack's work
        self.stop: threading.Event | None = None  # set by another thread to interrupt this one's epoch
        self.precision = resolve_precision(self.recipe, side, device)
        networks = [self._initialised(one, side) for one in copies]
        self.parameter_count = count_parameters(networks[0])  # of one copy
        self.single = networks[0]  # what each copy is validated with
        self.dropout_streams: list[torch.Generator] = []
        times = "" if len(copies) == 1 else f"{len(copies)} copies of "
        with room_for(f"{times}this network of {self.parameter_count:,} parameters", more_memory(device)):
            for network, one in zip(networks, copies, strict=True):
                fit_preprocessing(network, one.data.train.images)
            self.model = self._trained(networks).to(device)
            self.single = self.model if len(copies) == 1 else self.single.to(device)
        self.forward: Callable[[torch.Tensor], torch.Tensor] = self.model
        if self.recipe.training.compile == "on":
            self.forward = torch.compile(self.model)
        self.optimizers = build_optimizers(list(self.model.parameters()), self.recipe.optimizer, device)
        epochs, decay = self.recipe.training.average_epochs, self.recipe.training.ema_decay
        self.average = WeightAverage(self.model, decay) if decay or epochs else None
        self.moving_average = None if epochs else self.average  # over steps; None: there is none, or over epochs
        self.augmentation = self.recipe.augmentation  # of the current epoch
        self.augmentation_streams = [torch.Generator(device) for _ in copies]
        self.loss_sums = torch.zeros(len(copies), device=device)  # over the images of the current epoch so far
        self.error_counts = torch.zeros(len(copies), dtype=torch.int64, device=device)
        self.captured = self._capture_where_possible()

    def _initialised(self, one: Copy, side: int) -> nn.Module:
        with torch.random.fork_rng(devices=_cuda_devices(self.device)):
            torch.manual_seed(seed_for(one.recipe.training.seed, "init"))
            return build_model(one.recipe, side)

    def _trained(self, networks: list[nn.Module]) -> nn.Module:
        """The network that is trained.

        A single one keeps torch's layers with torch.compile, and on a GPU, where dropout is one kernel, not three.
        """
        if len(networks) == 1 and (self.device.type != "cpu" or self.recipe.training.compile == "on"):
            return networks[0]
        self.dropout_streams = [torch.Generator(self.device) for _ in networks]
        in_bfloat16 = self.device.type == "cpu" and self.precision == torch.bfloat16
        return stack(networks, Streams(self.dropout_streams), in_bfloat16=in_bfloat16)

    def _capture_where_possible(self) -> CapturedStep | None:
        if self.recipe.training.compile != "auto" or why_not_captured(self.device, self.recipe.optimizer.name):
            return None
        for optimizer in self.optimizers:
            keep_rate_on_device(optimizer, self.device)
        return CapturedStep(
            self._shape(self.recipe.training.batch_size),
            self.device,
            self.optimizers,
            [*self.augmentation_streams, *self.dropout_streams],
        )

    def _shape(self, batch_size: int) -> tuple[int, ...]:
        """Of a batch's indices: (N,), or (M, N) for M copies."""
        return (batch_size,) if len(self.copies) == 1 else (len(self.copies), batch_size)

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
        """The network that is validated and kept: the weight average, once there is one."""
        if self.average is None or not self.average.steps:
            return self.model
        averaged: nn.Module = self.average.module
        return averaged

    def run_epoch(self) -> None:
        """Train one epoch, validate, and keep each copy's weights if this is its best epoch so far.

        A copy whose loss or probabilities are not finite has failed from then on; what it trains further is not read.
        On a CPU, the epoch is cut short once no copy's loss is finite. Raises OutOfMemory if the memory is too small,
        KeyboardInterrupt if `stop` was set.
        """
        epoch = len(self.copies[0].curve) + 1
        wall, busy = time.perf_counter(), self.clock()
        batch_size = self.recipe.training.batch_size
        with room_for(f"training.batch_size={batch_size} with this network", f"try {max(1, batch_size // 2)}"):
            with freed_memory_kept():
                losses, error_counts = self._train_epoch(epoch)
            self._note_lost(losses, epoch)
            validating = self.clock()
            validated = [self._validated(position, epoch) for position in range(len(self.copies))]
        validating = self.clock() - validating
        seconds, busy = time.perf_counter() - wall, self.clock() - busy
        for one, loss, error_count, validation in zip(self.copies, losses, error_counts, validated, strict=True):
            if validation is not None:
                one.curve.append(
                    EpochRow(
                        epoch=epoch,
                        train_loss=loss / self.train_count,
                        train_error_count=error_count,
                        train_n=self.train_count,
                        validation_nll=validation.nll,
                        validation_error_count=validation.error_count,
                        validation_n=validation.n,
                        seconds=seconds / len(self.copies),
                        busy_seconds=busy / len(self.copies),
                        validation_busy_seconds=validating / len(self.copies),
                    )
                )

    def _train_epoch(self, epoch: int) -> tuple[list[float], list[int]]:
        """One pass over the training images. Returns each copy's sum of losses and count of errors."""
        batches = self._batches(epoch)
        nlls = tuple(row.validation_nll for row in self.copies[0].curve)
        for name, streams in (("augmentation", self.augmentation_streams), ("dropout", self.dropout_streams)):
            for one, stream in zip(self.copies, streams, strict=False):
                stream.manual_seed(seed_for(one.recipe.training.seed, name, epoch))
        self._augment_as_in(epoch)
        self.loss_sums.zero_()
        self.error_counts.zero_()
        self.model.train()
        with self._default_stream(epoch):
            for step, indices in enumerate(batches):
                if self.stop is not None and self.stop.is_set():
                    raise KeyboardInterrupt
                epochs_done = epoch - 1 + step / len(batches)
                progress = Progress(epochs_done=epochs_done, epochs=self.recipe.training.epochs, validation_nlls=nlls)
                factor = learning_rate_factor(self.recipe.schedule, progress)
                for optimizer in self.optimizers:
                    set_learning_rate(optimizer, self.recipe.optimizer.learning_rate * factor)
                if self.moving_average is not None:
                    self.moving_average.advance()
                if self.captured is None:
                    self._step(indices)
                else:
                    self.captured.run(self._step, indices)
                # On other devices, reading the losses would wait for the device.
                if self.device.type == "cpu" and not any(map(math.isfinite, self.loss_sums.tolist())):
                    break
        if self.average is not None and self._is_among_last(self.recipe.training.average_epochs, epoch):
            self.average.include(self.model)
        return self.loss_sums.tolist(), self.error_counts.tolist()

    def _is_among_last(self, count: int, epoch: int) -> bool:
        return epoch > self.recipe.training.epochs - count

    def _augment_as_in(self, epoch: int) -> None:
        """Set the augmentation of an epoch. A recorded step contains it, so where it changes, a new one is recorded."""
        own = self.recipe.augmentation
        wanted = STILL if self._is_among_last(own.still_epochs, epoch) else own
        if wanted != self.augmentation:
            self.augmentation = wanted
            self.captured = None  # frees its memory before the next one takes some
            self.captured = self._capture_where_possible()

    def _batches(self, epoch: int) -> list[torch.Tensor]:
        """The epoch's batches, as indices of training images: each copy's in its own order."""
        orders = [
            torch.randperm(
                self.train_count,
                generator=torch.Generator().manual_seed(seed_for(one.recipe.training.seed, "order", epoch)),
            )
            for one in self.copies
        ]
        order = orders[0] if len(orders) == 1 else torch.stack(orders)
        return split_order(order.to(self.device), self.recipe.training.batch_size)

    @contextlib.contextmanager
    def _default_stream(self, epoch: int) -> Iterator[None]:
        """If dropout has no streams of its own, it draws from torch's: seeded here, restored afterwards."""
        if self.dropout_streams:
            yield
            return
        with torch.random.fork_rng(devices=_cuda_devices(self.device)):
            torch.manual_seed(seed_for(self.recipe.training.seed, "dropout", epoch))
            yield

    def _step(self, indices: torch.Tensor) -> None:
        """One update on these training images. Adds their losses and errors to the epoch's sums."""
        images, labels = self._augmented(indices)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == torch.bfloat16):
            raw = self.forward(images.contiguous(memory_format=torch.channels_last))
        logits = raw.float()
        losses = self._losses(logits, labels)
        torch.autograd.backward(losses.sum())
        if self.recipe.training.gradient_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.training.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.moving_average is not None:
            self.moving_average.update(self.model)
        self.loss_sums += losses.detach() * labels.shape[-1]
        self.error_counts += (logits.detach().argmax(dim=-1) != labels).sum(dim=-1)

    def _augmented(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The images, (N, 1, H, W) or (N, M, H, W), and their labels, (N,) or (M, N)."""
        images, labels = gathered([one.data.train for one in self.copies], indices, shared=self.shares_images)
        seen = to_model_input(images.flatten(end_dim=-4))
        seen = augmented(seen, self.augmentation, self.augmentation_streams)
        if indices.ndim == 2:
            seen = seen.view(*indices.shape, *seen.shape[-2:]).transpose(0, 1)
        return seen, labels

    def _losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss of the batch, () or one for each copy, (M,)."""
        if labels.ndim == 1:
            return training_loss(logits, labels, self.recipe.loss)
        each = training_loss(logits.flatten(end_dim=1), labels.flatten(), self.recipe.loss, "none")
        return each.view(labels.shape).mean(dim=1)

    def _note_lost(self, losses: Sequence[float], epoch: int) -> None:
        for one, loss in zip(self.copies, losses, strict=True):
            if one.failure is None and not math.isfinite(loss):
                one.failure = Diverged(f"the training loss is {loss} in epoch {epoch}; a lower learning rate may help")

    def _validated(self, position: int, epoch: int) -> Score | None:
        """Validate a copy, as the network that would be stored, and keep it if it is the best so far."""
        one = self.copies[position]
        if one.failure is not None:
            return None
        network = self._network(position)
        probabilities = predict(network, one.data.validation.images, self.precision)
        if not np.isfinite(probabilities).all():
            one.failure = Diverged(
                f"the validation probabilities are not finite after epoch {epoch}; a lower learning rate may help"
            )
            return None
        validation = score(one.data.validation_labels, probabilities)
        if one.best is None or one.recipe.training.keep == "last" or validation.nll < one.best.validation.nll:
            one.best = BestEpoch(
                epoch=epoch,
                validation=validation,
                validation_probabilities=probabilities,
                weights={
                    name: value.detach().to("cpu", copy=True).numpy() for name, value in network.state_dict().items()
                },
            )
        return validation

    def _network(self, position: int) -> nn.Module:
        """A copy's network, as it is validated and stored."""
        if len(self.copies) == 1:
            return self.evaluated_model
        self.single.load_state_dict(self.parts_of(self.evaluated_model.state_dict(), position))
        return self.single

    def parts_of(self, state: Mapping[str, torch.Tensor], position: int) -> dict[str, torch.Tensor]:
        """A copy's share of the stacked network's state, as views, by the same names."""
        single = self.single.state_dict()
        return {name: part(whole, single[name].shape, position, len(self.copies)) for name, whole in state.items()}


class Trainer(Stack):
    """Trains one network on one split, an epoch at a time: call `advance` until `copy.finished`."""

    def __init__(self, recipe: Recipe, data: DeviceSplit, device: torch.device) -> None:
        self.copy = Copy(recipe, data)
        super().__init__([self.copy], device)

    def advance(self) -> EpochRow:
        """`run_epoch`. Returns its row. Raises Diverged if training diverged."""
        self.run_epoch()
        if self.copy.failure is not None:
            raise self.copy.failure
        return self.copy.curve[-1]


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
