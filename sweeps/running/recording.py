"""Turns Tune's events into records, journal lines, the study's copy and the view's events. Runs in the driver."""

import contextlib
import errno
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
from digits_core.runs.trial_folder import TIMEOUT_NOTE, WEIGHTS, TrialFolder
from sweeps.plans.planning import RunPlan
from sweeps.running.objective import failed_record
from sweeps.running.ray_session import SearchEnded, check_alive
from sweeps.running.remote_run import RemoteRun
from sweeps.running.trial_place import PATIENCE_SECONDS
from sweeps.search.reported import EPOCH, ERROR_RATE, FAILED, METRIC
from sweeps.search.study_copy import StudyCopy
from sweeps.signals import held_interrupt
from sweeps.space.assignments import Drawn
from sweeps.view.progress import SweepView

SECONDS_TO_DIE = 10.0  # for a killed worker; it usually takes a few hundredths of a second


class SearchOver(Exception):
    """The search has used up its time or reached its target. The text says which.

    An Exception, unlike SearchEnded: Tune cleans up and passes it on.
    """


class TrialRecorder(tune.Callback):  # type: ignore[misc]
    """Receives Tune's events in the driver."""

    def __init__(
        self, plan: RunPlan, store: SweepStore, view: SweepView, journal: Journal, remote: RemoteRun | None = None
    ) -> None:
        self.plan, self.store, self.view, self.journal, self.remote = plan, store, view, journal, remote
        self.objectives = plan.header.objectives
        space = plan.recipes.space if isinstance(plan.recipes, Drawn) else {}
        self.copy = StudyCopy(plan.storage, store.folder, plan.header.name, space, self.objectives)
        self.running: list[Trial] = []
        self.limit = ""  # why the search ends early, once it does
        self.with_weights = [record for record in store.ranked() if store.trial(record.trial).has_weights]

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks, but terminals and open files cannot be pickled.
        return {}

    def trial(self, number: int, patience_seconds: float = PATIENCE_SECONDS) -> TrialFolder:
        """A trial's folder as its worker left it. Raises SearchEnded if it cannot be downloaded."""
        folder = self.store.trial(number)
        if self.remote is not None and folder.read_record() is None:
            self.remote.bring(folder, patience_seconds)
        return folder

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.view.trial_started(int(trial.config["trial"]))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if not result[FAILED]:
            number, epoch = int(trial.config["trial"]), int(result[EPOCH])
            self._write(lambda: self.journal.epoch(number, epoch, float(result[METRIC])))
            self.view.trial_advanced(number, epoch)
            if self.plan.ending.is_reached(float(result[ERROR_RATE])):
                self.limit = f"trial {number} reached the target"

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial trained its last epoch, or the scheduler stopped it."""
        record = self.trial(int(trial.config["trial"])).read_progress()
        assert record is not None, "a trial that reported has progress on disk"
        self._complete(trial, record)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial raised, or its process died: it is recorded as failed, and the sweep continues."""
        check_alive()  # a trial that died with Ray has not failed
        assignment = Assignment.from_dict(trial.config)
        self._check_disk(trial)
        folder = self.trial(assignment.trial)
        record = folder.read_progress()
        if record is None:
            record = failed_record(assignment, time.time(), self._error_text(folder, trial))
        elif record.error is None:
            record = replace(record, status="failed", error=self._error_text(folder, trial))
        self._complete(trial, record)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial's process was lost, and the trial resumes from its last stored state."""
        check_alive()
        self._check_disk(trial)
        number = int(trial.config["trial"])
        self._write(lambda: self.journal.retried(number))
        self.view.trial_retried(number)

    def _complete(self, trial: Trial, record: RunRecord) -> None:
        with held_interrupt():
            self._write(lambda: self.store.trial(record.trial).complete(record))
            self._write(lambda: self.journal.over(record.trial, record.status))
            self._drop_weights(record)
        self.view.trial_over(record)
        self.copy.add([record], {record.trial: trial.config["point"]})

    def _drop_weights(self, record: RunRecord) -> None:
        """Keep only the weights of the best trials, and of the Pareto front if there are several objectives."""
        keep = self.plan.header.policy.keep
        if keep is None:
            return
        if not record.counts:
            self._drop_weights_of(record.trial)
            return
        # A trial leaves the front only for one that dominates it and is kept, so this is the front of all trials.
        ranked = rank([*self.with_weights, record])
        front = pareto_front(ranked, self.objectives) if len(self.objectives) > 1 else []
        kept = {best.trial for best in (*ranked[:keep], *front)}
        self.with_weights = [best for best in ranked if best.trial in kept]
        for other in ranked:
            if other.trial not in kept:
                self._drop_weights_of(other.trial)

    def _drop_weights_of(self, trial: int) -> None:
        folder = self.store.trial(trial)
        folder.drop_weights()
        if self.remote is not None:
            self.remote.drop(folder.folder / WEIGHTS)

    def _write(self, what: Callable[[], None]) -> None:
        """Write to the run's folder. Raises SearchEnded if that fails."""
        try:
            what()
        except OSError as error:
            raise SearchEnded(f"cannot write to {self.store.folder}: {error.strerror}") from error

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called once per turn of Tune's event loop."""
        check_alive()
        if self.remote is not None:
            self.remote.check()
        self.running = [trial for trial in trials if trial.status == Trial.RUNNING]
        self.view.tick()
        if self.plan.ending.is_due():
            self.limit = "the time budget is used up"
        if self.limit:
            self.end_workers()
            raise SearchOver(self.limit)

    def end_workers(self) -> None:
        """Kill the workers, so that from here on only this process writes to the run's folder."""
        try:
            check_alive()
        except SearchEnded:
            return  # they died with Ray
        for trial in self.running:
            actor = trial.temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.get(actor.__ray_ready__.remote(), timeout=SECONDS_TO_DIE)

    def record_running(self) -> None:
        """Record trials that are still running at the end as stopped early, if they have validated at all."""
        for trial in self.running:
            try:
                record = self.trial(int(trial.config["trial"]), patience_seconds=0.0).read_progress()
            except SearchEnded:  # no time left to wait for the object store
                continue
            if record is not None and record.counts:
                self._complete(trial, record)

    def _check_disk(self, trial: Trial) -> None:
        """Raise SearchEnded if the trial died of a full disk: then the trial itself has not failed."""
        written = _ray_error_text(trial)
        for reason in map(os.strerror, (errno.ENOSPC, errno.EDQUOT)):
            if reason in written:
                raise SearchEnded(f"cannot write to {self.store.folder}: {reason}")

    def _error_text(self, folder: TrialFolder, trial: Trial) -> str:
        """Why the worker died, if it could not record that itself."""
        note, limit = folder.folder / TIMEOUT_NOTE, self.plan.header.policy.trial_timeout_seconds
        if limit is not None and note.exists() and note.stat().st_size:
            stood = note.read_text(encoding="utf-8", errors="replace")
            return f"{stood}\nthe trial took longer than {limit:g} s (--trial-timeout)"
        return _ray_error_text(trial) or "the worker process died"


def _ray_error_text(trial: Trial) -> str:
    """What Ray wrote about a trial's failure; empty if it wrote nothing."""
    if trial.error_file and os.path.exists(trial.error_file):
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    return ""
