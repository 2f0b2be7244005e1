"""Combining stored probabilities of several models: (labels, probabilities by model) -> weights. numpy only."""

import numpy as np
import numpy.typing as npt

from digits_core.metrics import SMALLEST_PROBABILITY, image_nll

Weights = npt.NDArray[np.float64]
GREEDY_ROUNDS = 50
BAG_COUNT = 20
BAG_SEED = 0


def uniform_weights(model_count: int) -> Weights:
    """(M,): the plain soft vote."""
    return np.full(model_count, 1 / model_count)


def combine(probabilities: npt.NDArray[np.floating], weights: Weights) -> npt.NDArray[np.float64]:
    """Weighted mean of probabilities. probabilities: (M, N, C), weights: (M,) -> (N, C)."""
    return np.tensordot(weights, probabilities.astype(np.float64), axes=1)


def greedy_weights(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> Weights:
    """(M,): Caruana's ensemble selection with replacement on NLL, bagged over models (Caruana et al. 2004).

    Each of 20 bags selects from a random half of the models (sec. 2.3 of the paper: against overfitting the
    model that happened to look best); the weights are the bags' mean. labels: (N,), probabilities: (M, N, C).
    """
    # NLL needs nothing but p(true): (M, N)
    true_class = probabilities[:, np.arange(len(labels)), labels].astype(np.float64)
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


def _select(true_class: npt.NDArray[np.float64]) -> Weights:
    """Forward selection with replacement (sec. 2.1, 2.2): in every round the model joins, perhaps again, that
    lowers the mean NLL most. The weights are the counts at the round with the lowest NLL, ties to the earlier.

    true_class: (M, N) probabilities of the true class.
    """
    total = np.zeros(true_class.shape[1])
    counts = np.zeros(len(true_class), dtype=np.int64)
    best_nll, best_counts = np.inf, counts.copy()
    for size in range(1, GREEDY_ROUNDS + 1):
        candidate_nll = -np.log(np.maximum((total + true_class) / size, SMALLEST_PROBABILITY)).mean(axis=1)
        chosen = int(candidate_nll.argmin())
        total += true_class[chosen]
        counts[chosen] += 1
        if candidate_nll[chosen] < best_nll - 1e-12:
            best_nll, best_counts = float(candidate_nll[chosen]), counts.copy()
    weights: Weights = best_counts / best_counts.sum()
    return weights


def cross_fitted_greedy(
    labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating], fold_count: int = 5
) -> npt.NDArray[np.float64]:
    """(N, C): every image combined with greedy weights that were fitted on the other folds.

    This is the honest validation figure of the greedy ensemble; the weights fitted on all images see the
    labels they are scored on.
    """
    folds = np.arange(len(labels)) % fold_count
    combined = np.empty(probabilities.shape[1:], dtype=np.float64)
    for fold in range(fold_count):
        held_out = folds == fold
        weights = greedy_weights(labels[~held_out], probabilities[:, ~held_out])
        combined[held_out] = combine(probabilities[:, held_out], weights)
    return combined


def nll_difference(
    labels: npt.NDArray[np.integer], first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """(N,): per-image NLL of the first minus the second; negative where the first is better."""
    return image_nll(labels, first) - image_nll(labels, second)
