"""How members of an ensemble differ, and what each adds. Arrays in, numbers out; numpy only."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.metrics import image_nll

Wrong = npt.NDArray[np.bool_]  # (M, N): which images each model gets wrong


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two members on the same images (Kuncheva and Whitaker 2003, Machine Learning 51, sec. 2)."""

    first: int  # their places
    second: int
    disagreement: float  # share of images that one of the two alone gets right
    double_fault: float  # share that both get wrong
    yule_q: float | None  # -1..1: 1 where they are right on the same images; None where it is 0/0


def pairs(wrong: Wrong) -> tuple[Pair, ...]:
    """Every pair once."""
    found = []
    for first in range(len(wrong)):
        for second in range(first + 1, len(wrong)):
            a, b = wrong[first], wrong[second]
            both, neither = int((a & b).sum()), int((~a & ~b).sum())
            only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
            alike, unlike = both * neither, only_a * only_b
            found.append(
                Pair(
                    first=first,
                    second=second,
                    disagreement=(only_a + only_b) / len(a),
                    double_fault=both / len(a),
                    yule_q=(alike - unlike) / (alike + unlike) if alike + unlike else None,
                )
            )
    return tuple(found)


def contributions(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> tuple[float, ...]:
    """By how much the uniform vote's mean NLL rises without each member; positive where it helps. One member: 0.

    labels: (N,), probabilities: (M, N, C).
    """
    count = len(probabilities)
    if count == 1:
        return (0.0,)
    exact = probabilities.astype(np.float64)
    whole = float(image_nll(labels, exact.mean(axis=0)).mean())
    # Summed anew for each: what a subtraction leaves of a small probability is rounding.
    others = (np.delete(exact, place, axis=0).mean(axis=0) for place in range(count))
    return tuple(float(image_nll(labels, without).mean()) - whole for without in others)
