"""Confidence intervals and tests for accuracies and paired differences, built on scipy.special.

scipy.stats has the same distributions, but takes half a second to import. scipy.special takes a fifth of a second, and
is imported where it is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

NORMAL = NormalDist()
CONFIDENCE = 0.95
POWER = 0.8  # of a test to find the smallest difference that counts as detectable
FEW_IMAGES, MANY_IMAGES = 100, 1_000  # below, a percentage has no decimals; from there on, two


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float

    def within(self, least: float, most: float) -> "Interval":
        """Without what cannot be: a few images or seeds can make it wider than what is possible."""
        return Interval(low=max(self.low, least), high=min(self.high, most))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure over several runs: over seeds, or over folds."""

    n: int
    mean: float
    standard_deviation: float | None  # with n - 1 in the denominator; None for a single run
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
    return mean_accuracy_interval([error_count], n)


def mean_accuracy_interval(error_counts: Sequence[int], n: int) -> Interval:
    """Wilson's interval for the mean accuracy of several runs on the same n images: what other images might give.

    It covers the sampling of images, as if one run had made the mean number of errors. It does not cover the choice of
    seeds: that is what their spread is for.
    """
    accuracy = 1 - float(np.mean(error_counts)) / n
    z = NORMAL.inv_cdf(0.5 + CONFIDENCE / 2)
    middle = accuracy + z**2 / (2 * n)
    half = z * math.sqrt(accuracy * (1 - accuracy) / n + (z / (2 * n)) ** 2)
    # Rounding may put a limit on the wrong side of an accuracy of 0 or 1.
    low, high = ((middle + side * half) / (1 + z**2 / n) for side in (-1, 1))
    return Interval(low=max(0.0, min(low, accuracy)), high=min(1.0, max(high, accuracy)))


def paired_mean_interval(differences: npt.NDArray[np.floating]) -> Interval:
    """Student's interval for the mean of per-image differences (N,) between two models."""
    mean = float(differences.mean())
    if len(differences) < 2 or float(np.ptp(differences)) == 0.0:
        return Interval(low=mean, high=mean)
    standard_error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return _student_interval(mean, standard_error, len(differences) - 1)


def _student_interval(mean: float, standard_error: float, degrees: float) -> Interval:
    from scipy import special

    half = float(special.stdtrit(degrees, 0.5 + CONFIDENCE / 2)) * standard_error
    return Interval(low=mean - half, high=mean + half)


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """The mean of one model's (or recipe's) figures minus another's, and how certain it is."""

    mean: float
    interval: Interval
    p_value: float  # two-sided, for a true difference of zero; 1.0 if nothing ever differed

    @property
    def separable(self) -> bool:
        """Whether the interval excludes zero."""
        return self.interval.low > 0 or self.interval.high < 0


def seed_mean_difference(values: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> MeanDifference:
    """One recipe's figure (errors, NLL) minus another's, over images and seeds.

    values: (S, N), other: (T, N), the same N images by S and T seeds. Images and seeds are crossed. The variance is
    that of the paired per-image means, plus that of each recipe's mean over its seeds, less the part of the latter that
    is noise of single images, which the former already holds. A single seed is assumed to vary as much as the other
    recipe's seeds. If both have one seed, variation over seeds is unknown and left out: this compares two networks, not
    two recipes. Degrees of freedom after Satterthwaite (1946); docs/results.md simulates the interval's coverage.
    """
    first, second = values.astype(np.float64), other.astype(np.float64)
    per_image = first.mean(axis=0) - second.mean(axis=0)
    n = len(per_image)
    variance = float(per_image.var(ddof=1)) / n if n > 1 else 0.0
    squares = variance**2 / max(n - 1, 1)
    for runs, others in ((first, second), (second, first)):
        if len(runs) < 2 or n < 2:
            continue
        seeds = float(runs.mean(axis=1).var(ddof=1)) / len(runs)
        part = max(0.0, seeds - _residual_mean_square(runs) / runs.size)
        lent = seeds * len(runs) if len(others) == 1 else 0.0  # the variance of one run, estimated on the high side
        variance += part + lent
        if part + lent > 0:
            squares += (seeds + lent) ** 2 / (len(runs) - 1)  # the mean square's, of which the part is what is left
    return _student(float(per_image.mean()), variance, variance**2 / squares if squares > 0 else 0.0)


def _residual_mean_square(runs: npt.NDArray[np.float64]) -> float:
    """Mean square of (S, N) values less their row and column means: the noise of one image in one run."""
    left = runs - runs.mean(axis=1, keepdims=True) - runs.mean(axis=0) + runs.mean()
    degrees = (runs.shape[0] - 1) * (runs.shape[1] - 1)
    return float((left**2).sum() / degrees)


def fold_mean_difference(differences: npt.NDArray[np.floating], train_n: int, held_out_n: int) -> MeanDifference:
    """The mean of differences (J,) over the folds of a cross-validation, with the corrected resampled t-test.

    The folds' training sets overlap, so J differences say less than J independent ones would: their variance is taken
    1/J + held_out_n/train_n times instead of 1/J times (Nadeau and Bengio 2003, Machine Learning 52, eq. 12).
    """
    count = len(differences)
    if count < 2:
        raise ValueError("a single fold has no spread to test a difference by; at least two are needed")
    variance = (1 / count + held_out_n / train_n) * float(differences.var(ddof=1))
    return _student(float(differences.mean()), variance, count - 1)


def _student(mean: float, variance: float, degrees: float) -> MeanDifference:
    if variance <= 0.0:  # no spread: always the same difference, or none at all
        return MeanDifference(mean=mean, interval=Interval(low=mean, high=mean), p_value=0.0 if mean else 1.0)
    deviation = math.sqrt(variance)
    from scipy import special

    p_value = 2 * float(special.stdtr(degrees, -abs(mean) / deviation))
    return MeanDifference(mean=mean, interval=_student_interval(mean, deviation, degrees), p_value=p_value)


def mcnemar_p_value(wrong_a: npt.NDArray[np.bool_], wrong_b: npt.NDArray[np.bool_]) -> float:
    """Exact two-sided McNemar test on the same images (McNemar 1947); 1.0 if the models never differ."""
    only_a = int((wrong_a & ~wrong_b).sum())
    only_b = int((wrong_b & ~wrong_a).sum())
    if only_a + only_b == 0:
        return 1.0
    from scipy import special

    return min(1.0, 2 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values of several tests, corrected so that any false alarm among them is as rare as in one test (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)  # the smallest times their number, the next times one less, ...
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(np.minimum(np.asarray(p_values)[order] * factors, 1.0))
    return tuple(corrected.tolist())


def detectable_difference(n: int, discordant_share: float) -> float | None:
    """The smallest difference in accuracy (0..1) that McNemar's test finds on n images in four of five cases.

    At the 5 % level. discordant_share: the share of images that exactly one of the two models gets right (Connor 1987,
    Biometrics 43). None if they differ on too few images for any difference to be found.
    """
    share = discordant_share
    alpha, beta = NORMAL.inv_cdf(0.5 + CONFIDENCE / 2), NORMAL.inv_cdf(POWER)
    # n = (alpha sqrt(share) + beta sqrt(share - d^2))^2 / d^2, solved for the difference d
    left = share * (n + beta**2 - alpha**2)
    if share * n < 1 or left < 0:
        return None
    difference = (alpha * math.sqrt(share * n) + beta * math.sqrt(left)) / (n + beta**2)
    return difference if difference <= share else None


def p_value_text(p_value: float) -> str:
    """Two significant digits; "<0.001" for values so small that their size does not matter."""
    return f"{p_value:.2g}" if p_value >= 0.001 else "<0.001"


def points_text(error_rate: float, n: int = MANY_IMAGES) -> str:
    """A difference in error rate as one in accuracy, in percentage points; `+0.00` rather than `-0.00`."""
    places = decimals(n)
    return f"{round(-100 * error_rate, places) + 0.0:+.{places}f}"


def percent_text(share: float, n: int = MANY_IMAGES) -> str:
    """`99.72 %`, with a narrow no-break space, to the decimals that n images carry."""
    return f"{100 * share:.{decimals(n)}f}\u202f%"


def decimals(n: int) -> int:
    """Decimals of a percentage of n images: one of a thousand is a tenth of a percent, one of fifty is two percent."""
    return 2 if n >= MANY_IMAGES else 1 if n >= FEW_IMAGES else 0
