"""Behind Ray Tune: how the next recipe is chosen, what Optuna's study is told, or how given ones are handed out."""

import math
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from ray.tune.search import Searcher

from digits_core.journal import History, Journal, TrialHistory
from digits_core.recipe import Scalar
from digits_core.records import Assignment
from sweeps.assignments import Drawn
from sweeps.space import Choice, Float, Parameter, Space, is_active

METRIC = "validation_nll"
ERROR_RATE = "validation_error_rate"  # at the best epoch so far, as METRIC
EPOCH = "epoch"
FINISHED = "finished"  # of a result: the recipe's last epoch is done
FAILED = "failed"  # of a result: the trial raised, and what else is in the result says nothing

SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
}
"""Search by name: Optuna's samplers, each made from a seed. `sweeps.config.SEARCHES` says what they are."""


class QuietSearcher(Searcher):  # type: ignore[misc]
    """A searcher of which Tune keeps nothing: the run's journal holds all that it would be taken up from."""

    def __init__(self) -> None:
        super().__init__(metric=METRIC, mode="min")

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Called by Tune now and then."""

    def save(self, checkpoint_path: str) -> None:
        """Part of Tune's interface, as the next one."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: nothing was saved."""
        raise NotImplementedError


class HandOut(QuietSearcher):
    """Hands out the assignments in order."""

    def __init__(self, assignments: Iterable[Assignment]) -> None:
        super().__init__()
        self.waiting = deque(assignments)

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial's configuration, or the word that there is none."""
        if not self.waiting:
            finished: str = Searcher.FINISHED
            return finished
        return self.waiting.popleft().to_dict()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing is learnt from a result."""


@dataclass
class Asked:
    """A running trial, and the study's side of it."""

    assignment: Assignment
    trial: optuna.Trial | None  # None for a recipe outside the space: the study would not know where to put it
    reported: set[int] = field(default_factory=set)  # epochs

    def report(self, epoch: int, value: float) -> None:
        """An intermediate value; an epoch that was trained again has the same one."""
        if self.trial is not None and epoch not in self.reported:
            self.trial.report(value, epoch)
            self.reported.add(epoch)


class StudySearch(QuietSearcher):
    """Draws trials through an Optuna study, which it tells the truth about them.

    A trial that was stopped early is pruned, with its last value as an intermediate one, and one that ends without a
    finite value has failed. Draws depend on the seed, the trial's number and what is known by then, on nothing else:
    a search that is taken up again draws what it would have drawn.
    """

    def __init__(self, drawn: Drawn, trial_count: int, history: History, journal: Journal) -> None:
        super().__init__()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.drawn, self.trial_count, self.journal = drawn, trial_count, journal
        self.study = optuna.create_study(direction="minimize", sampler=self._sampler(0))
        self.running: dict[str, Asked] = {}
        self.unfinished = deque(history.unfinished)
        self.first = deque(assignment for assignment in drawn.first if assignment.trial not in history.trials)
        self.next_trial = max(history.trials, default=-1) + 1
        for trial in history.over:
            self._recall(trial)

    def _sampler(self, trial: int) -> optuna.samplers.BaseSampler:
        seed = zlib.crc32(f"{self.drawn.search} {self.drawn.seed} {trial}".encode())
        return SAMPLERS[self.drawn.search](seed)

    def _recall(self, trial: TrialHistory) -> None:
        """Tell the study of a trial that is over."""
        point = trial.assignment.point
        if point is None:
            return
        attributes = _attributes(trial.assignment)
        self.study.add_trial(frozen_trial(point, trial.nlls, str(trial.status), self.drawn.space, attributes))

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial's configuration: one that was cut off, one that is tried first, or a new one."""
        if self.unfinished:
            asked = self._again(self.unfinished.popleft())
        elif self.next_trial >= self.trial_count:
            finished: str = Searcher.FINISHED
            return finished
        else:
            asked = self._known(self.first.popleft()) if self.first else self._new()
            self.journal.drawn(asked.assignment)
            self.next_trial = asked.assignment.trial + 1
        self.running[trial_id] = asked
        return asked.assignment.to_dict()

    def _new(self) -> Asked:
        self.study.sampler = self._sampler(self.next_trial)
        trial = self.study.ask()
        return self._described(self.drawn.assignment(self.next_trial, draw(trial, self.drawn.space)), trial)

    def _known(self, assignment: Assignment) -> Asked:
        if assignment.point is None:
            return Asked(assignment, None)
        self.study.enqueue_trial(dict(assignment.point))
        trial = self.study.ask()
        draw(trial, self.drawn.space)
        return self._described(assignment, trial)

    def _again(self, history: TrialHistory) -> Asked:
        asked = self._known(history.assignment)
        for epoch, nll in history.nlls.items():
            asked.report(epoch, nll)
        return asked

    def _described(self, assignment: Assignment, trial: optuna.Trial) -> Asked:
        for name, value in _attributes(assignment).items():
            trial.set_user_attr(name, value)
        return Asked(assignment, trial)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an intermediate value, if it is one."""
        value = finite_value(result)
        if value is not None:
            self.running[trial_id].report(result[EPOCH], value)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how the trial ended: complete, pruned or failed."""
        asked = self.running.pop(trial_id)
        if asked.trial is None:
            return
        value = None if error or result is None else finite_value(result)
        if value is None or result is None:
            self.study.tell(asked.trial, state=optuna.trial.TrialState.FAIL)
        elif result[FINISHED]:
            self.study.tell(asked.trial, value)
        else:
            asked.report(result[EPOCH], value)  # Tune tells a trial's last result only here
            self.study.tell(asked.trial, state=optuna.trial.TrialState.PRUNED)


def finite_value(result: Mapping[str, Any]) -> float | None:
    """What a result says of its trial; None where it says nothing."""
    value = result.get(METRIC)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) and not result[FAILED] else None


def _attributes(assignment: Assignment) -> dict[str, Any]:
    """What a study keeps of a trial beside its parameters."""
    return {"trial": assignment.trial, "recipe_id": assignment.recipe.recipe_id, "label": assignment.label}


def frozen_trial(
    point: Mapping[str, Scalar],
    nlls: Mapping[int, float],
    status: str,
    space: Space,
    attributes: Mapping[str, Any],
    value: float | None = None,
) -> optuna.trial.FrozenTrial:
    """A trial that is over, as a study takes it in: complete, pruned or failed. `nlls` is by epoch.

    Its value is the last of them, unless one is given.
    """
    state = optuna.trial.TrialState.FAIL
    if nlls and status != "failed":
        state = optuna.trial.TrialState.COMPLETE if status == "finished" else optuna.trial.TrialState.PRUNED
    drawn = {name: parameter for name, parameter in space.items() if name in point}
    return optuna.trial.create_trial(
        state=state,
        value=(nlls[max(nlls)] if value is None else value) if state == optuna.trial.TrialState.COMPLETE else None,
        params={name: point[name] for name in drawn},
        distributions={name: distribution_of(parameter) for name, parameter in drawn.items()},
        intermediate_values=dict(nlls),
        user_attrs=dict(attributes),
    )


def draw(trial: optuna.Trial, space: Space) -> dict[str, Scalar]:
    """Suggest every active parameter of the space, in its order."""
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
    """A parameter in Optuna's words."""
    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(parameter.options)
    if isinstance(parameter, Float):
        return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return optuna.distributions.IntDistribution(parameter.low, parameter.high, log=parameter.log)
