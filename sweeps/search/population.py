"""Population-based training (Jaderberg et al. 2017): the weak members go on from the weights of the strong ones.

A member's life is a chain of trials, one a generation: each goes on for some epochs from the last state of its parent,
which is the member's own trial before it, or, for the worst quarter, one of the best quarter, with what was drawn for
that one nudged. Every trial is a row of its own, so nothing of a record changes after it was written, and a population
that was cut off is taken up like any search. Trial 0 is the default recipe over all epochs and no member.
"""

import random
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ray.tune.search import Searcher

from digits_core.recipe import Scalar
from digits_core.records import Assignment
from digits_core.runs.journal import History, Journal
from sweeps.search.searchers import QuietSearcher, Values
from sweeps.search.study import SearchStudy
from sweeps.space.assignments import Drawn
from sweeps.space.generations import Generations
from sweeps.space.spaces import Choice, Int, Parameter, Space, is_active

QUARTER = 4
FACTORS = (0.8, 1.25)  # by which a value of a logarithmic range is nudged
SHARE = 0.1  # of a range, by which a value of any other is
CHANCE_OF_ANOTHER_CHOICE = 0.25


class PopulationSearch(QuietSearcher):
    """Draws the first generation from the space, and every later one from what the last one came to."""

    def __init__(
        self,
        drawn: Drawn,
        generations: Generations,
        history: History,
        journal: Journal,
        values: Values,
        drop_state: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.drawn, self.generations, self.journal, self.drop_state = drawn, generations, journal, drop_state
        self.study, self.values = SearchStudy(drawn), values
        self.assignments = {number: trial.assignment for number, trial in history.trials.items()}
        self.over = {trial.assignment.trial for trial in history.over}
        self.unfinished = deque(trial.assignment for trial in history.unfinished)
        self.running: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration; None as long as the trial before it in its member's life runs."""
        number = max(self.assignments, default=-1) + 1
        if self.unfinished:
            assignment = self.unfinished.popleft()
        elif number >= self.generations.trial_count:
            finished: str = Searcher.FINISHED
            return finished
        elif not self.generations.may_begin(number, self.over):
            return None
        else:
            assignment = self._next(number)
            self.journal.drawn(assignment)
            self.assignments[number] = assignment
        self.running[trial_id] = assignment.trial
        return assignment.to_dict()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """What a generation came to is read from the records; states that nobody goes on from any more are dropped."""
        del result, error
        self.over.add(self.running.pop(trial_id))
        for trial in self.generations.outlived(self.over):
            self.drop_state(trial)

    def _next(self, number: int) -> Assignment:
        if number < len(self.drawn.first):
            assignment = self.drawn.first[number]
            return assignment if number == 0 else replace(assignment, last_epoch=self.generations.last_epoch(number))
        stream = random.Random(zlib.crc32(f"population {self.drawn.seed} {number}".encode()))
        parent = self._parent(number, stream)
        if parent is None:
            _, point = self.study.ask(number)
        else:
            point = dict(self.assignments[parent].point or {})
            if parent != self.generations.before(number):
                point = nudged(point, self.drawn.space, stream)
        assignment = self.drawn.assignment(number, point)
        return replace(assignment, parent=parent, last_epoch=self.generations.last_epoch(number))

    def _parent(self, number: int, stream: random.Random) -> int | None:
        """Whose weights the trial goes on from; None in the first generation, or where all of the last one failed."""
        before = self.generations.before(number)
        if before is None:
            return None
        found = {trial: self.values(trial) for trial in self.generations.peers(before) if trial in self.over}
        nlls = {trial: values[0] for trial, values in found.items() if values is not None}
        ranked = sorted(nlls, key=lambda trial: (nlls[trial], trial))
        count = max(1, len(ranked) // QUARTER)
        if before in ranked[: len(ranked) - count] or ranked == [before]:
            return before
        return stream.choice(ranked[:count]) if ranked else None


def nudged(point: Mapping[str, Scalar], space: Space, stream: random.Random) -> dict[str, Scalar]:
    """A point beside this one."""
    found: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if is_active(parameter, found):
            found[name] = _nudged(parameter, point.get(name), stream)
    return found


def _nudged(parameter: Parameter, value: Scalar | None, stream: random.Random) -> Scalar:
    if isinstance(parameter, Choice):
        is_changed = value is None or stream.random() < CHANCE_OF_ANOTHER_CHOICE
        return stream.choice(parameter.options) if is_changed else value  # type: ignore[return-value]
    if not isinstance(value, (int, float)):  # not drawn for the parent
        value = stream.uniform(parameter.low, parameter.high)
    elif parameter.log:
        value = value * stream.choice(FACTORS)
    else:
        step = max(SHARE * (parameter.high - parameter.low), int(isinstance(parameter, Int)))
        value = value + stream.choice((-step, step))
    inside = min(max(value, parameter.low), parameter.high)
    return round(inside) if isinstance(parameter, Int) else inside
