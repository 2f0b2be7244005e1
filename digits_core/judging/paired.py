"""Tests of predictions on the same images: several models against the first of them, and duels between two.

Differences are decided by error rate, which is what people mean by better. The test is McNemar's exact one between
single runs, a Student test over images and seeds if either model has several runs, and the corrected resampled t-test
over folds. Against the first of several, p-values are corrected for their number (Holm 1979). A duel tests two models'
results in the same way, without folds and without a correction. Arrays in, numbers out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from digits_core.judging.answers import Answers
from digits_core.judging.resampling import DRAWS, Matrix, Paired, Picking, paired_bootstrap
from digits_core.judging.stats import (
    CONFIDENCE,
    Interval,
    MeanDifference,
    detectable_difference,
    fold_mean_difference,
    holm,
    mcnemar_p_value,
    seed_mean_difference,
)

Method = Literal["mcnemar", "seeds", "folds"]
Figure = Literal["nll", "error_rate"]
DETECTABLE_OF_HALF_WIDTH = 1.43  # (1.96 + 0.84) / 1.96: 5 % level, 80 % power
FIGURES: tuple[Figure, ...] = ("nll", "error_rate")


@dataclass(frozen=True, kw_only=True)
class ToLeader:
    """A row compared with the leader, on one set of images."""

    error_rate: float  # minus the leader's; positive is worse
    error_rate_interval: Interval
    nll: float
    nll_interval: Interval
    p_value: float  # of the error rates
    corrected_p_value: float  # for the number of rows
    method: Method

    @property
    def tied(self) -> bool:
        """Whether the error rates are not significantly different."""
        return self.corrected_p_value >= 1 - CONFIDENCE

    @property
    def verdict(self) -> Literal["tied", "more mistakes", "fewer mistakes"]:
        """A lower row can make fewer mistakes: NLL also counts being less sure when right, or surer when wrong."""
        if self.tied:
            return "tied"
        return "more mistakes" if self.error_rate > 0 else "fewer mistakes"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One of several models. ranks: the 95 % interval of its rank, from the bootstrap; 1 is the best."""

    ranks: tuple[int, int]
    to_leader: ToLeader | None  # None for the first


@dataclass(frozen=True, kw_only=True)
class Folds:
    """How many images one fold trains on, and how many it holds out."""

    train_n: int
    held_out_n: int


def compared(
    found: Sequence[Answers],
    draws: int = DRAWS,
    *,
    ahead: int = 0,
    folds: Folds | None = None,
    by: Figure = "nll",
    picking: Picking | None = None,
) -> list[Compared]:
    """Test each model against the first. The first `ahead` always rank before the others. by: what they are ranked by.

    picking: sees the same resamples. Raises ValueError if not all are for the same number of images.
    """
    if len({one.n for one in found}) > 1:
        raise ValueError("the predictions are not for the same images")
    figures = (_seed_means(found, figure) for figure in FIGURES)
    # A resample with as many mistakes for both says nothing about which is better. NLLs are never the same.
    tied_below = 0.5 / found[0].n / max(len(one.scores) for one in found) if by == "error_rate" else 0.0
    paired = paired_bootstrap(*figures, draws=draws, ahead=ahead, tied_below=tied_below, picking=picking)
    resampled = dict(zip(FIGURES, paired, strict=True))
    differences = [_differences(found[0], other, folds) for other in found[1:]]
    corrected = holm([one.p_value for one in differences])
    to_leader = [
        _to_leader(one, p_value, resampled, place)
        for place, (one, p_value) in enumerate(zip(differences, corrected, strict=True), start=1)
    ]
    return [
        Compared(ranks=ranks, to_leader=difference)
        for ranks, difference in zip(resampled[by].ranks, [None, *to_leader], strict=True)
    ]


def _seed_means(found: Sequence[Answers], figure: Figure) -> Matrix:
    """(M, N): each model's figure on each image, averaged over its seeds."""
    return np.stack([by_image(one, figure).mean(axis=0) for one in found])


def by_image(answers: Answers, figure: Figure) -> Matrix:
    """(S, N): each run's figure on each image."""
    return (answers.nll if figure == "nll" else answers.wrong).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class _Differences:
    """Another model minus the first. intervals: None between single runs, where the bootstrap gives them."""

    means: dict[Figure, float]
    intervals: dict[Figure, Interval] | None
    p_value: float
    method: Method


def _differences(first: Answers, other: Answers, folds: Folds | None) -> _Differences:
    means = {figure: _mean(other, figure) - _mean(first, figure) for figure in FIGURES}
    several: dict[Figure, MeanDifference] = {}
    if folds is not None:
        several = _over_folds(first, other, folds)
    elif len(first.scores) > 1 or len(other.scores) > 1:
        several = _over_seeds(first, other)
    if not several:
        p_value = mcnemar_p_value(other.wrong[0], first.wrong[0])
        return _Differences(means=means, intervals=None, p_value=p_value, method="mcnemar")
    return _Differences(
        means=means,
        intervals={figure: difference.interval for figure, difference in several.items()},
        p_value=several["error_rate"].p_value,
        method="folds" if folds is not None else "seeds",
    )


def _mean(answers: Answers, figure: Figure) -> float:
    return answers.mean_nll if figure == "nll" else 1 - answers.accuracy.mean


def _over_seeds(first: Answers, other: Answers) -> dict[Figure, MeanDifference]:
    return {figure: seed_mean_difference(by_image(other, figure), by_image(first, figure)) for figure in FIGURES}


def _over_folds(first: Answers, other: Answers, folds: Folds) -> dict[Figure, MeanDifference]:
    """Differences paired by fold, over the seeds that both have; empty for fewer than two pairs."""
    by_seed = dict(zip(first.seeds, first.fold_scores, strict=True))
    pairs = [
        (theirs, ours)
        for seed, scores in zip(other.seeds, other.fold_scores, strict=True)
        for theirs, ours in zip(scores, by_seed.get(seed, ()), strict=False)
    ]
    if len(pairs) < 2:
        return {}
    values = {
        "error_rate": np.array([ours.accuracy - theirs.accuracy for theirs, ours in pairs]),
        "nll": np.array([theirs.nll - ours.nll for theirs, ours in pairs]),
    }
    over_images = _over_seeds(first, other)
    return {
        figure: _less_sure(fold_mean_difference(values[figure], folds.train_n, folds.held_out_n), over_images[figure])
        for figure in FIGURES
    }


def _less_sure(over_folds: MeanDifference, over_images: MeanDifference) -> MeanDifference:
    """The less significant of the two: a few folds can agree exactly by chance, which makes p too small."""
    return over_folds if over_folds.p_value >= over_images.p_value else over_images


def _to_leader(found: _Differences, corrected: float, resampled: dict[Figure, Paired], place: int) -> ToLeader:
    intervals = found.intervals or {figure: resampled[figure].to_leader[place] for figure in FIGURES}
    return ToLeader(
        error_rate=found.means["error_rate"],
        error_rate_interval=intervals["error_rate"].within(-1, 1),
        nll=found.means["nll"],
        nll_interval=intervals["nll"],
        p_value=found.p_value,
        corrected_p_value=corrected,
        method=found.method,
    )


def detectable(first: Answers, other: Answers, difference: ToLeader) -> float | None:
    """The smallest true difference in accuracy between the two that is found in four of five cases.

    None if they differ on too few images for any difference to be found.
    """
    if difference.method == "mcnemar":
        return detectable_difference(first.n, float((first.wrong[0] != other.wrong[0]).mean()))
    interval = difference.error_rate_interval
    return (interval.high - interval.low) / 2 * DETECTABLE_OF_HALF_WIDTH or None


@dataclass(frozen=True, kw_only=True)
class Duel:
    """The second model minus the first; positive is worse. The p-value is not corrected for the number of duels."""

    n: int
    first_accuracy: float
    second_accuracy: float
    error_rate: float
    interval: Interval
    p_value: float
    method: Method


def duel(first: Answers, second: Answers) -> Duel:
    """McNemar's exact test between single runs, a Student test over images and seeds if either has several."""
    if first.n != second.n:
        raise ValueError(f"{first.n} and {second.n} predictions are not for the same images")
    ours, theirs = (one.wrong.astype(np.float64) for one in (first, second))
    method: Method = "mcnemar" if len(ours) == len(theirs) == 1 else "seeds"
    if method == "mcnemar":
        interval = paired_bootstrap(np.concatenate([ours, theirs]))[0].to_leader[1]
        p_value = mcnemar_p_value(second.wrong[0], first.wrong[0])
    else:
        difference = seed_mean_difference(theirs, ours)
        interval, p_value = difference.interval.within(-1, 1), difference.p_value
    return Duel(
        n=first.n,
        first_accuracy=first.accuracy.mean,
        second_accuracy=second.accuracy.mean,
        error_rate=float(theirs.mean() - ours.mean()),
        interval=interval,
        p_value=p_value,
        method=method,
    )
