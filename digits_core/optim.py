"""Optimizers by name, and learning-rate schedules as pure functions of progress."""

import math
from collections.abc import Callable, Iterable

import torch

from digits_core.recipe import Optimizer, Schedule

ONE_CYCLE_START = 1 / 25  # of the peak; Smith and Topin 2018 (arXiv 1708.07120), torch's default
ONE_CYCLE_END = 1e-4 / 25
OptimizerBuilder = Callable[[Iterable[torch.nn.Parameter], Optimizer, bool], torch.optim.Optimizer]


def _sgd(parameters: Iterable[torch.nn.Parameter], settings: Optimizer, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        weight_decay=settings.weight_decay,
        fused=fused,
    )


def _adam(parameters: Iterable[torch.nn.Parameter], settings: Optimizer, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused)


def _adamw(parameters: Iterable[torch.nn.Parameter], settings: Optimizer, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused)


def _rmsprop(parameters: Iterable[torch.nn.Parameter], settings: Optimizer, fused: bool) -> torch.optim.Optimizer:
    del fused  # torch has no fused RMSprop
    return torch.optim.RMSprop(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)


OPTIMIZERS: dict[str, OptimizerBuilder] = {"adam": _adam, "adamw": _adamw, "rmsprop": _rmsprop, "sgd": _sgd}


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter], settings: Optimizer, device: torch.device
) -> torch.optim.Optimizer:
    """Build the named optimizer, fused where torch offers it (one kernel for all parameters)."""
    return OPTIMIZERS[settings.name](parameters, settings, device.type in ("cpu", "cuda"))


def _constant(progress: float, warmup: float) -> float:
    del progress, warmup
    return 1.0


def _linear(progress: float, warmup: float) -> float:
    del warmup
    return 1.0 - progress


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _cosine(progress: float, warmup: float) -> float:
    if progress < warmup:
        return progress / warmup
    return _cosine_between(1.0, 0.0, (progress - warmup) / (1 - warmup))


def _one_cycle(progress: float, warmup: float) -> float:
    if progress < warmup:
        return _cosine_between(ONE_CYCLE_START, 1.0, progress / warmup)
    return _cosine_between(1.0, ONE_CYCLE_END, (progress - warmup) / (1 - warmup))


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "one-cycle": _one_cycle,
}


def learning_rate_factor(settings: Schedule, progress: float) -> float:
    """The share of the peak learning rate at `progress` (0 before the first step, 1 after the last)."""
    return SCHEDULES[settings.name](progress, settings.warmup_fraction)
