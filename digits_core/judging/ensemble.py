"""Combining stored probabilities of several models: (labels, probabilities by model) -> weights. numpy only."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from digits_core.metrics import SMALLEST_PROBABILITY, image_nll

Weights = npt.NDArray[np.float64]
Combined = npt.NDArray[np.float64]  # (N, C)
GREEDY_ROUNDS = 50
BAG_COUNT = 20
BAG_SEED = 0
FOLD_COUNT = 5  # of cross-fitting


def uniform_weights(model_count: int) -> Weights:
    """(M,): the plain soft vote."""
    return np.full(model_count, 1 / model_count)


def combine(probabilities: npt.NDArray[np.floating], weights: Weights) -> npt.NDArray[np.float64]:
    """Weighted mean of probabilities. probabilities: (M, N, C), weights: (M,) -> (N, C)."""
    return np.tensordot(weights, probabilities.astype(np.float64), axes=1)


def majority(probabilities: npt.NDArray[np.floating]) -> Combined:
    """(N, C): every model has one vote, and the mean probability one more, which decides ties and leaves no zero.

    probabilities: (M, N, C).
    """
    votes = np.eye(probabilities.shape[2])[probabilities.argmax(axis=2)].sum(axis=0)
    shares: Combined = (votes + probabilities.astype(np.float64).mean(axis=0)) / (len(probabilities) + 1)
    return shares


def greedy_weights(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> Weights:
    """(M,): Caruana's ensemble selection with replacement on NLL, bagged over models (Caruana et al. 2004).

    Each of 20 bags selects from a random half of the models (sec. 2.3 of the paper: against overfitting the
    model that happened to look best); the weights are the bags' mean. labels: (N,), probabilities: (M, N, C).
    """
    # NLL needs nothing but p(true): (M, N). Single precision halves the time, and weights are shown in two digits.
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
    """Forward selection with replacement (sec. 2.1, 2.2): in every round the model joins, perhaps again, that
    lowers the mean NLL most. It begins with the best few models together, as many as do best (sec. 2.2, sorted
    initialisation). The weights are the counts at the round with the lowest NLL, ties to the earlier.

    true_class: (M, N) probabilities of the true class.
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
    """(M,) mean NLL of (M, N) probabilities of the true class."""
    logarithms = np.log(np.maximum(true_class, np.float32(SMALLEST_PROBABILITY)))
    nll: npt.NDArray[np.float64] = -logarithms.mean(axis=1, dtype=np.float64)
    return nll


Fit = Callable[[npt.NDArray[np.integer], npt.NDArray[np.floating]], Callable[[npt.NDArray[np.floating]], Combined]]
"""(labels (N,), probabilities (M, N, C)) -> how to combine (M, any N, C)."""


def fit_greedy(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> Callable[..., Combined]:
    """Greedy selection as something that can be cross-fitted."""
    weights = greedy_weights(labels, probabilities)
    return lambda others: combine(others, weights)


def cross_fitted(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating], fit: Fit) -> Combined:
    """(N, C): every image combined by what was fitted on the other folds.

    This is the honest validation figure of a fitted combination; what is fitted on all images sees the labels that it
    is scored on.
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
    """(N,): per-image NLL of the first minus the second; negative where the first is better."""
    return image_nll(labels, first) - image_nll(labels, second)
