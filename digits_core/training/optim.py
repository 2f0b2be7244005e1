"""Optimizers and learning-rate schedules by name, and a moving average of the weights.

Schedules are pure functions of the progress so far. For steps recorded as a CUDA graph, learning rates and the
average's share are tensors on the device, which a replayed step reads anew.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from digits_core.errors import EnvironmentFailure
from digits_core.recipe import Optimizer, Schedule

WARM_UP_START = 1 / 25  # of the peak; Smith and Topin 2018 (arXiv 1708.07120), torch's default
ONE_CYCLE_END = 1e-4 / 25
Parameters = Sequence[torch.nn.Parameter]
OptimizerBuilder = Callable[[Parameters, Optimizer, bool], list[torch.optim.Optimizer]]


def _sgd(parameters: Parameters, settings: Optimizer, fused: bool) -> list[torch.optim.Optimizer]:
    sgd = torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov and settings.momentum > 0,
        weight_decay=settings.weight_decay,
        fused=fused,
    )
    return [sgd]


def _betas(settings: Optimizer) -> tuple[float, float]:
    return settings.beta1, settings.beta2


def _adam_of(kind: type[torch.optim.Adam] | type[torch.optim.AdamW]) -> OptimizerBuilder:
    def build(parameters: Parameters, settings: Optimizer, fused: bool) -> list[torch.optim.Optimizer]:
        weight_decay = settings.weight_decay
        return [
            kind(parameters, lr=settings.learning_rate, betas=_betas(settings), weight_decay=weight_decay, fused=fused)
        ]

    return build


_adam, _adamw = _adam_of(torch.optim.Adam), _adam_of(torch.optim.AdamW)


def _adagrad(parameters: Parameters, settings: Optimizer, fused: bool) -> list[torch.optim.Optimizer]:
    fused = fused and all(parameter.is_cpu for parameter in parameters)  # torch has no fused Adagrad on a GPU
    learning_rate, weight_decay = settings.learning_rate, settings.weight_decay
    return [torch.optim.Adagrad(parameters, lr=learning_rate, weight_decay=weight_decay, fused=fused)]


def _rmsprop(parameters: Parameters, settings: Optimizer, fused: bool) -> list[torch.optim.Optimizer]:
    del fused  # torch has no fused RMSprop
    return [torch.optim.RMSprop(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)]


def _lion(parameters: Parameters, settings: Optimizer, fused: bool) -> list[torch.optim.Optimizer]:
    """Chen et al. 2023 (arXiv 2302.06675). Its learning rate should be 3 to 10 times smaller than AdamW's."""
    del fused
    try:
        from lion_pytorch import Lion
    except ImportError as error:
        raise EnvironmentFailure("the lion optimizer needs another package; run: pip install lion-pytorch") from error
    return [Lion(parameters, lr=settings.learning_rate, betas=_betas(settings), weight_decay=settings.weight_decay)]


def _muon(parameters: Parameters, settings: Optimizer, fused: bool) -> list[torch.optim.Optimizer]:
    """Jordan et al. 2024, with steps scaled to AdamW's (Liu et al. 2025, arXiv 2502.16982).

    Muon is defined for matrices only. AdamW updates all other parameters, convolutions included.
    """
    muon = torch.optim.Muon(
        [parameter for parameter in parameters if parameter.ndim == 2],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, *_adamw([parameter for parameter in parameters if parameter.ndim != 2], settings, fused)]


OPTIMIZERS: dict[str, OptimizerBuilder] = {
    "adagrad": _adagrad,
    "adam": _adam,
    "adamw": _adamw,
    "lion": _lion,
    "muon": _muon,
    "rmsprop": _rmsprop,
    "sgd": _sgd,
}


def build_optimizers(parameters: Parameters, settings: Optimizer, device: torch.device) -> list[torch.optim.Optimizer]:
    """Build the named optimizer (muon is two), fused where torch offers it: one kernel for all parameters."""
    return OPTIMIZERS[settings.name](parameters, settings, device.type in ("cpu", "cuda"))


def keep_rate_on_device(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Make a new optimizer's learning rate a tensor, so that a replayed step reads its current value."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)


@contextlib.contextmanager
def capturable(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[None]:
    """Inside, steps may be recorded as a CUDA graph. Reset on exit: torch warns if such optimizers then run eagerly."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of the next step for all parameters; a tensor is filled in place, where a replayed step reads it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training run has come before a step."""

    epochs_done: float  # including the share of the current epoch
    epochs: int  # of the whole run
    validation_nlls: tuple[float, ...] = ()  # of the finished epochs

    @property
    def share(self) -> float:
        """0 before the first step, 1 after the last."""
        return self.epochs_done / self.epochs


def _constant(settings: Schedule, progress: Progress) -> float:
    del settings, progress
    return 1.0


def _linear(settings: Schedule, progress: Progress) -> float:
    del settings
    return 1.0 - progress.share


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _cosine(settings: Schedule, progress: Progress) -> float:
    warmup = settings.warmup_fraction
    if progress.share < warmup:
        return WARM_UP_START + (1 - WARM_UP_START) * progress.share / warmup
    return _cosine_between(1.0, 0.0, (progress.share - warmup) / (1 - warmup))


def _one_cycle(settings: Schedule, progress: Progress) -> float:
    warmup = settings.warmup_fraction
    if progress.share < warmup:
        return _cosine_between(WARM_UP_START, 1.0, progress.share / warmup)
    return _cosine_between(1.0, ONE_CYCLE_END, (progress.share - warmup) / (1 - warmup))


def _exponential(settings: Schedule, progress: Progress) -> float:
    return float(settings.gamma**progress.epochs_done)


def _step(settings: Schedule, progress: Progress) -> float:
    return float(settings.gamma ** (math.floor(progress.epochs_done) // settings.step_epochs))


def _plateau(settings: Schedule, progress: Progress) -> float:
    lowest, waited, decays = math.inf, 0, 0
    for nll in progress.validation_nlls:
        lowest, waited = (nll, 0) if nll < lowest else (lowest, waited + 1)
        if waited == settings.patience_epochs:
            decays, waited = decays + 1, 0
    return float(settings.gamma**decays)


SCHEDULES: dict[str, Callable[[Schedule, Progress], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
    "linear": _linear,
    "one-cycle": _one_cycle,
    "plateau": _plateau,
    "step": _step,
}


def learning_rate_factor(settings: Schedule, progress: Progress) -> float:
    """The share of the peak learning rate for the next step. Stateless, so a run can resume anywhere."""
    return SCHEDULES[settings.name](settings, progress)


class WeightAverage:
    """An average of all weights and batch-norm statistics: moving, over steps, or the plain mean over some epochs.

    The decay of a moving one rises with the number of steps t as (1 + t) / (10 + t), up to `decay`, so that the average
    of a short run is not dominated by its start. With a decay of 0 it is the mean of what `include` is given: once an
    epoch, near the end, this is stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407), but for the
    statistics, which are averaged as well instead of computed anew. torch's AveragedModel would read its counter back
    from the device at every step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(requires_grad=False)
        self.decay, self.steps = decay, 0  # steps, or epochs, that are in it
        # The share of the current weights in the next average. On the device, where a replayed step reads it anew.
        self.share = torch.ones((), device=next(model.parameters()).device)

    def advance(self) -> None:
        """Call before each step, to set how much its weights will count. The first step's are taken as they are."""
        self.share.fill_(1 - min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 1.0)
        self.steps += 1

    def include(self, model: nn.Module) -> None:
        """Make it the plain mean of all models that were included, this one with them."""
        self.steps += 1
        self.share.fill_(1 / self.steps)
        self.update(model)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Call after each step, to add its weights to the average."""
        for average, value in zip(self.module.state_dict().values(), model.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(value, self.share.to(average.dtype))
            else:
                average.copy_(value)
