"""The predictions of one model, or the ensemble, on one set of images: confusion, mistakes, classes, calibration.

A view keeps its mistakes as arrays until the page is written: a sweep of a thousand trials has a hundred thousand.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from digits_core.judging.stats import Interval, accuracy_interval
from digits_core.metrics import CALIBRATION_BINS, Score, confusion_matrix, score, wrong_margin

Part = Literal["sealed test", "validation", "out of fold", "labels"]  # "labels": handed in with predictions
MOST_MISTAKES = 250  # per view; a network with more did not learn
FEWEST_OF_A_CELL = 4  # kept of each cell of the confusion matrix, even beyond that limit
LIKELIEST = 3


@dataclass(frozen=True, kw_only=True)
class Result:
    """A score with the Wilson interval of its accuracy."""

    score: Score
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """Misclassified images, the most confident mistake first: by p(predicted) - p(true)."""

    images: npt.NDArray[np.int64]  # (M,) image numbers in the data set
    labels: npt.NDArray[np.int64]  # (M,)
    p_true: npt.NDArray[np.float32]  # (M,)
    likeliest: npt.NDArray[np.int64]  # (M, 3) digits, the predicted one first
    p_likeliest: npt.NDArray[np.float32]  # (M, 3)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One digit against the rest: precision and recall with their Wilson intervals."""

    digit: int
    n: int  # images of this digit
    predicted_n: int
    right: int

    @property
    def recall(self) -> Interval | None:
        """The share of its images that were recognised; None without images."""
        return accuracy_interval(self.n - self.right, self.n) if self.n else None

    @property
    def precision(self) -> Interval | None:
        """The share of its predictions that are right; None if it was never predicted."""
        return accuracy_interval(self.predicted_n - self.right, self.predicted_n) if self.predicted_n else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if the digit has neither images nor predictions."""
        return 2 * self.right / (self.n + self.predicted_n) if self.n + self.predicted_n else None


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Predictions of similar confidence: how confident they were, and how many were right."""

    n: int
    confidence: float  # mean of p(predicted)
    accuracy: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class View:
    """One model on one set of images."""

    key: str  # unique on the page
    title: str
    part: Part
    trial: int | None  # None for the ensemble
    result: Result
    confusion: npt.NDArray[np.int64]  # (10, 10): rows are true digits, columns predictions
    mistakes: Mistakes
    bins: tuple[CalibrationBin, ...]

    @property
    def classes(self) -> tuple[ClassRow, ...]:
        return tuple(
            ClassRow(
                digit=digit,
                n=int(self.confusion[digit].sum()),
                predicted_n=int(self.confusion[:, digit].sum()),
                right=int(self.confusion[digit, digit]),
            )
            for digit in range(len(self.confusion))
        )


def result_of(figures: Score) -> Result:
    """Add the interval to a score."""
    return Result(score=figures, interval=accuracy_interval(figures.error_count, figures.n))


def view_of(
    key: str,
    title: str,
    part: Part,
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.floating],
    indices: npt.NDArray[np.int64],
    *,
    trial: int | None = None,
    most_mistakes: int = MOST_MISTAKES,
    known: Score | None = None,
) -> View:
    """Everything about one model's predictions. labels, indices: (N,), probabilities: (N, 10).

    known: their stored score. It saves computing the score and the calibration bins, as a page has many such views.
    Raises ValueError if it does not match the predictions.
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1))
    figures = known or score(labels, probabilities)
    if (figures.n, figures.error_count) != (len(labels), len(labels) - int(np.trace(confusion))):
        raise ValueError(
            f"it says {figures.error_count} of {figures.n} images wrong, but the stored predictions"
            f" have {len(labels) - int(np.trace(confusion))} of {len(labels)}"
        )
    return View(
        key=key,
        title=title,
        part=part,
        trial=trial,
        result=result_of(figures),
        confusion=confusion,
        mistakes=mistakes(labels, probabilities, indices, most_mistakes),
        bins=() if known else calibration_bins(labels, probabilities),
    )


def mistakes(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.floating],
    indices: npt.NDArray[np.int64],
    limit: int = MOST_MISTAKES,
) -> Mistakes:
    """The misclassified images; equally confident mistakes keep their order.

    At most `limit`, plus the first four of each cell of the confusion matrix, so that a click on a cell always finds
    some. With a limit of 0 there are none.
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    margins = wrong_margin(labels[wrong], probabilities[wrong]) if len(wrong) else np.empty(0)
    ordered = wrong[np.argsort(-margins, kind="stable")]
    if limit and len(ordered) > limit:
        cells = labels[ordered] * probabilities.shape[1] + predicted[ordered]
        # How many mistakes of the same cell come before each one: a stable sort by cell keeps their order.
        by_cell = np.argsort(cells, kind="stable")
        starts = np.searchsorted(cells[by_cell], cells[by_cell])
        place_in_cell = np.empty(len(cells), dtype=np.int64)
        place_in_cell[by_cell] = np.arange(len(cells)) - starts
        chosen = ordered[(np.arange(len(cells)) < limit) | (place_in_cell < FEWEST_OF_A_CELL)]
    else:
        chosen = ordered[:limit]
    said = probabilities[chosen]
    likeliest = np.argsort(-said, axis=1, kind="stable")[:, :LIKELIEST]
    return Mistakes(
        images=indices[chosen],
        labels=labels[chosen],
        p_true=said[np.arange(len(chosen)), labels[chosen]].astype(np.float32),
        likeliest=likeliest,
        p_likeliest=np.take_along_axis(said, likeliest, axis=1).astype(np.float32),
    )


def calibration_bins(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating]
) -> tuple[CalibrationBin, ...]:
    """The bins of the expected calibration error, without the empty ones."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    places = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    found = []
    for place in range(CALIBRATION_BINS):
        inside = places == place
        n, right_n = int(inside.sum()), int(right[inside].sum())
        if n:
            interval = accuracy_interval(n - right_n, n)
            mean = float(confidence[inside].mean())
            found.append(CalibrationBin(n=n, confidence=mean, accuracy=right_n / n, interval=interval))
    return tuple(found)
