"""Scores of class probabilities against labels. Arrays in, numbers out; numpy only."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.floating]
SMALLEST_PROBABILITY = 1e-12  # a floor, so that one hopeless image cannot make the mean NLL infinite
CALIBRATION_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well an array of class probabilities fits its labels."""

    n: int
    error_count: int
    accuracy: float  # 0..1
    nll: float  # mean negative log likelihood of the true class, nats
    brier: float  # mean squared distance to the one-hot label, 0..2 (Brier 1950)
    ece: float  # expected calibration error, 15 equal-width bins (Guo et al. 2017)

    def __post_init__(self) -> None:
        if not 0 <= self.error_count <= self.n or not self.n:
            raise ValueError(f"{self.error_count} of {self.n} images wrong")


def check_probabilities(labels: npt.NDArray[np.integer], probabilities: Probabilities) -> None:
    """Raise ValueError unless labels are (N,) and probabilities (N, C), finite, with rows that sum to one."""
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities):
        raise ValueError(f"labels {labels.shape} and probabilities {probabilities.shape} do not match")
    if len(labels) == 0:
        raise ValueError("no images to score")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities contain NaN or infinity")
    if not np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-3):
        raise ValueError("probabilities do not sum to one")


def score(labels: npt.NDArray[np.integer], probabilities: Probabilities) -> Score:
    """All scores of one model. labels: (N,), probabilities: (N, C)."""
    check_probabilities(labels, probabilities)
    wrong = int((probabilities.argmax(axis=1) != labels).sum())
    one_hot = np.eye(probabilities.shape[1])[labels]
    return Score(
        n=len(labels),
        error_count=wrong,
        accuracy=1 - wrong / len(labels),
        nll=float(image_nll(labels, probabilities).mean()),
        brier=float(((probabilities - one_hot) ** 2).sum(axis=1).mean()),
        ece=expected_calibration_error(labels, probabilities),
    )


def image_nll(labels: npt.NDArray[np.integer], probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """Negative log likelihood of each image's true class, (N,), in nats."""
    true_class = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    nll: npt.NDArray[np.float64] = -np.log(np.maximum(true_class, SMALLEST_PROBABILITY))
    return nll


def expected_calibration_error(labels: npt.NDArray[np.integer], probabilities: Probabilities) -> float:
    """Mean gap between confidence and accuracy over equal-width confidence bins, weighted by bin size."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def confusion_matrix(labels: npt.NDArray[np.integer], predictions: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Counts, (10, 10): true digit by row, predicted digit by column."""
    cells = np.bincount(labels.astype(np.int64) * 10 + predictions.astype(np.int64), minlength=100)
    return cells.reshape(10, 10)


def wrong_margin(labels: npt.NDArray[np.integer], probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """p(predicted) - p(true) of each image, (N,): 0 if correct, near 1 for a confident mistake."""
    true_class = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    margin: npt.NDArray[np.float64] = probabilities.max(axis=1).astype(np.float64) - true_class
    return margin
