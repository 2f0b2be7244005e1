import numpy as np
import pytest
from scipy.stats import binomtest

from digits_core.judging.contestants import Answers
from digits_core.judging.duel import duel


def answers(*wrong: list[int], n: int = 400) -> Answers:
    """Runs that are sure, and wrong on the named images."""
    labels, runs = np.zeros(n, dtype=np.int64), []
    for places in wrong:
        said = np.full((n, 10), 0.01, dtype=np.float32)
        said[:, 0] = 0.91
        said[places] = np.roll(said[places], 1, axis=1)
        runs.append(said)
    return Answers.of(labels, runs)


def test_single_runs_meet_in_mcnemars_test() -> None:
    first, second = answers(list(range(4))), answers(list(range(2, 20)))
    found = duel(first, second)
    assert found.method == "mcnemar"
    assert found.p_value == pytest.approx(binomtest(2, 18).pvalue)
    assert found.error_rate == pytest.approx(14 / 400)
    assert found.interval.low < 14 / 400 < found.interval.high
    assert (found.first_accuracy, found.second_accuracy) == pytest.approx((0.99, 0.955))
    back = duel(second, first)
    assert (back.error_rate, back.p_value) == pytest.approx((-found.error_rate, found.p_value))


def test_several_seeds_meet_in_a_t_test() -> None:
    first, second = answers([1, 2], [2, 3], [1, 4]), answers(list(range(30)), list(range(28)))
    found = duel(first, second)
    assert found.method == "seeds"
    assert found.error_rate == pytest.approx((29 - 2) / 400)
    assert 0 < found.interval.low < found.error_rate < found.interval.high
    assert found.p_value < 0.001
    assert duel(first, first).p_value == 1


def test_answers_to_other_images_do_not_meet() -> None:
    with pytest.raises(ValueError, match="not to the same images"):
        duel(answers([1]), answers([1], n=300))
