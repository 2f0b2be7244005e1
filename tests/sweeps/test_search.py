import math

import optuna
import pytest
from ray.tune.schedulers import TrialScheduler

from digits_core.recipe import Recipe
from sweeps.search import EPOCH, METRIC, SparingAsha, asha, tpe
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


class Reporting:
    """As much of a Tune trial as a scheduler looks at."""

    def __init__(self, number: int) -> None:
        self.trial_id, self.config = str(number), {"trial": number}


def outcome(scheduler: SparingAsha, number: int, curve: list[float]) -> int:
    """The epoch after which the trial is over."""
    trial = Reporting(number)
    scheduler.on_trial_add(None, trial)
    for epoch, value in enumerate(curve, start=1):
        if scheduler.on_trial_result(None, trial, {EPOCH: epoch, METRIC: value}) == TrialScheduler.STOP:
            return epoch
    return len(curve)


@pytest.mark.parametrize(("max_epochs", "rungs"), [(40, [6, 12, 24]), (12, [2, 4, 8]), (8, [1, 3]), (2, [1]), (1, [])])
def test_weak_trials_stop_at_the_rungs_and_the_default_never(max_epochs: int, rungs: list[int]) -> None:
    scheduler = asha(max_epochs)
    assert scheduler.set_search_properties(METRIC, "min")
    good, bad = [0.1] * max_epochs, [0.9] * max_epochs
    assert outcome(scheduler, 0, [0.5] * max_epochs) == max_epochs
    assert [outcome(scheduler, number, good) for number in (1, 2, 3)] == [max_epochs] * 3
    assert outcome(scheduler, 4, bad) == (rungs[0] if rungs else max_epochs)
    for number, rung in enumerate(rungs[1:], start=5):
        late = [0.1] * (rung - 1) + [0.9] * (max_epochs - rung + 1)
        assert outcome(scheduler, number, late) == rung
    assert outcome(scheduler, 0, bad) == max_epochs
