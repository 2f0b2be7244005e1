"""Behind Ray Tune: how the next recipe is drawn and what Optuna's study is told, or how given ones are handed out."""

import math
from typing import Any

import optuna
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from digits_core.recipe import Scalar
from sweeps.assignments import TRIAL_KEY, Drawn, Given
from sweeps.space import Choice, Float, Parameter, Space, is_active, point_of

METRIC = "validation_nll"
EPOCH = "training_iteration"
MANY_EPOCHS = 12


class DrawFrom:
    """Draws one point of a space through an Optuna trial; the trial's number travels along.

    A class at module level, because Ray Tune pickles the search with everything it refers to.
    """

    def __init__(self, space: Space) -> None:
        self.space = space

    def __call__(self, trial: optuna.Trial) -> dict[str, Scalar]:
        """Suggest every active parameter; Ray Tune adds what is returned to what was suggested."""
        drawn: dict[str, Scalar] = {}
        for name, parameter in self.space.items():
            if is_active(parameter, drawn):
                drawn[name] = _draw(trial, name, parameter)
        return {TRIAL_KEY: trial.number}


def _draw(trial: optuna.Trial, name: str, parameter: Parameter) -> Scalar:
    if isinstance(parameter, Choice):
        option: Scalar = trial.suggest_categorical(name, parameter.options)  # type: ignore[assignment]
        return option
    if isinstance(parameter, Float):
        return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)


class HonestOptunaSearch(OptunaSearch):  # type: ignore[misc]
    """Tells Optuna the truth about trials that did not run to their end.

    Ray's own class tells an early-stopped trial as complete with its truncated value, and leaves one that
    ends in NaN running for ever. Here the first is pruned and the second failed.
    """

    def __init__(self, max_epochs: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.max_epochs = max_epochs

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an intermediate value, if it is one."""
        if _finite(result) is not None:
            super().on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how the trial ended: complete, pruned or failed."""
        if result is not None and not error:
            value = _finite(result)
            if value is None:
                result, error = None, True
            elif result[EPOCH] < self.max_epochs:
                self._ot_trials[trial_id].report(value, result[EPOCH])
                result = None  # without a result, Ray's class tells PRUNED
        super().on_trial_complete(trial_id, result, error)


def _finite(result: dict[str, Any]) -> float | None:
    value = result.get(METRIC)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def tpe(space: Space, first_points: list[dict[str, Scalar]], max_epochs: int, seed: int) -> HonestOptunaSearch:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), as Optuna implements them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return HonestOptunaSearch(
        max_epochs,
        space=DrawFrom(space),
        metric=METRIC,
        mode="min",
        points_to_evaluate=first_points,
        sampler=optuna.samplers.TPESampler(seed=seed),
    )


class SparingAsha(AsyncHyperBandScheduler):  # type: ignore[misc]
    """Asynchronous successive halving that never stops trial 0, the known-good default.

    The default is the yardstick: a sweep must not end below it only because it started slowly.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Record the result at its rung; stop the trial if it is in the worse half there."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if trial.config[TRIAL_KEY] == 0 else decision


def asha(max_epochs: int) -> TrialScheduler:
    """ASHA (Li et al. 2020, arXiv 1810.05934): at each rung the better part goes on.

    Where epochs are many they are cheap: the first rung waits for a sixth of them and half goes on, because one-cycle
    and cosine schedules look worse than they are before the learning rate has come down. Where they are few they are
    dear: the first rung is the first epoch and a third goes on (docs/lab-log.md has the measurements for both).
    """
    first_rung, reduction = (max_epochs // 6, 2) if max_epochs >= MANY_EPOCHS else (1, 3)
    return SparingAsha(time_attr=EPOCH, max_t=max_epochs, grace_period=first_rung, reduction_factor=reduction)


class HandOut(Searcher):  # type: ignore[misc]
    """Hands out the trials' numbers in order."""

    def __init__(self, trial_count: int) -> None:
        super().__init__(metric=METRIC, mode="min")
        self.trial_count, self.handed_out = trial_count, 0

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next number, or the word that there is none."""
        if self.handed_out == self.trial_count:
            finished: str = Searcher.FINISHED
            return finished
        self.handed_out += 1
        return {TRIAL_KEY: self.handed_out - 1}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing is learnt from a result."""


def search_for(recipes: Drawn | Given) -> tuple[Searcher, TrialScheduler]:
    """How a run's trials are chosen and when they are stopped."""
    if isinstance(recipes, Given):
        return HandOut(recipes.trial_count), FIFOScheduler()
    first_points = [point_of(recipes.space, recipes.base)]
    return tpe(recipes.space, first_points, recipes.max_epochs, recipes.seed), asha(recipes.max_epochs)
