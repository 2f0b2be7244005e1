"""Tests of several models against the first."""

import numpy as np
import pytest

from digits_core.judging.answers import Answers
from digits_core.judging.paired import compared
from digits_core.metrics import Score


def answers_of(wrong: np.ndarray) -> Answers:
    """Runs, (S, N), of which only the mistakes are known; the NLL is the error rate."""
    n = wrong.shape[1]
    scores = tuple(
        Score(n=n, error_count=int(row.sum()), accuracy=1 - row.mean(), nll=float(row.mean()), brier=0.0, ece=0.0)
        for row in wrong
    )
    return Answers(scores=scores, wrong=wrong, nll=wrong.astype(np.float32))


@pytest.mark.parametrize("spread", [0.1, 0.3])
@pytest.mark.parametrize("count", [500, pytest.param(4_000, marks=pytest.mark.slow)])
def test_two_equally_good_recipes_over_three_seeds_are_seldom_told_apart(spread: float, count: int) -> None:
    """At most 5 % of `count`; the standard error is 1.0 points at 500 and 0.3 at 4,000. The better one leads."""
    stream, alarms = np.random.default_rng(21), 0
    for _ in range(count):
        hardness = stream.beta(0.05, 1.5, size=500)  # the same images for both, most of them easy
        recipes = [
            stream.random((3, 500)) < np.clip(hardness * stream.normal(1.0, spread, size=(3, 1)), 0, 1)
            for _ in range(2)
        ]
        leader, other = sorted(recipes, key=np.mean)
        _, row = compared([answers_of(leader), answers_of(other)], draws=2)
        assert row.to_leader is not None
        alarms += not row.to_leader.tied
    assert 0 < alarms / count <= 0.05


def test_predictions_of_different_images_are_refused() -> None:
    one, other = np.zeros((1, 10), bool), np.zeros((1, 11), bool)
    with pytest.raises(ValueError, match="not for the same images"):
        compared([answers_of(one), answers_of(other)])


def test_p_values_are_corrected_for_the_number_of_rows() -> None:
    wrong = np.zeros((3, 1, 100), bool)
    wrong[1, 0, :8] = True  # 8 of 100, the leader none: McNemar 2 / 2**8
    wrong[2, 0, 50:53] = True  # 2 / 2**3
    _, first, second = compared([answers_of(one) for one in wrong], draws=20)
    assert first.to_leader is not None
    assert second.to_leader is not None
    assert (first.to_leader.p_value, first.to_leader.corrected_p_value) == pytest.approx((2 / 2**8, 4 / 2**8))
    assert (second.to_leader.p_value, second.to_leader.corrected_p_value) == pytest.approx((0.25, 0.25))
    assert (first.to_leader.verdict, second.to_leader.verdict) == ("more mistakes", "tied")


def test_resamples_with_as_many_mistakes_leave_the_rank_open() -> None:
    """One model makes two mistakes, the other the same two and one more: in a third of resamples they are equal."""
    wrong = np.zeros((2, 1, 60), bool)
    wrong[:, 0, :2] = wrong[1, 0, 2] = True
    by_errors = compared([answers_of(one) for one in wrong], by="error_rate")
    assert [row.ranks for row in by_errors] == [(1, 2), (1, 2)]
    apart = np.zeros((2, 1, 60), bool)
    apart[1, 0, :30] = True  # never equal
    assert [row.ranks for row in compared([answers_of(one) for one in apart], by="error_rate")] == [(1, 1), (2, 2)]
    same = compared([answers_of(wrong[0]), answers_of(wrong[0])])
    assert [row.ranks for row in same] == [(1, 2), (1, 2)]
