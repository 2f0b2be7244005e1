"""Stacking: a multinomial logistic regression over what the members say (Wolpert 1992; Ting and Witten 1999)."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.metrics import SMALLEST_PROBABILITY

INVERSE_PENALTY = 0.01  # scikit-learn's C; of 0.0001 to 1, the lowest cross-fitted NLL on MNIST (docs/lab-log.md)


@dataclass(frozen=True)
class Stack:
    """A fitted regression. coefficients: (C, M * C), intercepts: (C,)."""

    coefficients: npt.NDArray[np.float64]
    intercepts: npt.NDArray[np.float64]

    def combine(self, probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """(M, N, C) -> (N, C)."""
        logits = _features(probabilities) @ self.coefficients.T + self.intercepts
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        combined: npt.NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
        return combined

    def weights(self, model_count: int) -> npt.NDArray[np.float64]:
        """(M,): how much of the coefficients' absolute sum is each member's; for people to read, not to combine by."""
        shares = np.abs(self.coefficients).reshape(len(self.intercepts), model_count, -1).sum(axis=(0, 2))
        normalised: npt.NDArray[np.float64] = shares / shares.sum()
        return normalised


def fit_stack(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> Stack:
    """Fit on log probabilities, with an L2 penalty. labels: (N,), probabilities: (M, N, C).

    A class that no label names keeps an intercept so low that it is never answered.
    """
    from sklearn.exceptions import ConvergenceWarning  # these two take a second to import
    from sklearn.linear_model import LogisticRegression

    class_count = probabilities.shape[2]
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=2_000)
    with warnings.catch_warnings():  # close to the optimum is good enough for what has to beat a plain mean
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(_features(probabilities), labels)
    coefficients = np.zeros((class_count, regression.coef_.shape[1]))
    intercepts = np.full(class_count, -1e3)
    if len(regression.classes_) == 2:  # scikit-learn then has one row, for the second class
        coefficients[regression.classes_[1]] = regression.coef_[0]
        intercepts[regression.classes_] = [0.0, regression.intercept_[0]]
    else:
        coefficients[regression.classes_], intercepts[regression.classes_] = regression.coef_, regression.intercept_
    return Stack(coefficients, intercepts)


def fit_stacked(
    labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]
) -> Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float64]]:
    """Stacking as something that can be cross-fitted."""
    return fit_stack(labels, probabilities).combine


def _features(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(M, N, C) -> (N, M * C) log probabilities."""
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))
    features: npt.NDArray[np.float64] = logarithms.transpose(1, 0, 2).reshape(probabilities.shape[1], -1)
    return features
