"""The driver: runs a plan's trials, or those that are left, with Ray Tune and writes the run's folder."""

import contextlib
import functools
import gc
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from digits_core.data.digits import Split
from digits_core.errors import EnvironmentFailure
from digits_core.judging.objectives import values_of
from digits_core.records import SweepSummary
from digits_core.runs.journal import History, Journal
from digits_core.runs.ownership import sole_driver
from digits_core.runs.store import SweepStore
from digits_core.training.device import accelerator_count
from sweeps.finishing.opening import keep_best_parameters
from sweeps.plans.config import AUTO
from sweeps.plans.planning import RunPlan
from sweeps.plans.recovery import known_history, recovered
from sweeps.running import packing
from sweeps.running.ray_session import SearchEnded, cluster_resources, joined_ray, local_ray
from sweeps.running.recording import SearchOver, TrialRecorder
from sweeps.running.scratch import scratch_folder
from sweeps.running.worker import RollCall, Worker
from sweeps.search.population import PopulationSearch
from sweeps.search.reported import METRIC
from sweeps.search.schedulers import scheduler_for
from sweeps.search.searchers import HandOut, StudySearch
from sweeps.signals import ignored_interrupt
from sweeps.space.assignments import Given
from sweeps.space.generations import Generations
from sweeps.view.progress import SweepView


def run_trials(plan: RunPlan, view: SweepView) -> tuple[SweepStore, SweepSummary]:
    """Run all trials that have not ended (or until Ctrl-C). Returns the run's store and summary.

    Raises UsageError if another process is running them.
    """
    store, started = SweepStore(plan.folder), time.time()
    with contextlib.ExitStack() as stack:
        stack.callback(view.close)
        if plan.is_resumed:
            stack.enter_context(sole_driver(store.folder))
        scratch = stack.enter_context(scratch_folder())
        (scratch / "notes").mkdir()
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
        # Ray reports its own death on stdout, which is reserved for the result.
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        outcome = _run_what_is_left(plan, store, view, scratch, started)
        gc.collect()  # an interrupted Tune releases its reservations only when it is collected
        with ignored_interrupt():
            view.close()
            summary = _summary(plan, store, outcome)
            # After an error, writing may fail as well: the disk may be full.
            with contextlib.suppress(OSError) if outcome.error else contextlib.nullcontext():
                store.write_summary(summary)
                keep_best_parameters(store)
    return store, summary


@dataclass(frozen=True)
class Outcome:
    """Why the search ended before all trials had run, unless the user stopped it."""

    error: str | None = None
    limit: str = ""  # the time budget or the target that ended them
    database: str = ""  # why trials are missing from the study's copy


def _run_what_is_left(plan: RunPlan, store: SweepStore, view: SweepView, scratch: Path, started: float) -> Outcome:
    """Run the trials. Complete records are kept, whatever ends the run."""
    try:
        with Journal(store.folder) as journal:
            history = recovered(store, journal)
            journal.session(len(history.sessions) + 1, started)
            records = store.records()
            view.recall(records)
            recorder = TrialRecorder(plan, store, view, journal, scratch / "notes")
            recorder.copy.add(records, {n: trial.assignment.point for n, trial in history.trials.items()})
            try:
                _fit(plan, recorder, history, scratch)
            except SearchOver as limit:
                recorder.record_running()
                return Outcome(limit=str(limit), database=recorder.copy.problem)
            finally:
                recorder.end_workers()
                recorder.copy.close()
    except KeyboardInterrupt:
        return Outcome()
    except SearchEnded as error:
        return Outcome(error=str(error))
    except OSError as error:
        return Outcome(error=f"cannot write to {store.folder}: {error.strerror}")
    return Outcome(database=recorder.copy.problem)


def _summary(plan: RunPlan, store: SweepStore, outcome: Outcome) -> SweepSummary:
    records, history = store.records(), known_history(store)
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
    """The plan, adapted to a cluster's resources. Raises EnvironmentFailure if the cluster has too few GPUs."""
    gpu_count, cpu_count = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    asked = plan.gpus_per_trial
    needed = 1 if asked == AUTO else asked or 0
    if needed > gpu_count:
        raise EnvironmentFailure(
            f"the cluster at {plan.address} has {gpu_count} GPUs, but --gpus-per-trial asks for {needed:g}"
        )
    at_a_time = int(gpu_count / (asked or 1)) if gpu_count and asked != AUTO else cpu_count
    concurrency = plan.concurrency_asked or max(1, min(at_a_time, cpu_count))
    share = asked or (1 / math.ceil(concurrency / gpu_count) if gpu_count else None)
    header = replace(plan.header, concurrency=concurrency, device="cuda" if gpu_count else "cpu")
    return replace(plan, header=header, gpus_per_trial=share)


def reservation(
    plan: RunPlan, view: SweepView
) -> dict[str, float] | Callable[[dict[str, Any]], tune.PlacementGroupFactory]:
    """What one trial reserves: a processor, and its share of a GPU if there are CUDA devices."""
    if plan.header.device != "cuda":
        return {"cpu": 1}
    if plan.gpus_per_trial == AUTO:
        assert isinstance(plan.split, Split), "only sweeps have this option"
        gpu_count = int(cluster_resources()["GPU"])
        shares = packing.measured_shares(plan.recipes, plan.split, gpu_count, plan.header.concurrency)
        view.note(packing.in_words(shares))
        return functools.partial(packing.reservation, shares)
    share = plan.gpus_per_trial or 1 / math.ceil(plan.header.concurrency / accelerator_count())
    return {"cpu": 1, "gpu": share}


def _roll_call(plan: RunPlan, left: int, scratch: Path) -> RollCall | None:
    """For the workers that start at the same time. On a cluster, each starts when there is room for it."""
    if plan.address is not None:
        return None
    together = min(plan.header.concurrency, left, int(cluster_resources().get("CPU", 1)))
    return RollCall(folder=scratch / "workers", expected=together)


def _search(plan: RunPlan, history: History, recorder: TrialRecorder) -> tuple[Searcher, TrialScheduler]:
    """The searcher that chooses the trials and the scheduler that stops them."""
    journal = recorder.journal
    if isinstance(plan.recipes, Given):
        waiting = [given for given in plan.recipes.assignments if given.trial not in history.trials]
        journal.drawn(*waiting)
        return HandOut([*(trial.assignment for trial in history.unfinished), *waiting]), FIFOScheduler()
    store, objectives = recorder.store, plan.recipes.objectives

    def values(trial: int) -> tuple[float, ...] | None:
        record = recorder.record(trial)
        return None if record is None else values_of(record, objectives)

    if plan.recipes.scheduler == "pbt":
        generations = Generations.of(plan.header.trial_count, plan.recipes.max_epochs)
        population = PopulationSearch(
            plan.recipes, generations, history, journal, values, lambda trial: store.trial(trial).drop_state()
        )
        return population, FIFOScheduler()
    searcher = StudySearch(plan.recipes, plan.header.trial_count, history, journal, values)
    return searcher, scheduler_for(plan.recipes.scheduler, plan.recipes.max_epochs, history)


def _fit(plan: RunPlan, recorder: "TrialRecorder", history: History, scratch: Path) -> None:
    left = plan.header.trial_count - len(history.over)
    if not left:
        return
    searcher, scheduler = _search(plan, history, recorder)
    worker = tune.with_parameters(
        Worker,
        split=plan.split,
        notes=recorder.notes,
        timeout_seconds=plan.header.policy.trial_timeout_seconds,
        roll_call=_roll_call(plan, left, scratch),
    )
    tuner = tune.Tuner(
        tune.with_resources(worker, reservation(plan, recorder.view)),
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
            callbacks=[recorder],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=plan.header.policy.max_failures),
        ),
    )
    tuner.fit()
