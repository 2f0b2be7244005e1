import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.judging.calibration import COLDEST, HOTTEST, fit_temperature, scaled
from digits_core.metrics import expected_calibration_error
from tests.digits_core.judging.test_ensemble import draw


@given(st.integers(0, 10_000), st.floats(0.2, 5))
def test_scaling_changes_confidence_and_no_answer(seed: int, temperature: float) -> None:
    _, (probabilities,) = draw(seed, 1)
    after = scaled(probabilities, temperature)
    assert after.sum(axis=1) == pytest.approx(1.0)
    before_top, after_top = probabilities.max(axis=1), after.max(axis=1)
    assert after[np.arange(50), probabilities.argmax(axis=1)] == pytest.approx(after_top)
    assert (after_top <= before_top + 1e-6).all() if temperature >= 1 else (after_top >= before_top - 1e-6).all()


def test_an_overconfident_model_is_cooled_to_what_is_true() -> None:
    """Labels drawn from the probabilities, and a model that raises them to the square."""
    stream = np.random.default_rng(0)
    truth = stream.dirichlet(np.full(10, 0.5), 5_000)
    labels = np.array([stream.choice(10, p=row) for row in truth])
    sure = scaled(truth, 0.5)
    temperature = fit_temperature(labels, sure)
    assert temperature == pytest.approx(2.0, rel=0.05)
    before, after = (expected_calibration_error(labels, one) for one in (sure, scaled(sure, temperature)))
    assert after < 0.03 < before


def test_all_right_or_all_wrong_ends_at_the_bounds() -> None:
    right = np.full((20, 10), 0.05)
    right[:, 3] = 0.55
    assert COLDEST <= fit_temperature(np.full(20, 3), right) < 0.1  # colder makes no difference that can be seen
    assert fit_temperature(np.full(20, 4), right) == pytest.approx(HOTTEST, rel=0.01)
