"""Ensembles of several models, from their stored probabilities.

How to combine members: uniform and greedy weights, majority votes, stacking; cross-fitting, which scores a fitted
combination out of fold. Temperature scaling. How members differ, and what each contributes. numpy only, except that
fitting a stack needs scikit-learn and fitting a temperature scipy.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.metrics import SMALLEST_PROBABILITY, image_nll

Weights = npt.NDArray[np.float64]
Combined = npt.NDArray[np.float64]  # (N, C)
GREEDY_ROUNDS = 50
BAG_COUNT = 20
BAG_SEED = 0
FOLD_COUNT = 5  # for cross-fitting

INVERSE_PENALTY = 0.01  # scikit-learn's C: of 0.0001 to 1, the lowest cross-fitted NLL on MNIST (docs/lab-log.md)

COLDEST, HOTTEST = 0.05, 20.0  # limits: all right, or all wrong, has no finite best temperature

Wrong = npt.NDArray[np.bool_]  # (M, N): which images each model gets wrong


def uniform_weights(model_count: int) -> Weights:
    """(M,): equal weights, a plain soft vote."""
    return np.full(model_count, 1 / model_count)


def combine(probabilities: npt.NDArray[np.floating], weights: Weights) -> npt.NDArray[np.float64]:
    """Weighted mean of probabilities. probabilities: (M, N, C), weights: (M,) -> (N, C)."""
    return np.tensordot(weights, probabilities.astype(np.float64), axes=1)


def majority(probabilities: npt.NDArray[np.floating]) -> Combined:
    """(N, C): one vote per model, and one more split by the mean probability, to break ties and avoid zeros.

    probabilities: (M, N, C).
    """
    votes = np.eye(probabilities.shape[2])[probabilities.argmax(axis=2)].sum(axis=0)
    shares: Combined = (votes + probabilities.astype(np.float64).mean(axis=0)) / (len(probabilities) + 1)
    return shares


def greedy_weights(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> Weights:
    """(M,): Caruana's ensemble selection with replacement on NLL, bagged over models (Caruana et al. 2004).

    Each of 20 bags selects from a random half of the models, against overfitting to a model that looked best by chance
    (sec. 2.3 of the paper). The weights are the mean over the bags. labels: (N,), probabilities: (M, N, C).
    """
    # NLL needs only p(true): (M, N). Single precision halves the time, and weights are shown with two digits.
    true_class = probabilities[:, np.arange(len(labels)), labels].astype(np.float32)
    model_count = len(true_class)
    if model_count <= 2:
        return _select(true_class)
    stream = np.random.default_rng(BAG_SEED)
    weights = np.zeros(model_count)
    for _ in range(BAG_COUNT):
        bag = stream.choice(model_count, size=-(-model_count // 2), replace=False)
        weights[bag] += _select(true_class[bag]) / BAG_COUNT
    normalised: Weights = weights / weights.sum()
    return normalised


def _select(true_class: npt.NDArray[np.float32]) -> Weights:
    """Forward selection with replacement (sec. 2.1, 2.2).

    Starts with the k best models together, for the k with the lowest NLL (sec. 2.2, sorted initialisation). Each round
    adds the model, perhaps again, that lowers the mean NLL most. The weights are the counts at the round with the
    lowest NLL, ties to the earlier round. true_class: (M, N) probabilities of the true class.
    """
    order = _nll_of(true_class).argsort(kind="stable")
    prefixes = np.cumsum(true_class[order], axis=0) / np.arange(1, len(order) + 1)[:, np.newaxis]
    start = int(_nll_of(prefixes).argmin()) + 1
    counts = np.zeros(len(true_class), dtype=np.int64)
    counts[order[:start]] = 1
    total = true_class[order[:start]].sum(axis=0)
    best_nll, best_counts = float(_nll_of((total / start)[np.newaxis])[0]), counts.copy()
    for size in range(start + 1, start + GREEDY_ROUNDS + 1):
        candidate_nll = _nll_of((total + true_class) / np.float32(size))
        chosen = int(candidate_nll.argmin())
        total += true_class[chosen]
        counts[chosen] += 1
        if candidate_nll[chosen] < best_nll - 1e-9:
            best_nll, best_counts = float(candidate_nll[chosen]), counts.copy()
    weights: Weights = best_counts / best_counts.sum()
    return weights


def _nll_of(true_class: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(M,): mean NLL of each model, from (M, N) probabilities of the true class."""
    logarithms = np.log(np.maximum(true_class, np.float32(SMALLEST_PROBABILITY)))
    nll: npt.NDArray[np.float64] = -logarithms.mean(axis=1, dtype=np.float64)
    return nll


Fit = Callable[[npt.NDArray[np.integer], npt.NDArray[np.floating]], Callable[[npt.NDArray[np.floating]], Combined]]
"""(labels (N,), probabilities (M, N, C)) -> a fitted function that combines (M, any N, C)."""


def fit_greedy(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> Callable[..., Combined]:
    """Greedy selection as a `Fit`, to be cross-fitted."""
    weights = greedy_weights(labels, probabilities)
    return lambda others: combine(others, weights)


def cross_fitted(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating], fit: Fit) -> Combined:
    """(N, C): each image combined by a fit on the other folds.

    Score a fitted combination on these: one that is fitted on all images has seen the labels that it is scored on.
    """
    folds = np.arange(len(labels)) % FOLD_COUNT
    combined = np.empty(probabilities.shape[1:], dtype=np.float64)
    for fold in range(min(FOLD_COUNT, len(labels))):
        held_out = folds == fold
        combined[held_out] = fit(labels[~held_out], probabilities[:, ~held_out])(probabilities[:, held_out])
    return combined


def nll_difference(
    labels: npt.NDArray[np.integer], first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """(N,): per-image NLL of the first minus that of the second; negative where the first is better."""
    return image_nll(labels, first) - image_nll(labels, second)


@dataclass(frozen=True)
class Stack:
    """A fitted logistic regression. coefficients: (C, M * C), intercepts: (C,)."""

    coefficients: npt.NDArray[np.float64]
    intercepts: npt.NDArray[np.float64]

    def combine(self, probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """(M, N, C) -> (N, C)."""
        logits = _features(probabilities) @ self.coefficients.T + self.intercepts
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        combined: npt.NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
        return combined

    def weights(self, model_count: int) -> npt.NDArray[np.float64]:
        """(M,): each member's share of the coefficients' absolute sum. For display only; `combine` does not use it."""
        shares = np.abs(self.coefficients).reshape(len(self.intercepts), model_count, -1).sum(axis=(0, 2))
        normalised: npt.NDArray[np.float64] = shares / shares.sum()
        return normalised


def fit_stack(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> Stack:
    """Fit a stack on log probabilities, with an L2 penalty. labels: (N,), probabilities: (M, N, C).

    A class without labels gets an intercept so low that it is never predicted.
    """
    from sklearn.exceptions import ConvergenceWarning  # these two take a second to import
    from sklearn.linear_model import LogisticRegression

    class_count = probabilities.shape[2]
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=2_000)
    with warnings.catch_warnings():  # near the optimum is enough: it still has to beat a plain mean
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(_features(probabilities), labels)
    coefficients = np.zeros((class_count, regression.coef_.shape[1]))
    intercepts = np.full(class_count, -1e3)
    if len(regression.classes_) == 2:  # scikit-learn then has a single row, for the second class
        coefficients[regression.classes_[1]] = regression.coef_[0]
        intercepts[regression.classes_] = [0.0, regression.intercept_[0]]
    else:
        coefficients[regression.classes_], intercepts[regression.classes_] = regression.coef_, regression.intercept_
    return Stack(coefficients, intercepts)


def fit_stacked(
    labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]
) -> Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float64]]:
    """Stacking as a `Fit`, to be cross-fitted."""
    return fit_stack(labels, probabilities).combine


def _features(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(M, N, C) -> (N, M * C) log probabilities."""
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))
    features: npt.NDArray[np.float64] = logarithms.transpose(1, 0, 2).reshape(probabilities.shape[1], -1)
    return features


def scaled(probabilities: npt.NDArray[np.floating], temperature: float) -> npt.NDArray[np.float64]:
    """The softmax of log probabilities (N, C) divided by the temperature; above 1, less confident."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return result


def fit_temperature(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> float:
    """The temperature with the lowest NLL. labels: (N,), probabilities: (N, C)."""
    from scipy import optimize  # takes a fifth of a second to import, and scaling does not need it

    def nll(log_temperature: float) -> float:
        return float(image_nll(labels, scaled(probabilities, float(np.exp(log_temperature)))).mean())

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(optimize.minimize_scalar(nll, bounds=bounds, method="bounded").x))


def fit_scaled(
    labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]
) -> Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float64]]:
    """Temperature scaling of a single model, (1, N, C), as a `Fit`, to be cross-fitted."""
    temperature = fit_temperature(labels, probabilities[0])
    return lambda others: scaled(others[0], temperature)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """How two members differ on the same images (Kuncheva and Whitaker 2003, Machine Learning 51, sec. 2)."""

    first: int  # their positions
    second: int
    disagreement: float  # share of images that exactly one of the two gets right
    double_fault: float  # share that both get wrong
    yule_q: float | None  # -1..1; 1 if they are right on the same images; None if it is 0/0


def pairs(wrong: Wrong) -> tuple[Pair, ...]:
    """Every pair of members, once."""
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
    """How much the uniform vote's mean NLL rises without each member; positive if it helps. 0 for a single member.

    labels: (N,), probabilities: (M, N, C).
    """
    count = len(probabilities)
    if count == 1:
        return (0.0,)
    exact = probabilities.astype(np.float64)
    whole = float(image_nll(labels, exact.mean(axis=0)).mean())
    # Averaged again without each: subtracting a member would leave only rounding error of a small probability.
    others = (np.delete(exact, place, axis=0).mean(axis=0) for place in range(count))
    return tuple(float(image_nll(labels, without).mean()) - whole for without in others)
