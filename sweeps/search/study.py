"""Optuna's part of a search: its samplers by name, and the study that they draw from, in the driver's memory."""

import math
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import optuna

from digits_core.judging.objectives import OBJECTIVES
from digits_core.recipe import Scalar
from sweeps.space.assignments import Drawn
from sweeps.space.spaces import Choice, Float, Parameter, Space, is_active

STATES = optuna.trial.TrialState
MOST_KNOWN = 200
"""Trials that TPE learns from. A draw takes 0.04 ms for each: with 1,000 of them, more than all else together."""

SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
}
"""Optuna's samplers by search name, each built from a seed. `sweeps.plans.config.SEARCHES` describes them."""


def directions_of(objectives: Sequence[str]) -> list[Literal["minimize", "maximize"]]:
    """The objectives' directions, as Optuna names them."""
    return [OBJECTIVES[name].direction for name in objectives]


class SearchStudy:
    """The trials that a search knows, and the draws that follow from them.

    A draw depends only on the seed, the trial's number and what is known by then, so a resumed search draws what it
    would have drawn.
    """

    def __init__(self, drawn: Drawn) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.drawn = drawn
        self.directions = directions_of(drawn.objectives)
        self.study = optuna.create_study(directions=self.directions, sampler=self._sampler(0))

    def _sampler(self, trial: int) -> optuna.samplers.BaseSampler:
        seed = zlib.crc32(f"{self.drawn.search} {self.drawn.seed} {trial}".encode())
        return SAMPLERS[self.drawn.search](seed)

    def ask(self, trial: int) -> tuple[optuna.Trial, dict[str, Scalar]]:
        """Draw a new point of the space for the trial of this number."""
        self.study.sampler = self._sampler(trial)
        asked = self.study.ask()
        return asked, draw(asked, self.drawn.space)

    def ask_known(self, point: Mapping[str, Scalar]) -> optuna.Trial:
        """The study's trial for a point that was chosen elsewhere."""
        self.study.enqueue_trial(dict(point))
        asked = self.study.ask()
        draw(asked, self.drawn.space)
        return asked

    def learn(self, trial: optuna.trial.FrozenTrial) -> None:
        """Add an ended trial."""
        self.study.add_trial(trial)
        self._forget()

    def tell(self, asked: optuna.Trial, state: optuna.trial.TrialState, values: Sequence[float] | None = None) -> None:
        """Record how a trial of `ask` or `ask_known` ended. Only a complete trial has `values`, one per objective."""
        told = asked.study.tell(asked, values, state=state)
        if asked.study is not self.study:  # `_forget` has replaced that one
            self.study.add_trial(told)
        self._forget()

    def _forget(self) -> None:
        """Once many trials are known, keep half: those that TPE counts as good, and an even sample of the rest."""
        if self.drawn.search != "tpe" or len(self.directions) > 1:
            return
        over = self.study.get_trials(deepcopy=False, states=(STATES.COMPLETE, STATES.PRUNED))
        if len(over) < MOST_KNOWN:
            return
        self.study = optuna.create_study(directions=self.directions, sampler=self.study.sampler)
        self.study.add_trials(worth_knowing(over, MOST_KNOWN // 2))


def worth_knowing(trials: Sequence[optuna.trial.FrozenTrial], count: int) -> list[optuna.trial.FrozenTrial]:
    """Keep `count` of the complete and pruned trials, in order: a quarter are the best, the rest every n-th other.

    TPE counts at most 25 trials as good: complete ones before pruned ones, and of the pruned ones those that got
    furthest.
    """
    ranked = sorted(trials, key=_merit)
    best, others = ranked[: count // 4], sorted(ranked[count // 4 :], key=lambda trial: trial.number)
    step = max(1, math.ceil(len(others) / (count - len(best))))
    return sorted([*best, *others[::step]], key=lambda trial: trial.number)


def _merit(trial: optuna.trial.FrozenTrial) -> tuple[int, float]:
    if trial.state == STATES.COMPLETE:
        return (-sys.maxsize, trial.values[0])
    last = trial.last_step
    return (0, 0.0) if last is None else (-last, trial.intermediate_values[last])


def frozen_trial(
    point: Mapping[str, Scalar],
    nlls: Mapping[int, float],
    status: str,
    space: Space,
    attributes: Mapping[str, Any],
    values: Sequence[float] | None,
) -> optuna.trial.FrozenTrial:
    """An ended trial as a study stores it: complete, pruned or failed.

    `nlls` is by epoch, `values` has one value per objective. A finished trial without `values` has failed.
    """
    state = STATES.FAIL
    if nlls and status != "failed" and (values is not None or status == "stopped"):
        state = STATES.COMPLETE if status == "finished" else STATES.PRUNED
    drawn = {name: parameter for name, parameter in space.items() if name in point}
    return optuna.trial.create_trial(
        state=state,
        values=values if state == STATES.COMPLETE else None,
        params={name: point[name] for name in drawn},
        distributions={name: distribution_of(parameter) for name, parameter in drawn.items()},
        intermediate_values=dict(nlls),
        user_attrs=dict(attributes),
    )


def draw(trial: optuna.Trial, space: Space) -> dict[str, Scalar]:
    """Draw every active parameter of the space, in the space's order."""
    drawn: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if is_active(parameter, drawn):
            drawn[name] = _draw(trial, name, parameter)
    return drawn


def _draw(trial: optuna.Trial, name: str, parameter: Parameter) -> Scalar:
    if isinstance(parameter, Choice):
        option: Scalar = trial.suggest_categorical(name, parameter.options)  # type: ignore[assignment]
        return option
    if isinstance(parameter, Float):
        return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)


def distribution_of(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    """A parameter as an Optuna distribution."""
    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(parameter.options)
    if isinstance(parameter, Float):
        return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return optuna.distributions.IntDistribution(parameter.low, parameter.high, log=parameter.log)
