"""Population-based training (Jaderberg et al. 2017): weak members continue from the weights of strong ones.

A member is a chain of trials, one per generation. Each trial continues for some epochs from its parent's last state.
The parent is the member's previous trial; for the worst quarter it is one of the best quarter, whose drawn values are
then nudged. Every trial has its own record, so no record changes once it is written, and an interrupted population is
resumed like any search. Trial 0 trains the default recipe over all epochs and belongs to no member.
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
FACTORS = (0.8, 1.25)  # a value of a logarithmic range is multiplied by one of these
SHARE = 0.1  # any other value moves by this share of its range
CHANCE_OF_ANOTHER_CHOICE = 0.25


class PopulationSearch(QuietSearcher):
    """Draws the first generation from the space, and derives every later one from the results of the one before."""

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
        """The next trial's configuration; None while too little is known of the generation before."""
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
        """Drop states that no trial will continue from. A generation's results are read from the records later."""
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
        """The trial to continue from; None in the first generation, or if all of the one before failed."""
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
    """A neighbouring point in the space."""
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
