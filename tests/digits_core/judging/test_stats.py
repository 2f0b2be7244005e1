import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from digits_core.judging.stats import (
    Interval,
    accuracy_interval,
    detectable_difference,
    fold_mean_difference,
    holm,
    mcnemar_p_value,
    mean_accuracy_interval,
    p_value_text,
    paired_mean_interval,
    percent_text,
    points_text,
    seed_mean_difference,
    spread_of,
)


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


def test_difference_interval_covers_variation_over_images_and_seeds() -> None:
    stream = np.random.default_rng(0)
    luck = np.array([[0.4], [0.7], [1.0], [1.3], [1.6]])
    wrong, other = stream.random((5, 1_000)) < 0.06 * luck, stream.random((5, 1_000)) < 0.01 * luck
    found = seed_mean_difference(wrong, other)
    mean, interval = found.mean, found.interval
    assert found.separable
    assert found.p_value < 0.05
    assert mean == pytest.approx(wrong.mean() - other.mean())
    assert 0 < interval.low < mean < interval.high
    images_alone = paired_mean_interval(wrong.mean(axis=0) - other.mean(axis=0))
    assert interval.high - interval.low > images_alone.high - images_alone.low
    single = seed_mean_difference(wrong[:1], other[:1]).interval
    expected = paired_mean_interval(wrong[0].astype(float) - other[0])
    assert (single.low, single.high) == pytest.approx((expected.low, expected.high))


def test_identical_runs_have_an_interval_of_zero_width() -> None:
    same = np.zeros((2, 10), dtype=bool)
    found = seed_mean_difference(same, same)
    mean, interval = found.mean, found.interval
    assert (found.separable, found.p_value) == (False, 1.0)
    assert (mean, interval.low, interval.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_coverage_of_the_interval_over_images_and_seeds(seeds: int, spread: float) -> None:
    """Two recipes without a true difference, 1,000 times: zero is in 95 % of intervals or more. Error: 0.7 points."""
    stream, held = np.random.default_rng(1), 0
    for _ in range(1_000):
        hardness = stream.beta(0.05, 1.5, size=500)  # the same images for both, most of them easy

        def runs(hardness: np.ndarray = hardness) -> np.ndarray:
            luck = stream.normal(1.0, spread, size=(seeds, 1))
            return stream.random((seeds, 500)) < np.clip(hardness * luck, 0, 1)

        interval = seed_mean_difference(runs(), runs()).interval
        held += interval.low <= 0 <= interval.high
    assert 0.94 <= held / 1_000 <= 0.99


@pytest.mark.parametrize(("seeds", "others"), [(5, 1), (3, 1)])
def test_a_single_run_is_assumed_to_vary_as_the_others_do(seeds: int, others: int) -> None:
    """Two recipes without a true difference, one run once: at most 5 % false alarms. Standard error: 0.7 points."""
    stream, alarms = np.random.default_rng(8), 0
    for _ in range(1_000):
        hardness = stream.beta(0.05, 1.5, size=500)

        def runs(count: int, hardness: np.ndarray = hardness) -> np.ndarray:
            return stream.random((count, 500)) < np.clip(hardness * stream.normal(1.0, 0.3, size=(count, 1)), 0, 1)

        alarms += seed_mean_difference(runs(seeds), runs(others)).p_value < 0.05
    assert alarms / 1_000 <= 0.07


def test_one_seed_each_is_the_paired_t_test() -> None:
    stream = np.random.default_rng(2)
    first, second = stream.normal(0.1, 1, 80), stream.normal(0, 1, 80)
    found = seed_mean_difference(first[np.newaxis], second[np.newaxis])
    expected = scipy_stats.ttest_rel(first, second)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_folds_by_hand() -> None:
    """Five folds of a fifth each: the variance is taken 1/5 + 1/4 times, not 1/5 times."""
    differences = np.array([0.01, 0.02, 0.03, 0.00, 0.04])
    found = fold_mean_difference(differences, train_n=80, held_out_n=20)
    naive = scipy_stats.ttest_1samp(differences, 0.0)
    statistic = naive.statistic * np.sqrt((1 / 5) / (1 / 5 + 1 / 4))
    assert found.mean == pytest.approx(0.02)
    assert found.p_value == pytest.approx(2 * scipy_stats.t.sf(statistic, 4))
    half = scipy_stats.t.isf(0.025, 4) * differences.std(ddof=1) * np.sqrt(0.45)
    assert found.interval.high == pytest.approx(0.02 + half)
    with pytest.raises(ValueError, match="no spread"):
        fold_mean_difference(differences[:1], train_n=80, held_out_n=20)


def test_holm_by_hand() -> None:
    # smallest times 3, next times 2, last times 1, never falling
    assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert holm([]) == ()
    assert holm([0.6, 0.9]) == (1.0, 1.0)


@pytest.mark.parametrize("count", [1, 30])
def test_holm_equals_that_of_statsmodels(count: int) -> None:
    p_values = [*(np.random.default_rng(count).random(count) ** 3), 0.01, 0.01]
    assert holm(p_values) == pytest.approx(tuple(multipletests(p_values, method="holm")[1]))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_the_interval_of_a_mean_equals_that_of_statsmodels(error_counts: list[int]) -> None:
    interval = mean_accuracy_interval(error_counts, 50)
    low, high = proportion_confint(50 - np.mean(error_counts), 50, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(("wrong_a", "wrong_b"), [(9, 2), (0, 5), (4, 4)])
def test_mcnemar_and_wilson_equal_those_of_statsmodels(wrong_a: int, wrong_b: int) -> None:
    a, b = np.zeros(500, dtype=bool), np.zeros(500, dtype=bool)
    a[:wrong_a] = b[100 : 100 + wrong_b] = a[200:210] = b[200:210] = True
    table = [[500 - wrong_a - wrong_b - 10, wrong_b], [wrong_a, 10]]
    assert mcnemar_p_value(a, b) == pytest.approx(mcnemar(table, exact=True).pvalue)
    interval = accuracy_interval(wrong_a, 500)
    assert (interval.low, interval.high) == pytest.approx(
        proportion_confint(500 - wrong_a, 500, method="wilson"), abs=1e-12
    )


def test_the_detectable_difference_is_found_four_times_in_five() -> None:
    """10,000 images, of which exactly one of two models gets 0.6 % right. Standard error of the share: 1.3 points."""
    n, share = 10_000, 0.006
    difference = detectable_difference(n, share)
    assert difference is not None
    assert 0.001 < difference < share
    stream, found = np.random.default_rng(6), 0
    for _ in range(1_000):
        only_a, only_b, _ = stream.multinomial(n, [(share + difference) / 2, (share - difference) / 2, 1 - share])
        found += only_a + only_b > 0 and scipy_stats.binomtest(only_a, only_a + only_b).pvalue < 0.05
    assert 0.74 <= found / 1_000 <= 0.86  # the formula is a normal approximation


def test_five_images_that_only_one_model_gets_right_are_too_few() -> None:
    assert detectable_difference(5_000, 5 / 5_000) is None  # 5 to 0 has p = 0.0625
    assert detectable_difference(5_000, 0.0) is None


@given(st.integers(2, 20_000), st.floats(0, 1))
def test_the_detectable_difference_is_a_share(n: int, share: float) -> None:
    found = detectable_difference(n, share)
    assert found is None or 0.0 < found <= share


def test_false_alarms_of_mcnemar_and_coverage_of_wilson() -> None:
    """Two equally good models, 2,000 times: at most 5 % false alarms (standard error: 0.5 points).

    Wilson's interval for 99.5 % of 5,000 images, 2,000 times: it holds the truth 93 to 97 times in 100.
    """
    stream, alarms, covered = np.random.default_rng(7), 0, 0
    for _ in range(2_000):
        hard = stream.beta(0.02, 2.0, size=2_000)
        wrong_a, wrong_b = stream.random((2, 2_000)) < hard
        alarms += mcnemar_p_value(wrong_a, wrong_b) < 0.05
        interval = accuracy_interval(int(stream.binomial(5_000, 0.005)), 5_000)
        covered += interval.low <= 0.995 <= interval.high
    assert alarms / 2_000 <= 0.05
    assert 0.93 <= covered / 2_000 <= 0.97


def test_p_value_text() -> None:
    assert [p_value_text(p) for p in (1.0, 0.0312, 0.001, 8e-100)] == ["1", "0.031", "0.001", "<0.001"]


@pytest.mark.parametrize(
    ("n", "percent", "points"),
    [(40, "97\u202f%", "+1"), (359, "97.2\u202f%", "+0.9"), (1_000, "97.21\u202f%", "+0.88")],
)
def test_a_percentage_has_the_decimals_that_its_images_carry(n: int, percent: str, points: str) -> None:
    assert (percent_text(0.97214, n), points_text(-0.00881, n)) == (percent, points)
    assert points_text(0.000001, n) == f"+{0:.{len(points.partition('.')[2])}f}"  # not -0.00


def test_nothing_is_beyond_what_can_be() -> None:
    assert Interval(low=-1.4, high=0.3).within(-1, 1) == Interval(low=-1, high=0.3)
