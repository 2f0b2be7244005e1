"""Ray Tune's searchers: they choose the next recipe, from a study or a list, and tell the study how trials went."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import optuna
from ray.tune.search import Searcher

from digits_core.records import Assignment
from digits_core.runs.journal import History, Journal, TrialHistory
from sweeps.search.reported import EPOCH, FINISHED, METRIC, finite_value
from sweeps.search.study import STATES, SearchStudy, frozen_trial
from sweeps.space.assignments import Drawn, companies, config_of

Values = Callable[[int], tuple[float, ...] | None]
"""Maps the number of an ended trial to the values of its objectives, or to None if it has none."""


class QuietSearcher(Searcher):  # type: ignore[misc]
    """A searcher that saves nothing through Tune: the run's journal holds everything needed to resume."""

    def __init__(self) -> None:
        super().__init__(metric=METRIC, mode="min")

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Called by Tune now and then. Nothing to save."""

    def save(self, checkpoint_path: str) -> None:
        """Part of Tune's interface. Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called, because nothing was saved."""
        raise NotImplementedError


class HandOut(QuietSearcher):
    """Hands out a list of assignments in order, each with the company that it is trained in."""

    def __init__(self, assignments: Iterable[Assignment]) -> None:
        super().__init__()
        self.waiting = deque(companies(assignments))

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial's configuration, or FINISHED if there are no more."""
        if not self.waiting:
            finished: str = Searcher.FINISHED
            return finished
        return config_of(self.waiting.popleft())

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to do: the list does not depend on results."""


@dataclass
class AskedTrial:
    """A running trial and its counterpart in the study."""

    assignment: Assignment
    trial: optuna.Trial | None  # None for a recipe outside the space, which has no point that the study could store
    reported: set[int] = field(default_factory=set)  # epochs

    def report(self, epoch: int, value: float) -> None:
        """Report an intermediate value, once per epoch even if it is trained again. Several objectives have none."""
        if self.trial is not None and epoch not in self.reported and len(self.trial.study.directions) == 1:
            self.trial.report(value, epoch)
            self.reported.add(epoch)


class StudySearch(QuietSearcher):
    """Draws trials from a study and tells it how they ended.

    A trial that was stopped early is pruned, with its last value as an intermediate one. A trial that ends without a
    finite value has failed.
    """

    def __init__(self, drawn: Drawn, trial_count: int, history: History, journal: Journal, values: Values) -> None:
        super().__init__()
        self.drawn, self.trial_count, self.journal, self.values = drawn, trial_count, journal, values
        self.study = SearchStudy(drawn)
        self.running: dict[str, AskedTrial] = {}
        self.unfinished = deque(history.unfinished)
        self.first = deque(assignment for assignment in drawn.first if assignment.trial not in history.trials)
        self.next_trial = max(history.trials, default=-1) + 1
        for trial in history.over:
            self._recall(trial)

    def _recall(self, trial: TrialHistory) -> None:
        """Add a trial that ended in an earlier session to the study."""
        point = trial.assignment.point
        if point is not None:
            attributes, values = _attributes(trial.assignment), self.values(trial.assignment.trial)
            self.study.learn(frozen_trial(point, trial.nlls, str(trial.status), self.drawn.space, attributes, values))

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial's configuration: an interrupted trial, one of the first trials, or a new draw."""
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

    def _new(self) -> AskedTrial:
        trial, point = self.study.ask(self.next_trial)
        return self._described(self.drawn.assignment(self.next_trial, point), trial)

    def _known(self, assignment: Assignment) -> AskedTrial:
        if assignment.point is None:
            return AskedTrial(assignment, None)
        return self._described(assignment, self.study.ask_known(assignment.point))

    def _again(self, history: TrialHistory) -> AskedTrial:
        asked = self._known(history.assignment)
        for epoch, nll in history.nlls.items():
            asked.report(epoch, nll)
        return asked

    def _described(self, assignment: Assignment, trial: optuna.Trial) -> AskedTrial:
        for name, value in _attributes(assignment).items():
            trial.set_user_attr(name, value)
        return AskedTrial(assignment, trial)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report the result as an intermediate value if it is finite."""
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
            self.study.tell(asked.trial, STATES.FAIL)
        elif result[FINISHED]:
            values = self.values(asked.assignment.trial)
            self.study.tell(asked.trial, STATES.FAIL if values is None else STATES.COMPLETE, values)
        else:
            asked.report(result[EPOCH], value)  # Tune passes a trial's last result only to this method
            self.study.tell(asked.trial, STATES.PRUNED)


def _attributes(assignment: Assignment) -> dict[str, Any]:
    """What the study stores about a trial besides its parameters."""
    return {"trial": assignment.trial, "recipe_id": assignment.recipe.recipe_id, "label": assignment.label}
