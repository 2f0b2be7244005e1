import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.judging.ensemble import (
    combine,
    cross_fitted,
    fit_greedy,
    greedy_weights,
    majority,
    nll_difference,
    uniform_weights,
)
from digits_core.metrics import image_nll


def draw(seed: int, models: int = 4, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 10, n), random.dirichlet(np.full(10, 0.3), (models, n))


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_weights_are_a_distribution_and_combinations_are_probabilities(seed: int, models: int) -> None:
    labels, probabilities = draw(seed, models)
    for weights in (uniform_weights(models), greedy_weights(labels, probabilities)):
        assert weights.shape == (models,)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1)
        combined = combine(probabilities, weights)
        assert combined.shape == (50, 10)
        assert np.allclose(combined.sum(axis=1), 1)


@given(st.integers(0, 10_000))
def test_two_models_greedy_is_at_least_as_good_as_the_better_one(seed: int) -> None:
    labels, probabilities = draw(seed, models=2)
    combined = image_nll(labels, combine(probabilities, greedy_weights(labels, probabilities))).mean()
    assert combined <= min(image_nll(labels, p).mean() for p in probabilities) + 1e-12


def test_a_useless_model_counts_only_in_bags_without_a_useful_one() -> None:
    labels, probabilities = draw(1)
    useful = 0.9 * np.eye(10)[labels] + 0.01
    assert greedy_weights(labels, np.stack([useful, probabilities[0]])).tolist() == [1.0, 0.0]
    weights = greedy_weights(labels, np.stack([useful, probabilities[0], useful, probabilities[1]]))
    assert weights[[1, 3]].sum() == pytest.approx(1 / 6, abs=0.1)  # one pair of six has no useful model


def test_order_of_models_does_not_decide_for_two() -> None:
    labels, probabilities = draw(2, models=2)
    assert np.allclose(greedy_weights(labels, probabilities)[::-1], greedy_weights(labels, probabilities[::-1]))


def test_cross_fitted_figures_do_not_flatter() -> None:
    # Twenty equally worthless models: fitted weights look better on the images they were fitted on.
    labels, probabilities = draw(3, models=20, n=200)
    fitted = image_nll(labels, combine(probabilities, greedy_weights(labels, probabilities))).mean()
    honest = image_nll(labels, cross_fitted(labels, probabilities, fit_greedy)).mean()
    assert honest > fitted


def test_difference_has_the_sign_of_the_worse() -> None:
    labels = np.array([3])
    sure, unsure = np.full((1, 10), 0.01), np.full((1, 10), 0.1)
    sure[0, 3] = 0.91
    assert nll_difference(labels, sure, unsure)[0] == pytest.approx(np.log(0.1) - np.log(0.91))


def test_a_vote_of_three_by_hand() -> None:
    """Two for 1 and one for 2; then one each, where the mean probability decides."""
    said = np.zeros((3, 2, 3))
    said[:, 0] = [[0.0, 0.6, 0.4], [0.0, 0.6, 0.4], [0.0, 0.0, 1.0]]
    said[:, 1] = [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]]
    voted = majority(said)
    assert voted.argmax(axis=1).tolist() == [1, 1]
    assert voted[0] == pytest.approx([0.0, (2 + 0.4) / 4, (1 + 0.6) / 4])
    assert voted.sum(axis=1) == pytest.approx(1.0)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_cross_fitting_leaves_every_image_to_what_others_taught(seed: int, models: int) -> None:
    labels, probabilities = draw(seed, models)
    seen: list[int] = []

    def fit(some_labels: np.ndarray, some: np.ndarray) -> object:
        seen.append(len(some_labels))
        return lambda others: others.mean(axis=0)

    combined = cross_fitted(labels, probabilities, fit)  # type: ignore[arg-type]
    assert seen == [40] * 5
    assert combined == pytest.approx(probabilities.mean(axis=0))


def test_the_best_few_together_are_where_greedy_begins() -> None:
    """Two good models that err on different images: the start is both of them, and nothing beats it."""
    labels = np.zeros(40, dtype=np.int64)
    true_class = np.array([[0.9] * 20 + [0.3] * 20, [0.3] * 20 + [0.9] * 20])
    probabilities = np.zeros((2, 40, 2))
    probabilities[:, :, 0], probabilities[:, :, 1] = true_class, 1 - true_class
    assert greedy_weights(labels, probabilities) == pytest.approx([0.5, 0.5])
