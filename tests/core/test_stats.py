import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.stats import accuracy_interval, mcnemar_p_value, paired_mean_interval, seed_mean_difference, spread_of


def test_wilson_interval_of_a_published_accuracy() -> None:
    interval = accuracy_interval(30, 10_000)  # 99.70 % on MNIST's test images
    assert (round(100 * interval.low, 2), round(100 * interval.high, 2)) == (99.57, 99.79)


@given(st.integers(1, 5_000), st.data())
def test_interval_holds_the_estimate_and_stays_inside_zero_and_one(n: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, n))
    interval = accuracy_interval(errors, n)
    assert 0.0 <= interval.low <= (n - errors) / n + 1e-9
    assert (n - errors) / n - 1e-9 <= interval.high <= 1.0


def test_perfect_model_still_has_a_lower_bound_below_one() -> None:
    assert accuracy_interval(0, 360).low == pytest.approx(0.98944, abs=1e-4)


def test_paired_interval_by_hand() -> None:
    # mean 1, standard error 1/sqrt(3), t(2, 0.975) = 4.3027
    interval = paired_mean_interval(np.array([0.0, 1.0, 2.0]))
    assert interval.low == pytest.approx(1 - 4.3027 / np.sqrt(3), abs=1e-3)
    assert interval.high == pytest.approx(1 + 4.3027 / np.sqrt(3), abs=1e-3)


@pytest.mark.parametrize("values", [[2.0], [0.0, 0.0, 0.0]])
def test_paired_interval_without_spread_is_a_point(values: list[float]) -> None:
    interval = paired_mean_interval(np.array(values))
    assert interval.low == interval.high == values[0]


def test_mcnemar_exact() -> None:
    # 10 images that only A gets wrong, 2 that only B does: 2 * P(X <= 2 | 12, 1/2) = 158 / 4096
    wrong_a = np.array([True] * 10 + [False] * 2 + [True] * 5 + [False] * 83)
    wrong_b = np.array([False] * 10 + [True] * 2 + [True] * 5 + [False] * 83)
    assert mcnemar_p_value(wrong_a, wrong_b) == pytest.approx(158 / 4096)
    assert mcnemar_p_value(wrong_a, wrong_a) == 1.0


def test_spread_of_several_runs_and_of_one() -> None:
    spread = spread_of([0.98, 0.99, 1.0])
    assert (spread.n, spread.best) == (3, 1.0)
    assert spread.mean == pytest.approx(0.99)
    assert spread.standard_deviation == pytest.approx(0.01)
    assert spread_of([0.5]).standard_deviation is None


def test_a_difference_holds_the_chance_of_images_and_of_seeds() -> None:
    stream = np.random.default_rng(0)
    wrong, other = stream.random((5, 1_000)) < 0.03, stream.random((5, 1_000)) < 0.01
    mean, interval = seed_mean_difference(wrong, other)
    assert mean == pytest.approx(wrong.mean() - other.mean())
    assert 0 < interval.low < mean < interval.high
    images_alone = paired_mean_interval(wrong.mean(axis=0) - other.mean(axis=0))
    assert interval.high - interval.low > images_alone.high - images_alone.low
    _, single = seed_mean_difference(wrong[:1], other[:1])
    expected = paired_mean_interval(wrong[0].astype(float) - other[0])
    assert (single.low, single.high) == pytest.approx((expected.low, expected.high))


def test_no_difference_has_no_width() -> None:
    same = np.zeros((2, 10), dtype=bool)
    mean, interval = seed_mean_difference(same, same)
    assert (mean, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_the_interval_covers_what_it_says() -> None:
    """Two recipes without a true difference, seeds that vary: 95 % of the intervals hold zero."""
    stream = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        hardness = stream.beta(0.05, 1.5, size=500)  # the same images for both, most of them easy

        def runs(hardness: np.ndarray = hardness) -> np.ndarray:
            luck = stream.normal(1.0, 0.2, size=(3, 1))
            return stream.random((3, 500)) < np.clip(hardness * luck, 0, 1)

        _, interval = seed_mean_difference(runs(), runs())
        held += interval.low <= 0 <= interval.high
    assert 0.92 <= held / 400 <= 1.0
