"""Predictions of a few images, as people hand them in, and the line that says what is wrong with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from digits_core.errors import UsageError
from digits_core.outside.predictions import read_predictions

N = 12


LABELS = np.arange(N) % 10


POSITIONS = np.arange(N)[::-1] * 3 + 5


TEN = [f"p{digit}" for digit in range(10)]


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits)
    return powers / powers.sum(axis=-1, keepdims=True)


LOGITS = np.random.default_rng(0).normal(0, 2, (3, N, 10))


SEEDS = softmax(LOGITS)


ONE = SEEDS[0]


PREDICTED = ONE.argmax(axis=1)


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(ONE, columns=TEN).assign(**columns)


def line_of(path: Path, read: Callable[[Path], object] = read_predictions) -> str:
    """What the error says after the file's name; it is one line."""
    with pytest.raises(UsageError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text
