import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.data.datasets import DATASETS, load_digits
from digits_core.errors import UsageError
from digits_core.judging.label_doubt import confidently_another, find_doubts, review
from digits_core.judging.leaderboard import leaderboard
from digits_core.runs.run import Run
from tests.helpers.models import random_models
from tests.helpers.runs import opened_for


def test_confident_learning_by_hand() -> None:
    """A digit's threshold is its mean probability over images of that label: 0.6 for 0, 0.8 for 1."""
    labels = np.array([0, 0, 0, 1, 1])
    p_zero = np.array([0.9, 0.75, 0.15, 0.1, 0.3])
    probabilities = np.stack([p_zero, 1 - p_zero], axis=1)
    # The third counts as 1 (0.85 >= 0.8); for the last, no digit reaches its threshold.
    assert confidently_another(labels, probabilities).tolist() == [False, False, True, False, False]


@given(st.integers(0, 10_000))
def test_right_and_confident_is_never_doubted(seed: int) -> None:
    labels, (probabilities,) = random_models(seed, 1)
    sure = 0.1 * probabilities + 0.9 * np.eye(10)[labels]
    assert not confidently_another(labels, sure).any()


def test_a_wrong_label_is_found_among_right_ones() -> None:
    stream = np.random.default_rng(0)
    truth = stream.integers(0, 10, 500)
    labels = truth.copy()
    labels[:5] = (labels[:5] + 3) % 10
    said = [0.15 * stream.dirichlet(np.full(10, 0.5), 500) + 0.85 * np.eye(10)[truth] for _ in range(3)]
    found = review("validation", labels, np.arange(1_000, 1_500), said, contested=(1_002, 1_400))
    assert {doubt.index for doubt in found.doubts} == set(range(1_000, 1_005))
    assert all(doubt.missed_by == 3 for doubt in found.doubts)
    assert sum(doubt.confident for doubt in found.doubts) >= 3  # the other digit must be as probable as it usually is
    assert [doubt.contested for doubt in sorted(found.doubts, key=lambda doubt: doubt.index)] == [
        False,
        False,
        True,
        False,
        False,
    ]
    confidences = [doubt.self_confidence for doubt in found.doubts]
    assert confidences == sorted(confidences)
    assert (found.contested_n, found.error_count, found.uncontested_error_count) == (2, 5, 4)
    assert labels[0] == (truth[0] + 3) % 10  # nothing is relabelled


def test_a_digit_without_labels_never_counts() -> None:
    labels, probabilities = np.array([0, 0]), np.array([[0.1, 0.9], [0.2, 0.8]])
    assert not confidently_another(labels, probabilities).any()


def test_doubts_of_a_sweep(sweep_store: Run) -> None:
    found = find_doubts(sweep_store, top=2)
    tied = len(leaderboard(sweep_store, draws=2).tie)
    assert (found.part, found.n, found.model_count) == ("validation", 360, min(2, tied))
    best = sweep_store.ranked[0]
    assert best.validation is not None
    assert found.error_count == best.validation.error_count
    assert {doubt.index for doubt in found.doubts} <= set(sweep_store.validation_indices.tolist())
    with pytest.raises(UsageError, match="the sealed test set has not been opened for any of its best models"):
        find_doubts(sweep_store, "test")
    sweep_store = opened_for(sweep_store)
    tested = find_doubts(sweep_store, "test")
    assert (tested.n, tested.model_count) == (359, 1)
    with pytest.raises(UsageError, match="did you mean 'validation'"):
        find_doubts(sweep_store, "validaton")
    assert len(sweep_store.ledger) == 1


@pytest.mark.mnist
def test_the_disputed_images_of_mnist() -> None:
    """Their published labels: an 8 that people read as 9, a 0 as 6, a 9 as 4."""
    digits = load_digits("mnist")
    contested = DATASETS["mnist"].contested
    assert digits.published_name(contested[0]) == "test 947"
    assert [int(digits.labels[index]) for index in contested[:3]] == [8, 0, 9]
