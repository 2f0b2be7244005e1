import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_core.judging.ensemble import cross_fitted
from digits_core.judging.stacking import fit_stack, fit_stacked
from digits_core.metrics import image_nll
from tests.digits_core.judging.test_ensemble import draw


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_stack_answers_with_probabilities(seed: int, models: int) -> None:
    labels, probabilities = draw(seed, models)
    stack = fit_stack(labels, probabilities)
    combined = stack.combine(probabilities)
    assert combined.shape == (50, 10)
    assert combined.sum(axis=1) == pytest.approx(1.0)
    assert stack.weights(models).sum() == pytest.approx(1.0)


def test_it_learns_that_a_model_mixes_two_digits_up() -> None:
    """A model that says 1 for 7 and 7 for 1 is wrong in every vote; a regression turns it round."""
    stream = np.random.default_rng(0)
    labels = stream.choice([1, 7], 400)
    swapped = np.where(labels == 1, 7, 1)
    probabilities = np.full((1, 400, 10), 0.01)
    probabilities[0, np.arange(400), swapped] = 0.91
    combined = cross_fitted(labels, probabilities, fit_stacked)
    assert (combined.argmax(axis=1) == labels).all()
    assert image_nll(labels, combined).mean() < 0.3 < image_nll(labels, probabilities[0]).mean()


def test_a_digit_that_validation_does_not_have_is_never_answered() -> None:
    labels, probabilities = draw(3, 2)
    labels = labels % 9
    combined = fit_stack(labels, probabilities).combine(probabilities)
    assert combined[:, 9].max() == 0.0
    assert np.isfinite(combined).all()
