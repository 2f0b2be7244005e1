"""The only place that knows Ray Tune: runs the trials of a plan, or what is left of them, and leaves their folder."""

import bisect
import contextlib
import errno
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from digits_core.cross_validation import upload
from digits_core.data import Split
from digits_core.device import accelerator_count, default_device
from digits_core.errors import EnvironmentFailure
from digits_core.folds import Folds
from digits_core.journal import History, Journal, read_journal
from digits_core.ownership import sole_driver
from digits_core.records import Assignment, RunRecord, SweepSummary
from digits_core.store import SweepStore
from digits_core.trial_folder import TIMEOUT_NOTE, TrialFolder
from sweeps.assignments import Drawn, Given
from sweeps.finalists import keep_best_parameters
from sweeps.objective import WORTH_ANOTHER_TRY, TrialRun, failed_record, use_threads
from sweeps.planning import RunPlan
from sweeps.progress import SweepView
from sweeps.ray_session import SearchEnded, check_alive, cluster_resources, joined_ray, local_ray
from sweeps.schedulers import scheduler_for
from sweeps.scratch import scratch_folder
from sweeps.search import EPOCH, ERROR_RATE, FAILED, FINISHED, METRIC, HandOut, StudySearch
from sweeps.signals import held_interrupt, ignored_interrupt
from sweeps.study_copy import StudyCopy
from sweeps.time_limit import TimeLimit

SECONDS_TO_DIE = 10.0  # of a worker that was killed; it takes some hundredths


class SearchOver(Exception):
    """The search has had its time, or has found what it was after. The text says which.

    An Exception, unlike SearchEnded: Tune tidies up and hands it on.
    """


def run_trials(plan: RunPlan, view: SweepView) -> tuple[SweepStore, SweepSummary]:
    """Run all trials that are not over (or until Ctrl-C) and return their store and how it went.

    Raises UsageError where another process runs them.
    """
    store, started = SweepStore(plan.folder), time.time()
    with contextlib.ExitStack() as stack:
        stack.callback(view.close)
        if plan.is_resumed:
            stack.enter_context(sole_driver(store.folder))
        scratch = stack.enter_context(scratch_folder())
        if plan.address is None:
            gpu_count = accelerator_count() if plan.header.device == "cuda" else 0
            stack.enter_context(local_ray(scratch, plan.header.concurrency, gpu_count))
        else:
            stack.enter_context(joined_ray(plan.address))
            plan = on_cluster(plan, cluster_resources())
        if plan.is_resumed:
            store.write_header(plan.header)
        else:
            SweepStore.create(plan.runs, plan.header, plan.split)
            stack.enter_context(sole_driver(store.folder))
        # Ray writes of its own death to stdout, which is for the result.
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        outcome = _run_what_is_left(plan, store, view, scratch, started)
        with ignored_interrupt():
            view.close()
            summary = _summary(plan, store, outcome)
            # A full disk, perhaps.
            with contextlib.suppress(OSError) if outcome.error else contextlib.nullcontext():
                store.write_summary(summary)
                keep_best_parameters(store)
    return store, summary


@dataclass(frozen=True)
class Outcome:
    """Why the trials came to an end before all were run, if they did and it was not the user."""

    error: str | None = None
    limit: str = ""  # what was asked to end them
    database: str = ""  # why trials are missing there


def _run_what_is_left(plan: RunPlan, store: SweepStore, view: SweepView, scratch: Path, started: float) -> Outcome:
    """Run the trials. What is sealed is kept, whatever ends them."""
    try:
        with Journal(store.folder) as journal:
            history = recovered(store, journal)
            journal.session(len(history.sessions) + 1, started)
            view.recall(store.records())
            sealer = Sealer(plan, store, view, journal)
            sealer.copy.add(store.records(), {n: trial.assignment.point for n, trial in history.trials.items()})
            try:
                _fit(plan, sealer, history, scratch)
            except SearchOver as limit:
                sealer.seal_running()
                return Outcome(limit=str(limit), database=sealer.copy.problem)
            finally:
                sealer.end_workers()
                sealer.copy.close()
    except KeyboardInterrupt:
        return Outcome()
    except SearchEnded as error:
        return Outcome(error=str(error))
    except OSError as error:
        return Outcome(error=f"cannot write to {store.folder}: {error.strerror}")
    return Outcome(database=sealer.copy.problem)


def recovered(store: SweepStore, journal: Journal) -> History:
    """What is known of a run, with what its last driver could not write down any more."""
    history = read_journal(store.folder)
    sealed = {record.trial: record for record in store.records()}
    for trial in history.unfinished:
        number = trial.assignment.trial
        record = sealed.get(number) or store.trial(number).read_progress()
        if record is None or (number not in sealed and record.status != "finished"):
            continue
        store.trial(number).seal(record)
        journal.over(number, record.status)
        trial.status = record.status
    return history


def _summary(plan: RunPlan, store: SweepStore, outcome: Outcome) -> SweepSummary:
    records, history = store.records(), read_journal(store.folder)
    worked = history.working_seconds(record.started_at for record in records)
    at_a_time = min(plan.header.concurrency, plan.header.trial_count)
    return SweepSummary(
        seconds=history.seconds,
        training_share=sum(record.busy_seconds for record in records) / (worked * at_a_time) if worked > 0 else 0.0,
        interrupted=len(history.over) < plan.header.trial_count and not outcome.limit,
        error=outcome.error,
        limit=outcome.limit,
        database=outcome.database,
    )


def on_cluster(plan: RunPlan, resources: Mapping[str, float]) -> RunPlan:
    """The plan with what a cluster has. Raises EnvironmentFailure for GPUs that it has not."""
    gpu_count, cpu_count = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    if plan.gpus_per_trial is not None and plan.gpus_per_trial > gpu_count:
        raise EnvironmentFailure(
            f"the cluster at {plan.address} has {gpu_count} GPUs, not the {plan.gpus_per_trial:g} of --gpus-per-trial"
        )
    at_a_time = int(gpu_count / (plan.gpus_per_trial or 1)) if gpu_count else cpu_count
    concurrency = plan.concurrency_asked or max(1, min(at_a_time, cpu_count))
    share = plan.gpus_per_trial or (1 / math.ceil(concurrency / gpu_count) if gpu_count else None)
    header = replace(plan.header, concurrency=concurrency, device="cuda" if gpu_count else "cpu")
    return replace(plan, header=header, gpus_per_trial=share)


def reservation(plan: RunPlan) -> dict[str, float]:
    """What one trial reserves: a processor, and its share of a GPU where there are CUDA devices."""
    if plan.header.device != "cuda":
        return {"cpu": 1}
    share = plan.gpus_per_trial or 1 / math.ceil(plan.header.concurrency / accelerator_count())
    return {"cpu": 1, "gpu": share}


def _search(plan: RunPlan, history: History, journal: Journal) -> tuple[Searcher, TrialScheduler]:
    """How the trials are chosen and when they are stopped."""
    if isinstance(plan.recipes, Given):
        waiting = [given for given in plan.recipes.assignments if given.trial not in history.trials]
        journal.drawn(*waiting)
        return HandOut([*(trial.assignment for trial in history.unfinished), *waiting]), FIFOScheduler()
    searcher = StudySearch(plan.recipes, plan.header.trial_count, history, journal)
    return searcher, scheduler_for(plan.recipes.scheduler, plan.recipes.max_epochs, history)


def _fit(plan: RunPlan, sealer: "Sealer", history: History, scratch: Path) -> None:
    left = plan.header.trial_count - len(history.over)
    if not left:
        return
    searcher, scheduler = _search(plan, history, sealer.journal)
    worker = tune.with_parameters(
        Worker,
        split=plan.split,
        trials_folder=(plan.folder / "trials").absolute(),
        timeout_seconds=plan.header.policy.trial_timeout_seconds,
    )
    tuner = tune.Tuner(
        tune.with_resources(worker, reservation(plan)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            metric=METRIC,
            mode="min",
            num_samples=left,
            max_concurrent_trials=plan.header.concurrency,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[sealer],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=plan.header.policy.max_failures),
        ),
    )
    tuner.fit()


class Worker(tune.Trainable):  # type: ignore[misc]
    """Runs one trial after another in one process: the data stays on the device, torch stays imported."""

    def setup(
        self, config: dict[str, Any], split: Split | Folds, trials_folder: Path, timeout_seconds: float | None
    ) -> None:
        """Upload the data once, then begin the first trial."""
        self.trials_folder, self.timeout_seconds = trials_folder, timeout_seconds
        if not trials_folder.is_dir():
            raise EnvironmentFailure(
                f"{trials_folder} is not on this node: --runs must be a folder that all nodes share"
            )
        use_threads(1)
        self.device = default_device()
        self.data = upload(split, self.device)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        assignment = Assignment.from_dict(config)
        folder = TrialFolder(self.trials_folder / f"{assignment.trial:05d}")
        self.limit = TimeLimit(folder.folder / TIMEOUT_NOTE, self.timeout_seconds)
        self.run: TrialRun | None = None
        with self.limit, failures_that_stay():
            self.run = TrialRun(assignment, self.data, self.device, folder)

    def step(self) -> dict[str, Any]:
        """Train one epoch. A failure that would stay one is a result: the process lives on."""
        run, advanced = self.run, False
        if run is not None:
            with self.limit, failures_that_stay():
                run.advance()
                advanced = True
        is_over = not advanced or (run is not None and run.finished)
        if is_over:
            self.limit.close()
        return {
            METRIC: run.best_nll if advanced and run is not None else math.nan,
            ERROR_RATE: run.best_error_rate if advanced and run is not None else math.nan,
            EPOCH: run.epoch if run is not None else 0,
            FINISHED: advanced and is_over,
            FAILED: not advanced,
            tune.result.DONE: is_over,
        }


@contextlib.contextmanager
def failures_that_stay() -> Iterator[None]:
    """Swallow what would fail again in the same way: the trial has written it down. All else goes to Tune."""
    try:
        yield
    except WORTH_ANOTHER_TRY:
        raise
    except Exception:  # noqa: BLE001 - whatever a network, an optimizer or an augmentation raises
        return


class Sealer(tune.Callback):  # type: ignore[misc]
    """Turns Tune's events into sealed records and the view's events. Lives in the driver."""

    def __init__(self, plan: RunPlan, store: SweepStore, view: SweepView, journal: Journal) -> None:
        self.plan, self.store, self.view, self.journal = plan, store, view, journal
        space = plan.recipes.space if isinstance(plan.recipes, Drawn) else {}
        self.copy = StudyCopy(plan.storage, store.folder, plan.header.name, space)
        self.running: list[Trial] = []
        self.limit = ""  # what was asked to end the search, once it does
        self.counting = [(record.nll, record.trial) for record in store.ranked()]

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; terminals and open files stay out of that.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A worker took a trial."""
        self.view.trial_started(int(trial.config["trial"]))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is done."""
        if not result[FAILED]:
            number, epoch = int(trial.config["trial"]), int(result[EPOCH])
            self._write(lambda: self.journal.epoch(number, epoch, float(result[METRIC])))
            self.view.trial_advanced(number, epoch)
            if self.plan.ending.is_reached(float(result[ERROR_RATE])):
                self.limit = f"trial {number} reached the target"

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial ran to its end or was stopped by the scheduler."""
        folder = self.store.trial(int(trial.config["trial"]))
        record = folder.read_progress()
        assert record is not None, "a trial that reported has progress on disk"
        self._seal(folder, record)
        self.copy.add([record], {record.trial: trial.config["point"]})

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial raised, or its process died: a failed row, and the sweep goes on."""
        check_alive()  # a trial that Ray took with it has not failed
        assignment = Assignment.from_dict(trial.config)
        self._check_disk(trial)
        folder = self.store.trial(assignment.trial)
        record = folder.read_progress()
        if record is None:
            record = failed_record(assignment, time.time(), self._error_text(folder, trial))
        elif record.error is None:
            record = replace(record, status="failed", error=self._error_text(folder, trial))
        self._seal(folder, record)
        self.copy.add([record], {record.trial: trial.config["point"]})

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial's process was lost, and the trial begins again from its last epoch."""
        check_alive()
        self._check_disk(trial)
        number = int(trial.config["trial"])
        self._write(lambda: self.journal.retried(number))
        self.view.trial_retried(number)

    def _seal(self, folder: TrialFolder, record: RunRecord) -> None:
        with held_interrupt():
            self._write(lambda: folder.seal(record))
            self._write(lambda: self.journal.over(record.trial, record.status))
            self._drop_weights(record)
        self.view.trial_over(record)

    def _drop_weights(self, record: RunRecord) -> None:
        """Only the best trials keep their weights."""
        keep = self.plan.header.policy.keep
        if keep is None:
            return
        if not record.counts:
            self.store.trial(record.trial).drop_weights()
            return
        bisect.insort(self.counting, (record.nll, record.trial))
        for _, trial in self.counting[keep:]:
            self.store.trial(trial).drop_weights()

    def _write(self, what: Callable[[], None]) -> None:
        """Write to the run's folder, without which a search cannot go on."""
        try:
            what()
        except OSError as error:
            raise SearchEnded(f"cannot write to {self.store.folder}: {error.strerror}") from error

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Tune's event loop went round once."""
        check_alive()
        self.running = [trial for trial in trials if trial.status == Trial.RUNNING]
        self.view.tick()
        if self.plan.ending.is_due():
            self.limit = "the time budget is used up"
        if self.limit:
            self.end_workers()
            raise SearchOver(self.limit)

    def end_workers(self) -> None:
        """From here on nothing but this process writes into the run's folder."""
        try:
            check_alive()
        except SearchEnded:
            return  # they went with Ray
        for trial in self.running:
            actor = trial.temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.get(actor.__ray_ready__.remote(), timeout=SECONDS_TO_DIE)

    def seal_running(self) -> None:
        """What the search had no time for any more counts as stopped early, where it has validated at all."""
        for trial in self.running:
            folder = self.store.trial(int(trial.config["trial"]))
            record = folder.read_progress()
            if record is not None and record.counts:
                self._seal(folder, record)
                self.copy.add([record], {record.trial: trial.config["point"]})

    def _check_disk(self, trial: Trial) -> None:
        """A trial for which there was no room has not failed."""
        written = Path(trial.error_file).read_text(errors="replace") if trial.error_file else ""
        for reason in map(os.strerror, (errno.ENOSPC, errno.EDQUOT)):
            if reason in written:
                raise SearchEnded(f"cannot write to {self.store.folder}: {reason}")

    def _error_text(self, folder: TrialFolder, trial: Trial) -> str:
        """What is known of a death that the worker could not write down itself."""
        note, limit = folder.folder / TIMEOUT_NOTE, self.plan.header.policy.trial_timeout_seconds
        if limit is not None and note.exists() and note.stat().st_size:
            stood = note.read_text(encoding="utf-8", errors="replace")
            return f"{stood}\nthe trial took longer than {limit:g} s (--trial-timeout)"
        if trial.error_file and os.path.exists(trial.error_file):
            return Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
        return "the worker process died"
