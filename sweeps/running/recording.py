"""Turns Tune's events into records, journal lines, the study's copy and the view's events. Runs in the driver."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from digits_core.judging.objectives import pareto_front
from digits_core.records import Assignment, RunRecord, rank
from digits_core.runs.journal import Journal
from digits_core.runs.store import SweepStore
from digits_core.runs.trial_folder import WEIGHTS, Progress
from sweeps.plans.planning import RunPlan
from sweeps.running.objective import failed_record
from sweeps.running.ray_session import SearchEnded, check_alive
from sweeps.search.reported import EPOCH, ERROR_RATE, FAILED, METRIC, PROGRESS
from sweeps.search.study_copy import StudyCopy
from sweeps.signals import held_interrupt
from sweeps.space.assignments import Drawn
from sweeps.view.progress import SweepView


class SearchOver(Exception):
    """The search has used up its time or reached its target. The text says which.

    An Exception, unlike SearchEnded: Tune cleans up and passes it on.
    """


class TrialRecorder(tune.Callback):  # type: ignore[misc]
    """Receives Tune's events in the driver."""

    def __init__(self, plan: RunPlan, store: SweepStore, view: SweepView, journal: Journal, notes: Path) -> None:
        self.plan, self.store, self.view, self.journal, self.notes = plan, store, view, journal, notes
        self.objectives = plan.header.objectives
        space = plan.recipes.space if isinstance(plan.recipes, Drawn) else {}
        self.copy = StudyCopy(plan.storage, store.folder, plan.header.name, space, self.objectives)
        self.running: list[Trial] = []
        self.so_far: dict[int, Progress] = {}  # of trials in progress, each with its best epoch's files
        self.started_at: dict[int, float] = {}  # when each trial in progress got its worker
        self.limit = ""  # why the search ends early, once it does
        self.with_weights = [record for record in store.ranked() if store.trial(record.trial).has_weights]

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks, but terminals and open files cannot be pickled.
        return {}

    def record(self, trial: int) -> RunRecord | None:
        """A trial's record, or its record so far."""
        return self.so_far[trial].record if trial in self.so_far else self.store.trial(trial).read_record()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A worker is about to train the trial. It gets what an earlier attempt or the trial's parent left."""
        number, parent = int(trial.config["trial"]), trial.config["parent"]
        state = self.store.trial(number).read_state()
        parent_state = None if parent is None else self.store.trial(parent).read_state()
        if state is not None or parent_state is not None:
            trial.temporary_state.ray_actor.continue_from.remote(state, parent_state)
        self.started_at[number] = time.monotonic()
        self.view.trial_started(number)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        number, epoch, progress = int(trial.config["trial"]), int(result[EPOCH]), result[PROGRESS].pop()
        self._note(progress)
        if not result[FAILED]:
            self._write(lambda: self.journal.epoch(number, epoch, float(result[METRIC])))
            self.view.trial_advanced(number, epoch)
            if self.plan.ending.is_reached(float(result[ERROR_RATE])):
                self.limit = f"trial {number} reached the target"

    def _note(self, progress: Progress) -> None:
        """Remember what a worker has sent. Only the state goes to disk before the trial ends."""
        number, state = progress.record.trial, progress.state
        if state is not None:
            self._write(lambda: self.store.trial(number).write_state(state))
        known = self.so_far.get(number)
        best = {name: content.copy() for name, content in progress.best.items()}  # out of Ray's shared memory
        if not best and known is not None and known.record.best_epoch == progress.record.best_epoch:
            best = dict(known.best)
        self.so_far[number] = replace(progress, best=best, state=None)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial trained its last epoch, or the scheduler stopped it."""
        self._complete(trial, self.so_far[int(trial.config["trial"])])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial raised, or its process died: it is recorded as failed, and the sweep continues."""
        check_alive()  # a trial that died with Ray has not failed
        assignment = Assignment.from_dict(trial.config)
        known = self.so_far.get(assignment.trial)
        record = known.record if known else failed_record(assignment, time.time(), "")
        record = replace(record, status="failed", error=self._error_text(trial))
        self._complete(trial, Progress(record=record, best=known.best if known else {}))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial's process was lost, and the trial resumes from its last stored state."""
        check_alive()
        number = int(trial.config["trial"])
        self._write(lambda: self.journal.retried(number))
        self.view.trial_retried(number)

    def _complete(self, trial: Trial, last: Progress) -> None:
        record, best = last.record, dict(last.best)
        with held_interrupt():
            dropped = self._without_weights(record)
            if record.trial in dropped:
                best.pop(WEIGHTS, None)
            self._write(lambda: self.store.trial(record.trial).complete(record, best))
            self._write(lambda: self.journal.over(record.trial, record.status))
            for other in dropped:
                self.store.trial(other).drop_weights()
            self.so_far.pop(record.trial, None)
        self.view.trial_over(record)
        self.copy.add([record], {record.trial: trial.config["point"]})

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
            raise SearchEnded(f"cannot write to {self.store.folder}: {error.strerror}") from error

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called once per turn of Tune's event loop."""
        check_alive()
        self.running = [trial for trial in trials if trial.status == Trial.RUNNING]
        self.view.tick()
        if self.plan.ending.is_due():
            self.limit = "the time budget is used up"
        if self.limit:
            self.end_workers()
            raise SearchOver(self.limit)

    def end_workers(self) -> None:
        """Kill the workers: nobody will read what they are training."""
        try:
            check_alive()
        except SearchEnded:
            return  # they died with Ray
        for trial in self.running:
            actor = trial.temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)

    def record_running(self) -> None:
        """Record trials that are still running at the end as stopped early, if they have validated at all."""
        for trial in self.running:
            last = self.so_far.get(int(trial.config["trial"]))
            if last is not None and last.record.counts:
                self._complete(trial, last)

    def _error_text(self, trial: Trial) -> str:
        """Why the worker died, if it could not report that itself."""
        number, limit = int(trial.config["trial"]), self.plan.header.policy.trial_timeout_seconds
        if limit is not None and time.monotonic() - self.started_at.get(number, math.inf) >= limit:
            note = self.notes / str(number)  # only workers on this node can leave one
            stood = note.read_text(encoding="utf-8", errors="replace") if note.is_file() else ""
            return f"{stood}\nthe trial took longer than {limit:g} s (--trial-timeout)"
        return _ray_error_text(trial) or "the worker process died"


def _ray_error_text(trial: Trial) -> str:
    """What Ray wrote about a trial's failure; empty if it wrote nothing."""
    if trial.error_file and os.path.exists(trial.error_file):
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    return ""
