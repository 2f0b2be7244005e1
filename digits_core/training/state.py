"""Saves and restores a training run in progress: current weights, optimizer state, curve and best epoch.

No random state is stored: every epoch draws from its own streams, seeded from the recipe's seed and the epoch number.
So an interrupted run resumes to the same bits.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from digits_core.metrics import Score
from digits_core.records import Bundle, EpochRow
from digits_core.training.cross_validation import FoldsTrainer
from digits_core.training.engine import BestEpoch, Trainer

Arrays = dict[str, npt.NDArray[Any]]


def state_of(trainer: Trainer | FoldsTrainer) -> Bundle:
    """The complete state after the last finished epoch."""
    if isinstance(trainer, Trainer):
        return Bundle(arrays=_arrays(trainer), facts=_facts(trainer))
    folds = [state_of(member) for member in trainer.trainers]
    return Bundle(
        arrays={f"{n}.{name}": array for n, fold in enumerate(folds) for name, array in fold.arrays.items()},
        facts={"folds": [fold.facts for fold in folds]},
    )


def resume(trainer: Trainer | FoldsTrainer, state: Bundle) -> None:
    """Restore that state into a new trainer of the same recipe and data.

    Raises KeyError, ValueError or RuntimeError if the state does not fit; the trainer is then unusable.
    """
    if isinstance(trainer, Trainer):
        _resume(trainer, state.arrays, state.facts)
        return
    for number, member in enumerate(trainer.trainers):
        prefix = f"{number}."
        arrays = {name.removeprefix(prefix): a for name, a in state.arrays.items() if name.startswith(prefix)}
        _resume(member, arrays, state.facts["folds"][number])
    trainer.pool_again()


def _arrays(trainer: Trainer) -> Arrays:
    arrays = {f"model.{name}": _to_numpy(value) for name, value in trainer.model.state_dict().items()}
    if trainer.average is not None:
        averaged = trainer.average.module.state_dict()
        arrays |= {f"average.{name}": _to_numpy(value) for name, value in averaged.items()}
    for number, optimizer in enumerate(trainer.optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                arrays[f"optimizer.{number}.{parameter}.{name}"] = _to_numpy(torch.as_tensor(value))
    if trainer.best is not None:
        arrays |= {f"best.{name}": value for name, value in trainer.best.weights.items()}
        arrays["probabilities"] = trainer.best.validation_probabilities
    return arrays


def _facts(trainer: Trainer) -> dict[str, Any]:
    best = trainer.best
    return {
        "curve": [dataclasses.asdict(row) for row in trainer.curve],
        "average_steps": trainer.average.steps if trainer.average is not None else 0,
        "best": best and {"epoch": best.epoch, "validation": dataclasses.asdict(best.validation)},
    }


def _resume(trainer: Trainer, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> None:
    trainer.model.load_state_dict(_tensors(arrays, "model."))
    if trainer.average is not None:
        trainer.average.module.load_state_dict(_tensors(arrays, "average."))
        trainer.average.steps = int(facts["average_steps"])
    for number, optimizer in enumerate(trainer.optimizers):
        states: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in _tensors(arrays, f"optimizer.{number}.").items():
            position, _, name = key.partition(".")
            states.setdefault(int(position), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        for parameter, values in optimizer.state.items():
            values.update({name: _laid_out(value, parameter, trainer) for name, value in values.items()})
    trainer.curve[:] = [EpochRow(**row) for row in facts["curve"]]
    best = facts["best"]
    trainer.best = best and BestEpoch(
        epoch=best["epoch"],
        validation=Score(**best["validation"]),
        validation_probabilities=arrays["probabilities"],
        weights={name.removeprefix("best."): value for name, value in arrays.items() if name.startswith("best.")},
    )


def _laid_out(value: torch.Tensor, parameter: torch.Tensor, trainer: Trainer) -> torch.Tensor:
    """A restored optimizer value, laid out as if it had never been stored.

    It takes its parameter's memory order (such as channels last), because fused optimizers walk through both side by
    side. A step counter goes to the device if steps are recorded there.
    """
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
    return value.to(trainer.device) if trainer.captured is not None else value


def _to_numpy(value: torch.Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = value.detach().to("cpu", copy=True).numpy()
    return np.asarray(array, order="C")  # unlike ascontiguousarray, keeps a scalar 0-dimensional


def _tensors(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(value))
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
