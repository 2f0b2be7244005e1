"""The driver: the only writer of a run's folder. It is told what happens to the trials, wherever they are trained."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from digits_core.judging.objectives import pareto_front
from digits_core.records import Assignment, RunKind, RunRecord, rank
from digits_core.runs.durable import Content
from digits_core.runs.journal import Journal
from digits_core.runs.trial_folder import WEIGHTS, Progress
from digits_core.runs.writer import RunWriter
from sweeps.plans.planning import RunPlan
from sweeps.running.objective import States, failed_record
from sweeps.search.study_copy import StudyCopy
from sweeps.signals import held_interrupt
from sweeps.space.assignments import Drawn
from sweeps.view.progress import SweepView


class SearchOver(Exception):
    """The search has used up its time or reached its target. The text says which.

    An Exception, unlike SearchEnded: Tune cleans up and passes it on.
    """


class SearchEnded(BaseException):
    """The search cannot continue: Ray died, or the disk is full. The text says why.

    Not an Exception, because Tune catches those: it wraps them, or cleans up first, which hangs without Ray.
    """


class Driver:
    """Keeps what the trials of a run yield, and says when the search is over.

    An executor calls `begin`, then `advanced` after every epoch, then `ended` or `failed`. What was lost with its
    process is `retried`: it begins again. All these are about a company, of one trial or several, of which some may
    have ended. `turn` is called in between, at least once a second.
    """

    def __init__(self, plan: RunPlan, writer: RunWriter, view: SweepView, journal: Journal) -> None:
        self.plan, self.writer, self.view, self.journal = plan, writer, view, journal
        self.objectives = plan.header.objectives
        space = plan.recipes.space if isinstance(plan.recipes, Drawn) else {}
        self.copy = StudyCopy(plan.storage, writer.folder, plan.header.name, space, self.objectives)
        self.so_far: dict[int, Progress] = {}  # of trials in progress, each with its best epoch's files
        self.assignments: dict[int, Assignment] = {}  # of trials in progress
        self.over: set[int] = set()  # trials that ended in this session
        self.limit = ""  # why the search ends early, once it does
        self.with_weights = [record for record in writer.run.ranked if writer.trial(record.trial).has_weights]

    def record(self, trial: int) -> RunRecord | None:
        """A trial's record, or its record so far."""
        return self.so_far[trial].record if trial in self.so_far else self.writer.trial(trial).read_record()

    def begin(self, company: Sequence[Assignment]) -> tuple[list[Assignment], dict[int, States]]:
        """A company is about to be trained. Returns those that have not ended, and the states by trial number."""
        left = self._left_of(company)
        return left, {assignment.trial: self._begin(assignment) for assignment in left}

    def _begin(self, assignment: Assignment) -> States:
        """The trial's own last state and its parent's: None where there is none."""
        number, parent = assignment.trial, assignment.parent
        self.assignments[number] = assignment
        self.view.trial_started(number)
        return (
            self.writer.trial(number).read_state(),
            None if parent is None else self.writer.trial(parent).read_state(),
        )

    def advanced(self, *company: Progress) -> None:
        """Trials have trained an epoch together, or have failed for a reason that another attempt would meet again."""
        with held_interrupt():  # they resume to the same bits only if all go on from the same epoch
            for progress in company:
                self._note(progress)
        for progress in company:
            self._tell(progress.record)
        over = [progress.record.trial for progress in company if progress.record.status != "stopped"]
        if len(over) < len(company):  # the others go on
            for trial in over:
                self._complete(self.so_far[trial])

    def _tell(self, record: RunRecord) -> None:
        if not record.counts:
            return
        number, epoch = record.trial, len(record.curve)
        self._write(lambda: self.journal.epoch(number, epoch, record.nll))
        self.view.trial_advanced(number, epoch)
        assert record.validation is not None
        if self.plan.ending.is_reached(record.validation.error_count / record.validation.n):
            self.limit = f"trial {number} reached the target"

    def _note(self, progress: Progress) -> None:
        """Remember what a worker has sent. Only the state goes to disk before the trial ends."""
        number, state = progress.record.trial, progress.state
        if state is not None:
            self._write(lambda: self.writer.trial(number).write_state(state))
        known = self.so_far.get(number)
        best: Mapping[str, Content] = {name: content.copy() for name, content in progress.best.items()}  # out of Ray's
        if not best and known is not None and known.record.best_epoch == progress.record.best_epoch:
            best = known.best
        self.so_far[number] = replace(progress, best=best, state=None)

    def ended(self, company: Sequence[Assignment]) -> None:
        """It trained its last epoch, failed, or was stopped by the scheduler."""
        for assignment in self._left_of(company):
            self._complete(self.so_far[assignment.trial])

    def _left_of(self, company: Sequence[Assignment]) -> list[Assignment]:
        """Those that have not ended."""
        return [assignment for assignment in company if assignment.trial not in self.over]

    def failed(self, company: Sequence[Assignment], error: str) -> None:
        """Its process died once too often: its trials are recorded as failed, and the search continues."""
        for assignment in self._left_of(company):
            self._fail(assignment, error)

    def _fail(self, assignment: Assignment, error: str) -> None:
        known = self.so_far.get(assignment.trial)
        record = known.record if known else failed_record(assignment, time.time(), "")
        record = replace(record, status="failed", error=error)
        self.assignments[assignment.trial] = assignment  # it may have died before it began
        self._complete(Progress(record=record, best=known.best if known else {}))

    def retried(self, company: Sequence[Assignment]) -> None:
        """Its process was lost. It will begin again from its last stored states."""
        for assignment in self._left_of(company):
            self._retry(assignment.trial)

    def _retry(self, trial: int) -> None:
        self._write(lambda: self.journal.retried(trial))
        self.view.trial_retried(trial)

    def turn(self) -> None:
        """Refresh the view. Raises SearchOver once the time is used up or the target is reached."""
        self.view.tick()
        if self.plan.ending.is_due():
            self.limit = "the time budget is used up"
        if self.limit:
            raise SearchOver(self.limit)

    def record_unfinished(self) -> None:
        """Record trials that are in progress at the end as stopped early, if they have validated at all.

        Not those of a confirmation or a refit: with fewer epochs they say nothing about a recipe. They can be resumed.
        """
        if self.plan.header.kind in (RunKind.CONFIRMATION, RunKind.REFIT):
            return
        for last in list(self.so_far.values()):
            if last.record.counts:
                self._complete(last)

    def _complete(self, last: Progress) -> None:
        record, best = last.record, dict(last.best)
        with held_interrupt():
            dropped = self._without_weights(record)
            if record.trial in dropped:
                best.pop(WEIGHTS, None)
            self._write(lambda: self.writer.trial(record.trial).complete(record, best))
            self._write(lambda: self.journal.over(record.trial, record.status))
            for other in dropped:
                self.writer.trial(other).drop_weights()
            self.over.add(record.trial)
            self.so_far.pop(record.trial, None)
            assignment = self.assignments.pop(record.trial)
        self.view.trial_over(record)
        self.copy.add([record], {record.trial: assignment.point})

    def _without_weights(self, record: RunRecord) -> list[int]:
        """The trials that no longer keep weights, now that this one has ended.

        The best keep theirs, and the Pareto front if there are several objectives.
        """
        keep = self.plan.header.policy.keep
        if keep is None:
            return []
        if not record.counts:
            return [record.trial]
        # A trial leaves the front only for one that dominates it and is kept, so this is the front of all trials.
        ranked = rank([*self.with_weights, record])
        front = pareto_front(ranked, self.objectives) if len(self.objectives) > 1 else []
        kept = {best.trial for best in (*ranked[:keep], *front)}
        self.with_weights = [best for best in ranked if best.trial in kept]
        return [other.trial for other in ranked if other.trial not in kept]

    def _write(self, what: Callable[[], None]) -> None:
        """Write to the run's folder. Raises SearchEnded if that fails."""
        try:
            what()
        except OSError as error:
            raise SearchEnded(self.writer.cannot_write(error)) from error


class Executor(Protocol):
    """Trains the trials of a run: on Ray, or, in tests, in this process."""

    def ready(self, plan: RunPlan) -> AbstractContextManager[RunPlan]:
        """Start what trains, for as long as the context lasts. Yields the plan, adapted to what was found."""

    def execute(self, plan: RunPlan, driver: Driver, searcher: Searcher, scheduler: TrialScheduler, left: int) -> None:
        """Train what the searcher will suggest: `left` trials or companies of trials.

        Raises what the driver raises to end the search.
        """
