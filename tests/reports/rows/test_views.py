import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from digits_core.judging.stats import accuracy_interval
from digits_core.metrics import expected_calibration_error
from reports.rows.views import FEWEST_OF_A_CELL, calibration_bins, mistakes, view_of


def test_mistakes_by_hand() -> None:
    probabilities = np.full((4, 10), 0.01)
    for row, (digit, p) in enumerate([(1, 0.91), (2, 0.91), (3, 0.5), (4, 0.91)]):
        probabilities[row, digit] = p
    probabilities[2, 7] = 0.42
    labels, indices = np.array([1, 0, 7, 9]), np.array([10, 11, 12, 13])
    found = mistakes(labels, probabilities, indices)
    assert found.images.tolist() == [11, 13, 12]
    assert found.labels.tolist() == [0, 9, 7]
    assert found.likeliest[:, 0].tolist() == [2, 4, 3]
    assert found.likeliest[2].tolist()[:2] == [3, 7]
    assert found.p_true.tolist() == pytest.approx([0.01, 0.01, 0.42])
    assert found.p_likeliest[2].tolist()[:2] == pytest.approx([0.5, 0.42])
    assert len(mistakes(labels, probabilities, indices, limit=0)) == 0
    assert len(mistakes(labels[:1], probabilities[:1], indices[:1])) == 0


def test_every_cell_keeps_its_first_mistakes() -> None:
    stream = np.random.default_rng(0)
    labels = stream.integers(0, 10, 3_000)
    probabilities = stream.dirichlet(np.full(10, 0.3), 3_000)
    everything, kept = (mistakes(labels, probabilities, np.arange(3_000), limit) for limit in (10**6, 50))
    assert np.isin(everything.images[:50], kept.images).all()
    for true_digit in range(10):
        for predicted in range(10):
            of_cell = (everything.labels == true_digit) & (everything.likeliest[:, 0] == predicted)
            assert np.isin(everything.images[of_cell][:FEWEST_OF_A_CELL], kept.images).all()
    assert len(kept) <= 50 + 90 * FEWEST_OF_A_CELL < len(everything)
    margins = kept.p_likeliest[:, 0] - kept.p_true
    assert (np.diff(margins) <= 1e-7).all()


def test_classes_are_those_of_scikit_learn(random_probabilities: np.ndarray) -> None:
    labels = np.random.default_rng(3).integers(0, 9, 200)  # there is no 9
    view = view_of("a", "A", "validation", labels, random_probabilities[0], np.arange(200))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, random_probabilities[0].argmax(axis=1), labels=range(10), zero_division=0
    )
    for row in view.classes:
        assert row.n == support[row.digit]
        assert (row.right / row.n if row.n else 0) == pytest.approx(recall[row.digit])
        assert (row.right / row.predicted_n if row.predicted_n else 0) == pytest.approx(precision[row.digit])
        assert (row.f1 or 0) == pytest.approx(f1[row.digit])
    assert view.classes[9].recall is None
    assert view.classes[0].recall == accuracy_interval(view.classes[0].n - view.classes[0].right, view.classes[0].n)


@given(st.integers(0, 2**32 - 1))
def test_bins_hold_every_prediction_and_add_up_to_the_calibration_error(seed: int) -> None:
    stream = np.random.default_rng(seed)
    labels = stream.integers(0, 10, 80)
    probabilities = stream.dirichlet(np.full(10, 0.2), 80)
    bins = calibration_bins(labels, probabilities)
    assert sum(one.n for one in bins) == 80
    gap = sum(one.n * abs(one.accuracy - one.confidence) for one in bins) / 80
    assert gap == pytest.approx(expected_calibration_error(labels, probabilities))
    assert all(one.interval.low <= one.accuracy <= one.interval.high for one in bins)
