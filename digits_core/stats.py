"""Intervals and paired comparisons. scipy does the statistics; this names what we ask of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Several runs of one thing: over seeds, or over folds."""

    n: int
    mean: float
    standard_deviation: float | None  # with n - 1; None for a single run
    best: float


def spread_of(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation and maximum."""
    return Spread(
        n=len(values),
        mean=float(np.mean(values)),
        standard_deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        best=float(max(values)),
    )


def accuracy_interval(error_count: int, n: int) -> Interval:
    """Wilson's score interval for the accuracy (n - errors) / n (Wilson 1927)."""
    proportion = scipy_stats.binomtest(n - error_count, n).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(low=float(proportion.low), high=float(proportion.high))


def paired_mean_interval(differences: npt.NDArray[np.floating]) -> Interval:
    """Student's interval for the mean of per-image differences (N,) between two models."""
    mean = float(differences.mean())
    if len(differences) < 2 or float(np.ptp(differences)) == 0.0:
        return Interval(low=mean, high=mean)
    standard_error = float(scipy_stats.sem(differences))
    low, high = scipy_stats.t.interval(CONFIDENCE, len(differences) - 1, loc=mean, scale=standard_error)
    return Interval(low=float(low), high=float(high))


def seed_mean_difference(wrong: npt.NDArray[np.bool_], other_wrong: npt.NDArray[np.bool_]) -> tuple[float, Interval]:
    """Error rate of one recipe minus another's, with the interval of that difference.

    wrong: (S, N) and (T, N): the same N images by S and T seeds. The variance is that of the paired per-image means
    plus that of either recipe's mean over its seeds (unknown, and left out, where there is one seed), with the degrees
    of freedom of Welch and Satterthwaite (Satterthwaite 1946).
    """
    per_image = wrong.mean(axis=0) - other_wrong.mean(axis=0)
    samples = [per_image, *(runs.mean(axis=1) for runs in (wrong, other_wrong))]
    parts = [(float(sample.var(ddof=1)) / len(sample), len(sample) - 1) for sample in samples if len(sample) > 1]
    variance, mean = sum(part for part, _ in parts), float(per_image.mean())
    if variance == 0.0:
        return mean, Interval(low=mean, high=mean)
    degrees = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    low, high = scipy_stats.t.interval(CONFIDENCE, degrees, loc=mean, scale=variance**0.5)
    return mean, Interval(low=float(low), high=float(high))


def mcnemar_p_value(wrong_a: npt.NDArray[np.bool_], wrong_b: npt.NDArray[np.bool_]) -> float:
    """Exact two-sided McNemar test on the same images (McNemar 1947): 1.0 where the models never differ."""
    only_a = int((wrong_a & ~wrong_b).sum())
    only_b = int((wrong_b & ~wrong_a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(scipy_stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)
