"""Values that were handed in: which are probabilities, digits and positions, and what to do about the others.

An image's probabilities may miss one by 5e-3, as three decimals do. Those that miss it by more than 5e-4, half of what
digits allows in its own files, are divided by their sum; the others stay as they are, to the bit.
"""

from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import CLASS_COUNT
from digits_core.errors import UsageError
from digits_core.runs.durable import LARGEST_GAP, MOST_IMAGES

Array = npt.NDArray[np.generic]
Numbers = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
LARGEST_ROUNDING = 5e-3  # how far ten probabilities with three decimals may sum from one
LEAST = -1e-6  # a probability may come out that far below zero
EQUAL = 1e-6  # probabilities closer than this tie


def answers_of(
    path: Path, probabilities: Array | None, predictions: Array | None
) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.int64]]:
    """Probabilities (S, N, 10), if there are any, and predicted digits (S, N). Raises UsageError if they differ."""
    if probabilities is None:
        assert predictions is not None
        return None, _predictions(path, predictions)
    sound = _probabilities(path, probabilities)
    if predictions is None:
        return sound, sound.argmax(axis=2).astype(np.int64)
    predicted = _predictions(path, predictions)
    if predicted.shape != sound.shape[:2]:
        raise UsageError(
            f"{path} has probabilities of shape {sound.shape}, but predictions of shape {predicted.shape}, seeds first;"
            " leave the predictions out"
        )
    chosen = np.take_along_axis(sound, predicted[..., np.newaxis], axis=2)[..., 0]
    is_other = chosen < sound.max(axis=2) - EQUAL
    if is_other.any():
        raise UsageError(
            f"{path}: {is_other.sum():,} of {is_other.size:,} predictions are not the likeliest digit by the"
            f" probabilities, first in {_row(is_other)}; leave the predictions out, or order the probabilities by digit"
        )
    return sound, predicted


def _row(is_wrong: npt.NDArray[np.bool_]) -> str:
    """Where the first wrong value is, among the images along the last axis."""
    return f"row {int(is_wrong.argmax()) % is_wrong.shape[-1] + 1}"


def _finite(path: Path, what: str, given: Array) -> Numbers:
    if given.dtype.kind not in "iuf":
        raise UsageError(f"{path}: its {what} are of type {given.dtype}, not numbers; write them as float32 or int64")
    if not given.size:
        raise UsageError(f"{path}: its {what} have shape {given.shape}: there are none")
    values = given.astype(np.float64)
    if not np.isfinite(values).all():
        raise UsageError(f"{path}: its {what} contain NaN or infinity; predict these images again")
    return values


def _whole(path: Path, what: str, given: Array) -> npt.NDArray[np.int64]:
    values = _finite(path, what, given)
    if (values % 1).any():
        value = values[values % 1 != 0][0]
        raise UsageError(f"{path}: its {what} must be whole numbers, but {value:g} is among them")
    if np.abs(values).max() > MOST_IMAGES:
        raise UsageError(f"{path}: its {what} contain {values[np.abs(values) > MOST_IMAGES][0]:g}, which is too large")
    return values.astype(np.int64)


def digits_of(path: Path, what: str, given: Array, ndim: int = 1) -> npt.NDArray[np.int64]:
    """Digits with as many dimensions as they should have. Raises UsageError, also if they are one-hot."""
    if given.ndim == 2 and ndim == 1 and given.shape[1] == CLASS_COUNT:
        raise UsageError(f"{path}: its {what} have shape {given.shape}, one-hot perhaps; write {what}.argmax(axis=1)")
    if given.ndim != ndim:
        raise UsageError(f"{path}: its {what} have shape {given.shape}; write one digit per image, (N,)")
    digits = _whole(path, what, given)
    low, high = int(digits.min()), int(digits.max())
    if low >= 1 and high == CLASS_COUNT:
        raise UsageError(f"{path}: its {what} are counted from 1 (1 to 10); subtract 1")
    if low < 0 or high >= CLASS_COUNT:
        odd = low if low < 0 else high
        raise UsageError(f"{path}: its {what} must be digits from 0 to 9, but {odd} is among them")
    return digits


def _predictions(path: Path, given: Array) -> npt.NDArray[np.int64]:
    """Predicted digits, (S, N)."""
    if (
        given.ndim == 2
        and given.shape[1] == CLASS_COUNT
        and given.dtype.kind == "f"
        and (_finite(path, "predictions", given) % 1).any()
    ):
        raise UsageError(f"{path}: its predictions have ten columns of fractions; call them probabilities")
    if given.ndim == 2 and given.shape[0] > given.shape[1]:
        raise UsageError(f"{path}: its predictions have shape {given.shape}; write (N,), or seeds first, (S, N)")
    return digits_of(path, "predictions", given[np.newaxis] if given.ndim == 1 else given, ndim=2)


def positions_of(path: Path, given: Array) -> Positions:
    """Positions in a data set, (N,). They may occur again for another model or seed."""
    if given.ndim != 1:
        raise UsageError(f"{path}: its indices have shape {given.shape}; write one per image, (N,)")
    positions = _whole(path, "indices", given)
    if positions.min() < 0:
        raise UsageError(f"{path}: its indices contain {positions.min()}; count positions in the data set from 0")
    return positions


def refuse_twice(path: Path, positions: Positions, whose: str = "") -> None:
    values, counts = np.unique(positions, return_counts=True)
    if len(values) < len(positions):
        raise UsageError(
            f"{path} has index {values[counts.argmax()]} {counts.max()} times{whose}; keep one row per image, and tell"
            " models and seeds apart by columns model and seed"
        )


def _probabilities(path: Path, given: Array) -> npt.NDArray[np.float32]:
    """Probabilities, (S, N, 10). Raises UsageError for other shapes and for values that are none."""
    shape = given.shape
    if given.ndim in (2, 3) and shape[-1] != CLASS_COUNT and shape[-2] == CLASS_COUNT:
        axes = ".T" if given.ndim == 2 else ".swapaxes(1, 2)"
        raise UsageError(f"{path}: its probabilities have shape {shape}, images last; write probabilities{axes}")
    if given.ndim not in (2, 3) or shape[-1] != CLASS_COUNT:
        raise UsageError(
            f"{path}: its probabilities have shape {shape}; write one row per image and ten columns, for the digits 0"
            " to 9"
        )
    if given.ndim == 3 and shape[0] > shape[1]:
        raise UsageError(f"{path}: its probabilities have shape {shape}; write seeds first, (S, N, 10)")
    values = _finite(path, "probabilities", given).reshape(-1, *shape[-2:])
    sums = values.sum(axis=2, keepdims=True)
    gaps = np.abs(sums[..., 0] - 1)
    if values.min() < LEAST or gaps.max() > LARGEST_ROUNDING * (1 + 1e-6):
        _refuse_values(path, values, sums[..., 0], gaps)
    is_off = gaps > LARGEST_GAP / 2
    values[is_off] /= sums[is_off]
    return np.maximum(values, 0).astype(np.float32)


def _refuse_values(path: Path, values: Numbers, sums: Numbers, gaps: Numbers) -> NoReturn:
    """Say what values are that are no probabilities."""
    start = f"{path}: its probabilities"
    if values.max() <= 0 and np.abs(np.exp(values).sum(axis=2) - 1).max() < LARGEST_ROUNDING:
        raise UsageError(f"{start} look like their logarithms: apply exp first")
    if values.min() < LEAST:
        raise UsageError(f"{start} are negative in places; these look like logits: apply softmax first")
    if np.abs(sums - 100).max() < 100 * LARGEST_ROUNDING * 2:
        raise UsageError(f"{start} sum to 100: they are percent; divide them by 100")
    if values.max() > 1 + LARGEST_ROUNDING:
        raise UsageError(f"{start} exceed 1 in places; these look like logits: apply softmax first")
    is_off = gaps > LARGEST_ROUNDING
    where, total = _row(is_off), sums.reshape(-1)[int(is_off.argmax())]
    remedy = (
        "write more decimals" if gaps.max() < 10 * LARGEST_ROUNDING * 1.01 else "they need a softmax, not a sigmoid"
    )
    raise UsageError(f"{start} sum to {total:.4g} in {where}, not to one; {remedy}")
