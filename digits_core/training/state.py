"""Saves and restores training in progress: each copy's weights, optimizer state, curve and best epoch.

No random state is stored: every epoch draws from its own streams, seeded from the recipe's seed and the epoch number.
So an interrupted run resumes to the same bits. A copy's state has the same form, trained alone or in a stack.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from digits_core.metrics import Score
from digits_core.records import Bundle, EpochRow
from digits_core.training.copies import BestEpoch, Copy
from digits_core.training.cross_validation import Trained
from digits_core.training.engine import Stack
from digits_core.training.stacking import fill, part

Arrays = dict[str, npt.NDArray[Any]]


def state_of(stack: Stack, position: int) -> Bundle:
    """The complete state of one copy after its last finished epoch."""
    one = stack.copies[position]
    return Bundle(arrays=_arrays(stack, position, one), facts=_facts(stack, one))


def joined(trial: Trained, states: Mapping[Copy, Bundle]) -> Bundle:
    """The state of a trial, from those of its copies."""
    if isinstance(trial, Copy):
        return states[trial]
    folds = [states[one] for one in trial.copies]
    return Bundle(
        arrays={f"{n}.{name}": array for n, fold in enumerate(folds) for name, array in fold.arrays.items()},
        facts={"folds": [fold.facts for fold in folds]},
    )


def by_copy(trial: Trained, state: Bundle) -> dict[Copy, Bundle]:
    """Inverse of `joined`. Raises LookupError if the state is not of such a trial."""
    if isinstance(trial, Copy):
        return {trial: state}
    return {
        one: Bundle(
            arrays={name.removeprefix(f"{n}."): a for name, a in state.arrays.items() if name.startswith(f"{n}.")},
            facts=state.facts["folds"][n],
        )
        for n, one in enumerate(trial.copies)
    }


def _arrays(stack: Stack, position: int, one: Copy) -> Arrays:
    weights = stack.parts_of(stack.model.state_dict(), position)
    arrays = {f"model.{name}": _to_numpy(value) for name, value in weights.items()}
    if stack.average is not None:
        averaged = stack.parts_of(stack.average.module.state_dict(), position)
        arrays |= {f"average.{name}": _to_numpy(value) for name, value in averaged.items()}
    for number, optimizer in enumerate(stack.optimizers):
        shapes = _shapes(stack, optimizer)
        for parameter, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                own = part(torch.as_tensor(value), shapes[parameter], position, len(stack.copies))
                arrays[f"optimizer.{number}.{parameter}.{name}"] = _to_numpy(own)
    if one.best is not None:
        arrays |= {f"best.{name}": value for name, value in one.best.weights.items()}
        arrays["probabilities"] = one.best.validation_probabilities
    return arrays


def _shapes(stack: Stack, optimizer: torch.optim.Optimizer) -> list[torch.Size]:
    """The shape in one network of each parameter that the optimizer updates, in its order."""
    shape_of = dict(zip(stack.model.parameters(), (p.shape for p in stack.single.parameters()), strict=True))
    return [shape_of[parameter] for group in optimizer.param_groups for parameter in group["params"]]


def _facts(stack: Stack, one: Copy) -> dict[str, Any]:
    best = one.best
    return {
        "curve": [dataclasses.asdict(row) for row in one.curve],
        "average_steps": stack.average.steps if stack.average is not None else 0,
        "best": best and {"epoch": best.epoch, "validation": dataclasses.asdict(best.validation)},
    }


def restore(one: Copy, state: Bundle | None) -> None:
    """Set back what came of a copy so far: to that state, or to before its first epoch.

    Raises KeyError, ValueError or TypeError if the state is not of a copy.
    """
    facts = state.facts if state is not None else {"curve": [], "best": None}
    arrays = state.arrays if state is not None else {}
    one.curve = [EpochRow(**row) for row in facts["curve"]]
    best = facts["best"]
    one.best = best and BestEpoch(
        epoch=best["epoch"],
        validation=Score(**best["validation"]),
        validation_probabilities=arrays["probabilities"],
        weights={name.removeprefix("best."): value for name, value in arrays.items() if name.startswith("best.")},
    )
    one.failure = None


def load(stack: Stack, states: Sequence[Bundle]) -> None:
    """Give a new stack the weights and the optimizer state of its copies, whose curves were restored already.

    Raises KeyError, ValueError or RuntimeError if the states do not fit; the stack is then unusable.
    """
    _load_weights(stack.model, stack, [_tensors(state.arrays, "model.") for state in states])
    if stack.average is not None:
        _load_weights(stack.average.module, stack, [_tensors(state.arrays, "average.") for state in states])
        stack.average.steps = int(states[0].facts["average_steps"])
    for number, optimizer in enumerate(stack.optimizers):
        parts = [_tensors(state.arrays, f"optimizer.{number}.") for state in states]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        shapes, values = _shapes(stack, optimizer), dict[int, dict[str, torch.Tensor]]()
        for key in parts[0]:
            position, _, name = key.partition(".")
            index, own = int(position), [values_of[key] for values_of in parts]
            values.setdefault(index, {})[name] = _whole(own, shapes[index], parameters[index])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": values})
        for parameter, loaded in optimizer.state.items():
            loaded.update({name: _laid_out(value, parameter, stack) for name, value in loaded.items()})


def _load_weights(module: torch.nn.Module, stack: Stack, parts: Sequence[Mapping[str, torch.Tensor]]) -> None:
    if len(parts) == 1:
        module.load_state_dict(parts[0])
        return
    for own in parts:
        stack.single.load_state_dict(own)  # checks names and shapes
    for name, whole in module.state_dict().items():
        fill(whole, [own[name] for own in parts])


def _whole(parts: Sequence[torch.Tensor], shape: torch.Size, parameter: torch.Tensor) -> torch.Tensor:
    """The copies' values of an optimizer as one; a step counter is the same for all."""
    if len(parts) == 1 or parts[0].shape != shape:
        return parts[0]
    whole = torch.empty(parameter.shape, dtype=parts[0].dtype)
    fill(whole, parts)
    return whole


def _laid_out(value: torch.Tensor, parameter: torch.Tensor, stack: Stack) -> torch.Tensor:
    """A restored optimizer value, laid out as if it had never been stored.

    It takes its parameter's memory order (such as channels last), because fused optimizers walk through both side by
    side. A step counter goes to the device if steps are recorded there.
    """
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
    return value.to(stack.device) if stack.captured is not None else value


def _to_numpy(value: torch.Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = value.detach().to("cpu", copy=True).numpy()
    return np.asarray(array, order="C")  # unlike ascontiguousarray, keeps a scalar 0-dimensional


def _tensors(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(value))
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
