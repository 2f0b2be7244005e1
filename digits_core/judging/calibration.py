"""Temperature scaling: one number that makes confidences honest and changes no answer (Guo et al. 2017, sec. 4.2)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from digits_core.metrics import SMALLEST_PROBABILITY, image_nll

COLDEST, HOTTEST = 0.05, 20.0  # where the fit stops: all right, or all wrong, has no finite best temperature


def scaled(probabilities: npt.NDArray[np.floating], temperature: float) -> npt.NDArray[np.float64]:
    """The softmax of log probabilities (N, C) over the temperature; above one, less confident."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return result


def fit_temperature(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> float:
    """The temperature with the lowest NLL. labels: (N,), probabilities: (N, C)."""
    from scipy import optimize  # takes a fifth of a second to import: whoever only scales needs none of it

    def nll(log_temperature: float) -> float:
        return float(image_nll(labels, scaled(probabilities, float(np.exp(log_temperature)))).mean())

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(optimize.minimize_scalar(nll, bounds=bounds, method="bounded").x))


def fit_scaled(
    labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]
) -> Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float64]]:
    """Temperature scaling of a single model, (1, N, C), as something that can be cross-fitted."""
    temperature = fit_temperature(labels, probabilities[0])
    return lambda others: scaled(others[0], temperature)
