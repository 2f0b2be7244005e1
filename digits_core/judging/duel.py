"""Two recipes' answers to the same images: which makes fewer mistakes. Arrays in, numbers out; numpy only."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from digits_core.judging.contestants import Answers
from digits_core.judging.resampling import paired_bootstrap
from digits_core.judging.stats import Interval, mcnemar_p_value, seed_mean_difference

Method = Literal["mcnemar", "seeds"]


@dataclass(frozen=True, kw_only=True)
class Duel:
    """The second minus the first; positive is worse. An uncorrected p-value: correct it for the number of duels."""

    n: int
    first_accuracy: float
    second_accuracy: float
    error_rate: float
    interval: Interval
    p_value: float
    method: Method


def duel(first: Answers, second: Answers) -> Duel:
    """McNemar's exact test between single runs, a Student test over images and seeds where either has several."""
    if first.n != second.n:
        raise ValueError(f"{first.n} and {second.n} answers are not to the same images")
    ours, theirs = (one.wrong.astype(np.float64) for one in (first, second))
    method: Method = "mcnemar" if len(ours) == len(theirs) == 1 else "seeds"
    if method == "mcnemar":
        interval = paired_bootstrap(np.concatenate([ours, theirs]))[0].to_leader[1]
        p_value = mcnemar_p_value(second.wrong[0], first.wrong[0])
    else:
        difference = seed_mean_difference(theirs, ours)
        interval, p_value = difference.interval, difference.p_value
    return Duel(
        n=first.n,
        first_accuracy=first.accuracy.mean,
        second_accuracy=second.accuracy.mean,
        error_rate=float(theirs.mean() - ours.mean()),
        interval=interval,
        p_value=p_value,
        method=method,
    )
