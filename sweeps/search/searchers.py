"""Behind Ray Tune: how the next recipe is chosen, by a study or from a list, and what becomes of a trial's results."""

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
from sweeps.space.assignments import Drawn

Values = Callable[[int], tuple[float, ...] | None]
"""The objectives' values of a trial that is over, by its number; None where it has none."""


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
class AskedTrial:
    """A running trial, and the study's side of it."""

    assignment: Assignment
    trial: optuna.Trial | None  # None for a recipe outside the space: the study would not know where to put it
    reported: set[int] = field(default_factory=set)  # epochs

    def report(self, epoch: int, value: float) -> None:
        """An intermediate value; an epoch that was trained again has the same one. Several objectives have none."""
        if self.trial is not None and epoch not in self.reported and len(self.trial.study.directions) == 1:
            self.trial.report(value, epoch)
            self.reported.add(epoch)


class StudySearch(QuietSearcher):
    """Draws trials from a study, which it tells the truth about them.

    A trial that was stopped early is pruned, with its last value as an intermediate one, and one that ends without a
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
        """Tell the study of a trial that is over."""
        point = trial.assignment.point
        if point is not None:
            attributes, values = _attributes(trial.assignment), self.values(trial.assignment.trial)
            self.study.learn(frozen_trial(point, trial.nlls, str(trial.status), self.drawn.space, attributes, values))

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
            self.study.tell(asked.trial, STATES.FAIL)
        elif result[FINISHED]:
            values = self.values(asked.assignment.trial)
            self.study.tell(asked.trial, STATES.FAIL if values is None else STATES.COMPLETE, values)
        else:
            asked.report(result[EPOCH], value)  # Tune tells a trial's last result only here
            self.study.tell(asked.trial, STATES.PRUNED)


def _attributes(assignment: Assignment) -> dict[str, Any]:
    """What a study keeps of a trial beside its parameters."""
    return {"trial": assignment.trial, "recipe_id": assignment.recipe.recipe_id, "label": assignment.label}
