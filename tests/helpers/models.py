"""Made-up models with known predictions."""

import numpy as np


def answers(labels: np.ndarray, wrong: list[int], confidence: float) -> np.ndarray:
    """Probabilities, (N, 10): the label gets this confidence, but on the images in `wrong` the next digit gets it."""
    digits = labels.copy()
    digits[wrong] = (digits[wrong] + 1) % 10
    probabilities = np.full((len(labels), 10), (1 - confidence) / 9, dtype=np.float32)
    probabilities[np.arange(len(labels)), digits] = confidence
    return probabilities


def random_models(seed: int, models: int = 4, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 10, n), random.dirichlet(np.full(10, 0.3), (models, n))
