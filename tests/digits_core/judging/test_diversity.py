import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.judging.diversity import contributions, pairs
from digits_core.metrics import image_nll
from tests.digits_core.judging.test_ensemble import draw


def test_a_pair_by_hand() -> None:
    wrong = np.array([[1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0]], dtype=bool)
    (pair,) = pairs(wrong)
    assert (pair.first, pair.second, pair.disagreement, pair.double_fault) == (0, 1, 2 / 8, 1 / 8)
    assert pair.yule_q == pytest.approx((1 * 5 - 1 * 1) / (1 * 5 + 1 * 1))


def test_perfect_twins_have_no_q() -> None:
    (pair,) = pairs(np.zeros((2, 5), dtype=bool))
    assert (pair.disagreement, pair.double_fault, pair.yule_q) == (0.0, 0.0, None)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_contributions_are_what_leaving_one_out_costs(seed: int, models: int) -> None:
    labels, probabilities = draw(seed, models)
    found = contributions(labels, probabilities)
    assert len(found) == models
    if models == 1:
        assert found == (0.0,)
        return
    whole = image_nll(labels, probabilities.mean(axis=0)).mean()
    for place, contribution in enumerate(found):
        without = np.delete(probabilities, place, axis=0).mean(axis=0)
        assert contribution == pytest.approx(image_nll(labels, without).mean() - whole, abs=1e-9)


@given(st.integers(0, 10_000))
def test_pairs_count_every_two_once(seed: int) -> None:
    wrong = np.random.default_rng(seed).random((4, 30)) < 0.3
    found = pairs(wrong)
    assert [(pair.first, pair.second) for pair in found] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert all(pair.disagreement == (wrong[pair.first] != wrong[pair.second]).mean() for pair in found)
