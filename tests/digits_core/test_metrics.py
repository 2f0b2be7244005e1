import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from sklearn.metrics import log_loss

from digits_core.metrics import confusion_matrix, expected_calibration_error, image_nll, score, wrong_margin

LABELS = np.array([0, 1, 2, 3])


def one_hot(digits: list[int]) -> np.ndarray:
    return np.eye(10)[digits]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_scores_equal_scikit_learns(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, n)
    probabilities = random.dirichlet(np.full(10, 0.5), n) * 0.999 + 0.0001
    figures = score(labels, probabilities)
    assert figures.nll == pytest.approx(log_loss(labels, probabilities, labels=range(10)))
    assert figures.error_count == int((probabilities.argmax(1) != labels).sum())
    assert figures.brier == pytest.approx(
        np.mean([(p - one_hot([y])[0]) @ (p - one_hot([y])[0]) for p, y in zip(probabilities, labels, strict=True)])
    )
    expected = sklearn_confusion_matrix(labels, probabilities.argmax(1), labels=range(10))
    assert np.array_equal(confusion_matrix(labels, probabilities.argmax(1)), expected)


def test_perfect_and_hopeless_models_have_finite_scores() -> None:
    perfect, hopeless = score(LABELS, one_hot([0, 1, 2, 3])), score(LABELS, one_hot([9, 9, 9, 9]))
    assert (perfect.error_count, perfect.nll, perfect.brier, perfect.ece) == (0, 0.0, 0.0, 0.0)
    assert (hopeless.error_count, hopeless.accuracy, hopeless.brier, hopeless.ece) == (4, 0.0, 2.0, 1.0)
    assert hopeless.nll == pytest.approx(-np.log(1e-12))


def test_calibration_error_by_hand() -> None:
    # Two images at confidence 0.7, one right: |0.5 - 0.7|; two at 0.9, both right: |1 - 0.9|; weights 1/2 each.
    probabilities = np.full((4, 10), 0.0)
    for row, (digit, confidence) in enumerate([(0, 0.7), (5, 0.7), (2, 0.9), (3, 0.9)]):
        probabilities[row] = (1 - confidence) / 9
        probabilities[row, digit] = confidence
    assert expected_calibration_error(LABELS, probabilities) == pytest.approx(0.15)


def test_margin_is_zero_for_a_correct_prediction() -> None:
    probabilities = np.full((2, 10), 0.02)
    probabilities[:, 4] = 0.82
    assert wrong_margin(np.array([4, 7]), probabilities).tolist() == pytest.approx([0.0, 0.80])
    assert image_nll(np.array([4]), probabilities[:1])[0] == pytest.approx(-np.log(0.82))


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (LABELS, one_hot([0, 1, 2]), "do not match"),
        (LABELS[:0], one_hot([]).reshape(0, 10), "no images"),
        (LABELS, np.full((4, 10), np.nan), "NaN"),
        (LABELS, np.full((4, 10), 0.3), "sum to one"),
    ],
)
def test_invalid_labels_and_probabilities_are_refused(
    labels: np.ndarray, probabilities: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score(labels, probabilities)
