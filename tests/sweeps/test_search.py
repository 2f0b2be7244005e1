import math

import optuna
import pytest

from digits_core.recipe import Recipe
from sweeps.search import EPOCH, METRIC, tpe
from sweeps.space import Choice, default_recipe, default_space, point_of

_, SPACE = default_space("cpu", 8)
DEFAULT = default_recipe("cpu", 8, 9)


def test_first_trial_is_the_default_and_later_ones_are_valid_recipes() -> None:
    search = tpe(SPACE, [point_of(SPACE, DEFAULT)], max_epochs=9, seed=0)
    first = search.suggest("a")
    assert first.pop("trial") == 0
    assert DEFAULT.with_overrides(first) == DEFAULT
    for number in range(1, 30):
        drawn = search.suggest(str(number))
        assert drawn.pop("trial") == number
        recipe = Recipe().with_overrides(drawn)
        assert ("optimizer.momentum" in drawn) == (recipe.optimizer.name == "sgd")
        assert ("model.width" in drawn) == (recipe.model.name in ("cnn", "resnet"))


def test_same_seed_draws_the_same_recipes() -> None:
    def draw(seed: int) -> list[dict[str, object]]:
        search = tpe(SPACE, [], max_epochs=9, seed=seed)
        return [search.suggest(str(i)) for i in range(5)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@pytest.mark.parametrize(
    ("epoch", "value", "error", "state"),
    [
        (9, 0.5, False, optuna.trial.TrialState.COMPLETE),
        (3, 0.5, False, optuna.trial.TrialState.PRUNED),
        (9, math.nan, False, optuna.trial.TrialState.FAIL),
        (9, math.inf, False, optuna.trial.TrialState.FAIL),
        (3, 0.5, True, optuna.trial.TrialState.FAIL),
    ],
)
def test_study_is_told_how_a_trial_really_ended(
    epoch: int, value: float, error: bool, state: optuna.trial.TrialState
) -> None:
    search = tpe({"model.name": Choice(options=("cnn", "mlp"))}, [], max_epochs=9, seed=0)
    search.suggest("a")
    search.on_trial_result("a", {EPOCH: 1, METRIC: 0.7})
    search.on_trial_result("a", {EPOCH: 2, METRIC: math.nan})
    search.on_trial_complete("a", None if error else {EPOCH: epoch, METRIC: value}, error=error)
    (trial,) = search._ot_study.trials
    assert trial.state == state
    assert trial.intermediate_values[1] == 0.7
    assert 2 not in trial.intermediate_values
    if state == optuna.trial.TrialState.PRUNED:
        assert trial.intermediate_values[3] == 0.5
