import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_core.judging.ensemble import (
    COLDEST,
    HOTTEST,
    combine,
    contributions,
    cross_fitted,
    fit_greedy,
    fit_stack,
    fit_stacked,
    fit_temperature,
    greedy_weights,
    majority,
    nll_difference,
    pairs,
    scaled,
    uniform_weights,
)
from digits_core.metrics import expected_calibration_error, image_nll
from tests.helpers.models import random_models


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_weights_are_a_distribution_and_combinations_are_probabilities(seed: int, models: int) -> None:
    labels, probabilities = random_models(seed, models)
    for weights in (uniform_weights(models), greedy_weights(labels, probabilities)):
        assert weights.shape == (models,)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1)
        combined = combine(probabilities, weights)
        assert combined.shape == (50, 10)
        assert np.allclose(combined.sum(axis=1), 1)


@given(st.integers(0, 10_000))
def test_greedy_on_two_models_is_at_least_as_good_as_the_better_one(seed: int) -> None:
    labels, probabilities = random_models(seed, models=2)
    combined = image_nll(labels, combine(probabilities, greedy_weights(labels, probabilities))).mean()
    assert combined <= min(image_nll(labels, p).mean() for p in probabilities) + 1e-12


def test_a_useless_model_counts_only_in_bags_without_a_useful_one() -> None:
    labels, probabilities = random_models(1)
    useful = 0.9 * np.eye(10)[labels] + 0.01
    assert greedy_weights(labels, np.stack([useful, probabilities[0]])).tolist() == [1.0, 0.0]
    weights = greedy_weights(labels, np.stack([useful, probabilities[0], useful, probabilities[1]]))
    assert weights[[1, 3]].sum() == pytest.approx(1 / 6, abs=0.1)  # one pair of six has no useful model


def test_the_order_of_two_models_does_not_matter() -> None:
    labels, probabilities = random_models(2, models=2)
    assert np.allclose(greedy_weights(labels, probabilities)[::-1], greedy_weights(labels, probabilities[::-1]))


def test_cross_fitted_nll_is_worse_than_in_sample() -> None:
    # Twenty equally worthless models: fitted weights look better on the images they were fitted on.
    labels, probabilities = random_models(3, models=20, n=200)
    fitted = image_nll(labels, combine(probabilities, greedy_weights(labels, probabilities))).mean()
    honest = image_nll(labels, cross_fitted(labels, probabilities, fit_greedy)).mean()
    assert honest > fitted


def test_nll_difference_is_negative_where_the_first_is_better() -> None:
    labels = np.array([3])
    sure, unsure = np.full((1, 10), 0.01), np.full((1, 10), 0.1)
    sure[0, 3] = 0.91
    assert nll_difference(labels, sure, unsure)[0] == pytest.approx(np.log(0.1) - np.log(0.91))


def test_a_vote_of_three_by_hand() -> None:
    """First two votes for class 1 and one for 2; then one vote each, where the mean probability decides."""
    said = np.zeros((3, 2, 3))
    said[:, 0] = [[0.0, 0.6, 0.4], [0.0, 0.6, 0.4], [0.0, 0.0, 1.0]]
    said[:, 1] = [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]]
    voted = majority(said)
    assert voted.argmax(axis=1).tolist() == [1, 1]
    assert voted[0] == pytest.approx([0.0, (2 + 0.4) / 4, (1 + 0.6) / 4])
    assert voted.sum(axis=1) == pytest.approx(1.0)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_cross_fitting_combines_each_image_by_a_fit_on_the_others(seed: int, models: int) -> None:
    labels, probabilities = random_models(seed, models)
    seen: list[int] = []

    def fit(some_labels: np.ndarray, some: np.ndarray) -> object:
        seen.append(len(some_labels))
        return lambda others: others.mean(axis=0)

    combined = cross_fitted(labels, probabilities, fit)  # type: ignore[arg-type]
    assert seen == [40] * 5
    assert combined == pytest.approx(probabilities.mean(axis=0))


def test_greedy_starts_with_the_best_few_models_together() -> None:
    """Two good models that are wrong on different images: greedy starts with both, and nothing beats that."""
    labels = np.zeros(40, dtype=np.int64)
    true_class = np.array([[0.9] * 20 + [0.3] * 20, [0.3] * 20 + [0.9] * 20])
    probabilities = np.zeros((2, 40, 2))
    probabilities[:, :, 0], probabilities[:, :, 1] = true_class, 1 - true_class
    assert greedy_weights(labels, probabilities) == pytest.approx([0.5, 0.5])


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_stack_gives_probabilities(seed: int, models: int) -> None:
    labels, probabilities = random_models(seed, models)
    stack = fit_stack(labels, probabilities)
    combined = stack.combine(probabilities)
    assert combined.shape == (50, 10)
    assert combined.sum(axis=1) == pytest.approx(1.0)
    assert stack.weights(models).sum() == pytest.approx(1.0)


def test_a_stack_learns_that_a_model_swaps_two_digits() -> None:
    """A model that predicts 1 for 7 and 7 for 1 is wrong in every vote; a regression corrects it."""
    stream = np.random.default_rng(0)
    labels = stream.choice([1, 7], 400)
    swapped = np.where(labels == 1, 7, 1)
    probabilities = np.full((1, 400, 10), 0.01)
    probabilities[0, np.arange(400), swapped] = 0.91
    combined = cross_fitted(labels, probabilities, fit_stacked)
    assert (combined.argmax(axis=1) == labels).all()
    assert image_nll(labels, combined).mean() < 0.3 < image_nll(labels, probabilities[0]).mean()


def test_a_stack_never_predicts_a_digit_without_labels() -> None:
    labels, probabilities = random_models(3, 2)
    labels = labels % 9
    combined = fit_stack(labels, probabilities).combine(probabilities)
    assert combined[:, 9].max() == 0.0
    assert np.isfinite(combined).all()


@given(st.integers(0, 10_000), st.floats(0.2, 5))
def test_scaling_changes_confidences_but_no_prediction(seed: int, temperature: float) -> None:
    _, (probabilities,) = random_models(seed, 1)
    after = scaled(probabilities, temperature)
    assert after.sum(axis=1) == pytest.approx(1.0)
    before_top, after_top = probabilities.max(axis=1), after.max(axis=1)
    assert after[np.arange(50), probabilities.argmax(axis=1)] == pytest.approx(after_top)
    assert (after_top <= before_top + 1e-6).all() if temperature >= 1 else (after_top >= before_top - 1e-6).all()


def test_the_temperature_calibrates_an_overconfident_model() -> None:
    """Labels are drawn from the true probabilities; the model predicts their squares."""
    stream = np.random.default_rng(0)
    truth = stream.dirichlet(np.full(10, 0.5), 5_000)
    labels = np.array([stream.choice(10, p=row) for row in truth])
    sure = scaled(truth, 0.5)
    temperature = fit_temperature(labels, sure)
    assert temperature == pytest.approx(2.0, rel=0.05)
    before, after = (expected_calibration_error(labels, one) for one in (sure, scaled(sure, temperature)))
    assert after < 0.03 < before


def test_the_temperature_stays_in_bounds_if_all_is_right_or_all_wrong() -> None:
    right = np.full((20, 10), 0.05)
    right[:, 3] = 0.55
    assert COLDEST <= fit_temperature(np.full(20, 3), right) < 0.1  # below that, the temperature hardly matters
    assert fit_temperature(np.full(20, 4), right) == pytest.approx(HOTTEST, rel=0.01)


def test_a_pair_by_hand() -> None:
    wrong = np.array([[1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0]], dtype=bool)
    (pair,) = pairs(wrong)
    assert (pair.first, pair.second, pair.disagreement, pair.double_fault) == (0, 1, 2 / 8, 1 / 8)
    assert pair.yule_q == pytest.approx((1 * 5 - 1 * 1) / (1 * 5 + 1 * 1))


def test_two_perfect_models_have_no_yule_q() -> None:
    (pair,) = pairs(np.zeros((2, 5), dtype=bool))
    assert (pair.disagreement, pair.double_fault, pair.yule_q) == (0.0, 0.0, None)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_contributions_are_what_leaving_one_out_costs(seed: int, models: int) -> None:
    labels, probabilities = random_models(seed, models)
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
def test_every_pair_is_listed_once(seed: int) -> None:
    wrong = np.random.default_rng(seed).random((4, 30)) < 0.3
    found = pairs(wrong)
    assert [(pair.first, pair.second) for pair in found] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert all(pair.disagreement == (wrong[pair.first] != wrong[pair.second]).mean() for pair in found)
