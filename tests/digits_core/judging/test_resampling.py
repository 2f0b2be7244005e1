"""Values by hand, properties, and slow simulations of what the intervals and the correction promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_core.judging.resampling import image_counts, paired_bootstrap, selection_corrected


def test_every_draw_has_as_many_images_as_there_are() -> None:
    blocks = list(image_counts(40, draws=600))
    assert [len(block) for block in blocks] == [250, 250, 100]
    counts = np.concatenate(blocks)
    assert (counts.sum(axis=1) == 40).all()
    assert counts.mean() == 1.0
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 40) ** 40, abs=0.01)  # the chance of being left out
    np.testing.assert_array_equal(counts, np.concatenate(list(image_counts(40, draws=600))))


def test_difference_interval_is_that_of_the_normal_approximation() -> None:
    stream = np.random.default_rng(1)
    values = stream.normal([[0.0], [0.1]], 1.0, size=(2, 2_000))
    leader, other = paired_bootstrap(values)[0].to_leader
    assert (leader.low, leader.high) == (0.0, 0.0)
    difference = values[1] - values[0]
    deviation = difference.std(ddof=1) / np.sqrt(2_000)
    assert other.low == pytest.approx(difference.mean() - 1.96 * deviation, abs=0.1 * deviation)
    assert other.high == pytest.approx(difference.mean() + 1.96 * deviation, abs=0.1 * deviation)


def test_difficulty_shared_by_all_models_does_not_widen_the_interval() -> None:
    stream = np.random.default_rng(2)
    hard = stream.exponential(100.0, 500)  # the same for both
    (_, other) = paired_bootstrap(np.stack([hard, hard + 1.0]))[0].to_leader
    assert (other.low, other.high) == (pytest.approx(1.0), pytest.approx(1.0))


def test_ranks_of_models_that_are_far_apart_or_nearly_equal() -> None:
    stream = np.random.default_rng(3)
    noise = stream.normal(0, 1, size=(4, 1_000))
    ranks = paired_bootstrap(noise + np.array([[0.0], [0.01], [5.0], [10.0]]))[0].ranks
    assert ranks == ((1, 2), (1, 2), (3, 3), (4, 4))


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(2, 40), st.integers(0, 2**31))
def test_ranks_and_accuracies_stay_in_bounds(models: int, n: int, seed: int) -> None:
    stream = np.random.default_rng(seed)
    wrong = stream.random((models, n)) < 0.3
    nll = wrong + stream.random((models, n))
    paired, of_errors = paired_bootstrap(nll, wrong, draws=200)
    (alone,) = paired_bootstrap(wrong, draws=200)  # the same images are drawn; sums may round in another order
    for together, single in zip(of_errors.to_leader, alone.to_leader, strict=True):
        assert (together.low, together.high) == pytest.approx((single.low, single.high), abs=1e-5)
    selected = selection_corrected(nll, wrong.astype(float), draws=200)
    assert all(1 <= low <= high <= models for low, high in paired.ranks)
    assert all(interval.low <= interval.high for interval in paired.to_leader)
    assert 0.0 <= selected.interval.low <= selected.accuracy <= selected.interval.high <= 1.0
    assert selected.shown in {1 - row.mean() for row in wrong}


def test_a_perfect_model_and_a_single_one() -> None:
    nothing_wrong = np.zeros((1, 50))
    assert paired_bootstrap(nothing_wrong)[0].ranks == ((1, 1),)
    selected = selection_corrected(nothing_wrong, nothing_wrong)
    assert (selected.accuracy, selected.optimism) == (1.0, 0.0)


def test_a_single_image_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="cannot be resampled"):
        selection_corrected(np.zeros((3, 1)), np.zeros((3, 1)))


@pytest.mark.parametrize(("pairs", "margin"), [(200, 0.04), pytest.param(1_000, 0.02, marks=pytest.mark.slow)])
def test_coverage_of_the_paired_interval(pairs: int, margin: float) -> None:
    """Pairs of models on 1,000 images: 95 % of the intervals hold the truth. Standard error: 1.5 and 0.7 points."""
    stream, covered = np.random.default_rng(4), 0
    for _ in range(pairs):
        hard = stream.exponential(0.05, 1_000)
        nll = np.stack([hard * stream.exponential(1.0, 1_000), hard * stream.exponential(1.2, 1_000)])
        (_, other) = paired_bootstrap(nll, draws=500)[0].to_leader
        covered += other.low <= 0.05 * 0.2 <= other.high
    assert abs(covered / pairs - 0.95) <= margin


@pytest.mark.parametrize(("sweeps", "margin"), [(30, 0.06), pytest.param(200, 0.05, marks=pytest.mark.slow)])
def test_the_correction_removes_the_optimism(sweeps: int, margin: float) -> None:
    """Sweeps of 100 models on 5,000 images: the picked model's true accuracy against the two figures for it.

    All models are equally good in truth (0.5 % errors, half of them on images that are hard for all), so the best one
    is best by luck alone. Standard error of the mean: 0.015 points of 30 sweeps, 0.006 of 200.
    """
    stream, n, truth = np.random.default_rng(5), 5_000, 0.995
    shown, corrected = [], []
    for _ in range(sweeps):
        hard = stream.random(n) < 0.0025 / 0.5
        chance = np.where(hard, 0.5, 0.0025 / 0.995)
        wrong = (stream.random((100, n)) < chance).astype(np.float32)
        selected = selection_corrected(wrong, wrong, draws=400)
        shown.append(selected.shown - truth)
        corrected.append(selected.accuracy - truth)
    assert 100 * np.mean(shown) > 0.15
    assert abs(100 * np.mean(corrected)) <= margin
