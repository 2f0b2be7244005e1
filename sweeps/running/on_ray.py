"""Trains a run's trials with Ray Tune, and tells the driver what Tune tells us."""

import contextlib
import functools
import gc
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from digits_core.data.digits import Split
from digits_core.errors import EnvironmentFailure
from digits_core.training.device import accelerator_count
from sweeps.plans.config import AUTO
from sweeps.plans.planning import RunPlan
from sweeps.running import packing
from sweeps.running.driver import Driver, SearchEnded, SearchOver
from sweeps.running.guard import guarded
from sweeps.running.ray_session import check_alive, cluster_resources, joined_ray, local_ray
from sweeps.running.scratch import scratch_folder
from sweeps.running.worker import RollCall, Worker
from sweeps.search.reported import METRIC, PROGRESS
from sweeps.space.assignments import company_of
from sweeps.view.progress import SweepView
from sweeps.words import duration

SECONDS_TO_END_ITSELF = 70.0  # for a worker whose trial has taken too long; its roll call may take 60
SECONDS_OF_SILENCE = 60.0  # after which a worker's process is looked at
SLOW = 20.0  # times the slowest epoch so far, but at least twice the silence above: after this, people are told


class OnRay:
    """An executor: a private Ray on this machine, or a cluster that is joined."""

    @contextlib.contextmanager
    def ready(self, plan: RunPlan) -> Iterator[RunPlan]:
        """Start Ray or join the plan's cluster. Yields the plan, adapted to the cluster."""
        with contextlib.ExitStack() as stack:
            self.scratch = stack.enter_context(scratch_folder())
            if plan.address is None:
                gpu_count = accelerator_count() if plan.header.device == "cuda" else 0
                stack.enter_context(local_ray(self.scratch, plan.header.concurrency, gpu_count))
                stack.enter_context(guarded(self.scratch))
            else:
                stack.enter_context(joined_ray(plan.address))
                plan = on_cluster(plan, cluster_resources())
            stack.callback(gc.collect)  # an interrupted Tune releases its reservations only when it is collected
            # Ray reports its own death on stdout, which is reserved for the result.
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            yield plan

    def execute(self, plan: RunPlan, driver: Driver, searcher: Searcher, scheduler: TrialScheduler, left: int) -> None:
        """Train the trials that are left."""
        events = TuneEvents(driver, self.scratch / "notes", plan.header.policy.trial_timeout_seconds)
        events.notes.mkdir()
        reserved = reservation(plan, driver.view)
        together = 0 if plan.address else started_together(reserved, min(plan.header.concurrency, left))
        worker = tune.with_parameters(
            Worker,
            split=plan.split,
            notes=events.notes,
            timeout_seconds=plan.header.policy.trial_timeout_seconds,
            roll_call=RollCall(folder=self.scratch / "workers", expected=together) if together else None,
        )
        tuner = tune.Tuner(
            tune.with_resources(worker, reserved),
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
                storage_path=str(self.scratch),
                verbose=0,
                callbacks=[events],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=plan.header.policy.max_failures),
            ),
        )
        # Tune copies these into the workers' runtime environment, and Ray that into its log: secrets stay out.
        secrets = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}
        class_cache.ENV_VARS_TO_PROPAGATE.difference_update(secrets)
        try:
            tuner.fit()
        finally:
            events.end_workers()


class TuneEvents(tune.Callback):  # type: ignore[misc]
    """Passes Tune's events on to the driver. One of Tune's trials may be a company of ours."""

    def __init__(self, driver: Driver, notes: Path, timeout_seconds: float | None) -> None:
        self.driver, self.notes, self.timeout_seconds = driver, notes, timeout_seconds
        self.running: list[Trial] = []
        self.started_at: dict[int, float] = {}  # when each trial got its last worker
        self.heard_at: dict[int, float] = {}  # when each trial last reported, or began
        self.processes: dict[Any, int] = {}  # of workers on this machine, by actor
        self.slowest_epoch_seconds = 0.0
        self.told: set[int] = set()  # trials whose silence was mentioned

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks, but terminals and open files cannot be pickled.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A worker is about to train the trial. It gets what earlier attempts or the trial's parent left."""
        company = company_of(trial.config)
        left, states = self.driver.begin(company)
        if len(left) < len(company) or any(state is not None for pair in states.values() for state in pair):
            trial.temporary_state.ray_actor.begin.remote(left, states)
        self.started_at[company[0].trial] = self.heard_at[company[0].trial] = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        number, now = int(trial.config["trial"]), time.monotonic()
        self.slowest_epoch_seconds = max(self.slowest_epoch_seconds, now - self.heard_at.get(number, now))
        self.heard_at[number] = now
        self.told.discard(number)
        if result.get("hostname") == platform.node():
            self.processes[trial.temporary_state.ray_actor] = int(result["pid"])
        company = list(result[PROGRESS])
        result[PROGRESS].clear()
        self.driver.advanced(*company)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.driver.ended(company_of(trial.config))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        check_alive()  # a trial that died with Ray has not failed
        self.driver.failed(company_of(trial.config), self._error_text(trial))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        check_alive()
        self.driver.retried(company_of(trial.config))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called once per turn of Tune's event loop."""
        check_alive()
        self.running = [trial for trial in trials if trial.status == Trial.RUNNING]
        self._end_what_takes_too_long()
        self._look_after_the_silent()
        try:
            self.driver.turn()
        except SearchOver:
            self.end_workers()  # Tune would wait for the epochs that they are training
            raise

    def _end_what_takes_too_long(self) -> None:
        """A worker ends itself in time, unless it was stopped from outside (SIGSTOP) or its node does not answer."""
        if self.timeout_seconds is None:
            return
        for trial in self.running:
            if self._seconds(trial) > self.timeout_seconds + SECONDS_TO_END_ITSELF:
                _kill(trial)

    def _look_after_the_silent(self) -> None:
        """A trial whose process was stopped (SIGSTOP) goes on in another; of other long silences people are told."""
        for trial in self.running:
            number, now = int(trial.config["trial"]), time.monotonic()
            silence = now - self.heard_at.get(number, now)
            if silence < SECONDS_OF_SILENCE:
                continue
            process = self.processes.get(trial.temporary_state.ray_actor)
            if process is not None and _is_stopped(process):
                self.driver.view.note(f"the process of trial {number} ({process}) is stopped: going on in another one")
                self.heard_at[number] = now
                _kill(trial)
            elif number not in self.told and silence > max(2 * SECONDS_OF_SILENCE, SLOW * self.slowest_epoch_seconds):
                self.told.add(number)
                self.driver.view.note(
                    f"no news of trial {number} for {duration(silence)}: an epoch is slow, or its process or node"
                    " hangs; --trial-timeout ends such trials"
                )

    def end_workers(self) -> None:
        """Kill the workers: nobody will read what they are training."""
        try:
            check_alive()
        except SearchEnded:
            return  # they died with Ray
        for trial in self.running:
            _kill(trial)

    def _seconds(self, trial: Trial) -> float:
        """Since the trial got its last worker; negative if it has had none."""
        return time.monotonic() - self.started_at.get(int(trial.config["trial"]), math.inf)

    def _error_text(self, trial: Trial) -> str:
        """Why the worker died, if it could not report that itself."""
        limit = self.timeout_seconds
        if limit is not None and self._seconds(trial) >= limit:
            note = self.notes / str(trial.config["trial"])  # only workers on this node can leave one
            stood = note.read_text(encoding="utf-8", errors="replace") if note.is_file() else ""
            return f"{stood}\nthe trial took longer than {limit:g} s (--trial-timeout)"
        return _ray_error_text(trial) or "the worker process died"


def _is_stopped(process: int) -> bool:
    """Whether a process of this machine was stopped, as far as /proc shows it."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[:1] == ["T"]  # the second field is a name, which may hold anything


def _kill(trial: Trial) -> None:
    """Kill the trial's worker, if it has one."""
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)


def _ray_error_text(trial: Trial) -> str:
    """What Ray wrote about a trial's failure; empty if it wrote nothing."""
    if trial.error_file and os.path.exists(trial.error_file):
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    return ""


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


Reservation = dict[str, float] | Callable[[dict[str, Any]], tune.PlacementGroupFactory]


def started_together(reserved: Reservation, at_a_time: int) -> int:
    """How many workers start at the same time on this machine; 0 if that depends on which trials come first."""
    if not isinstance(reserved, dict):
        return 0
    resources = cluster_resources()
    return min(at_a_time, *(int(resources.get(name.upper(), 0) / share + 1e-9) for name, share in reserved.items()))


def reservation(plan: RunPlan, view: SweepView) -> Reservation:
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
