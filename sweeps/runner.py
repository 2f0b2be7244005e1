"""The only place that knows Ray Tune: prepares a sweep, runs it, leaves its folder."""

import contextlib
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from digits_core.cross_validation import upload
from digits_core.data import Split, load_digits, split_digits
from digits_core.device import accelerator_count, default_device
from digits_core.environment import processor_count
from digits_core.folds import Folds
from digits_core.records import RunRecord, SweepHeader, SweepSummary
from digits_core.store import SweepStore, TrialFolder, check_new
from sweeps.assignments import TRIAL_KEY, Drawn, Given
from sweeps.config import SweepConfig
from sweeps.finalists import keep_best_parameters
from sweeps.headers import header_of
from sweeps.objective import TrialRun, failed_record, use_threads
from sweeps.progress import SweepView, counted
from sweeps.ray_session import SearchEnded, check_alive, local_ray
from sweeps.scratch import scratch_folder
from sweeps.search import EPOCH, METRIC, search_for
from sweeps.signals import held_interrupt, ignored_interrupt
from sweeps.space import check_space, default_max_epochs, default_recipe, default_space


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A checked run: everything that can be wrong was looked at before any worker starts."""

    runs: Path
    header: SweepHeader
    split: Split | Folds
    recipes: Drawn | Given
    line: str  # what is about to be done


def plan_sweep(config: SweepConfig) -> RunPlan:
    """Check everything and load the data. Raises UsageError or EnvironmentFailure; makes the runs folder at most."""
    digits = load_digits(config.dataset)
    check_new(config.runs, config.name)
    device_type = default_device().type
    space_name, space = default_space(device_type, digits.side)
    check_space(space)
    max_epochs = config.max_epochs or default_max_epochs(digits.side)
    recipes = Drawn(
        base=default_recipe(device_type, digits.side, max_epochs),
        space=space,
        seed=config.seed,
        trial_count=config.trials,
    )
    split, concurrency = split_digits(digits), config.concurrency or default_concurrency()
    return RunPlan(
        runs=config.runs,
        header=header_of(
            digits,
            split,
            name=config.name,
            kind="sweep",
            trial_count=config.trials,
            max_epochs=max_epochs,
            seed=config.seed,
            concurrency=concurrency,
            device=device_type,
            space={name: str(parameter) for name, parameter in space.items()},
        ),
        split=split,
        recipes=recipes,
        line=(
            f"sweep {config.name}: {counted(config.trials, 'trial')} on {config.dataset},"
            f" {concurrency} at a time on {device_type}; the {space_name} space,"
            f" at most {counted(max_epochs, 'epoch')} a trial"
        ),
    )


def default_concurrency() -> int:
    """One trial a GPU, or a processor where there is none."""
    return accelerator_count() or processor_count()


def run_trials(plan: RunPlan, view: SweepView) -> tuple[SweepStore, SweepSummary]:
    """Run all trials (or until Ctrl-C) and return their store and how it went."""
    started = time.time()
    with contextlib.ExitStack() as stack:
        stack.callback(view.close)
        gpu_count = accelerator_count() if plan.header.device == "cuda" else 0
        scratch = stack.enter_context(scratch_folder())
        stack.enter_context(local_ray(scratch, plan.header.concurrency, gpu_count))
        store = SweepStore.create(plan.runs, plan.header, plan.split)
        # Ray writes of its own death to stdout, which is for the result.
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        error = _fit_while_possible(plan, store, view, scratch)
        with ignored_interrupt():
            view.close()
            summary = _summary(plan, store.records(), time.time() - started, error)
            with contextlib.suppress(OSError) if error else contextlib.nullcontext():  # a full disk, perhaps
                store.write_summary(summary)
                keep_best_parameters(store)
    return store, summary


def _summary(plan: RunPlan, records: list[RunRecord], seconds: float, error: str | None) -> SweepSummary:
    times = [(record.started_at, record.ended_at, record.busy_seconds) for record in records]
    return SweepSummary(
        seconds=seconds,
        training_share=training_share(times, min(plan.header.concurrency, plan.header.trial_count)),
        interrupted=len(records) < plan.header.trial_count,
        error=error,
    )


def training_share(trials: list[tuple[float, float, float]], concurrency: int) -> float:
    """Share (0..1) of the workers' time between first start and last end that went into training.

    trials: (started, ended, busy) in seconds.
    """
    if not trials:
        return 0.0
    wall = max(ended for _, ended, _ in trials) - min(started for started, _, _ in trials)
    return sum(busy for _, _, busy in trials) / (wall * concurrency) if wall > 0 else 0.0


def _reservation(plan: RunPlan) -> dict[str, float]:
    """What one trial reserves: a processor, and its share of a GPU where there are CUDA devices."""
    if plan.header.device != "cuda":
        return {"cpu": 1}
    return {"cpu": 1, "gpu": 1 / math.ceil(plan.header.concurrency / accelerator_count())}


def _fit_while_possible(plan: RunPlan, store: SweepStore, view: SweepView, scratch: Path) -> str | None:
    """Run the trials. What is sealed is kept, whatever ends the search; returned is what did, if not the user."""
    try:
        _fit(plan, store, view, scratch)
    except KeyboardInterrupt:
        return None
    except SearchEnded as error:
        return str(error)
    return None


def _fit(plan: RunPlan, store: SweepStore, view: SweepView, scratch: Path) -> None:
    searcher, scheduler = search_for(plan.recipes)
    worker = tune.with_parameters(
        Worker,
        split=plan.split,
        recipes=plan.recipes,
        trials_folder=(store.folder / "trials").absolute(),
    )
    tuner = tune.Tuner(
        tune.with_resources(worker, _reservation(plan)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            metric=METRIC,
            mode="min",
            num_samples=plan.header.trial_count,
            max_concurrent_trials=plan.header.concurrency,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[Sealer(plan, store, view)],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()


class Worker(tune.Trainable):  # type: ignore[misc]
    """Runs one trial after another in one process: the data stays on the device, torch stays imported."""

    def setup(self, config: dict[str, Any], split: Split | Folds, recipes: Drawn | Given, trials_folder: Path) -> None:
        """Upload the data once, then begin the first trial."""
        self.recipes, self.trials_folder = recipes, trials_folder
        use_threads(1)
        self.device = default_device()
        self.data = upload(split, self.device)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        trial = int(config[TRIAL_KEY])
        folder = TrialFolder(self.trials_folder / f"{trial:05d}")
        assigned = self.recipes.assigned(config)
        self.run = TrialRun(trial, assigned.recipe, self.data, self.device, folder, label=assigned.label)

    def step(self) -> dict[str, Any]:
        """Train one epoch."""
        self.run.advance()
        return {METRIC: self.run.best_nll, tune.result.DONE: self.run.finished}


class Sealer(tune.Callback):  # type: ignore[misc]
    """Turns Tune's events into sealed records and the view's events. Lives in the driver."""

    def __init__(self, plan: RunPlan, store: SweepStore, view: SweepView) -> None:
        self.plan, self.store, self.view = plan, store, view

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; terminals and open files stay out of that.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A worker took a trial."""
        self.view.trial_started(int(trial.config[TRIAL_KEY]))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is done."""
        self.view.trial_advanced(int(trial.config[TRIAL_KEY]), int(result[EPOCH]))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial ran to its end or was stopped by the scheduler."""
        folder = self.store.trial(int(trial.config[TRIAL_KEY]))
        record = folder.read_progress()
        assert record is not None, "a trial that reported has progress on disk"
        self._seal(folder, record)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial raised, or its process died: a failed row, and the sweep goes on."""
        check_alive()  # a trial that Ray took with it has not failed
        number = int(trial.config[TRIAL_KEY])
        folder = self.store.trial(number)
        record = folder.read_progress()
        if record is None:
            assigned = self.plan.recipes.assigned(trial.config)
            record = failed_record(number, assigned.recipe, time.time(), _error_text(trial), assigned.label)
        elif record.error is None:
            record = replace(record, status="failed", error=_error_text(trial))
        self._seal(folder, record)

    def _seal(self, folder: TrialFolder, record: RunRecord) -> None:
        try:
            with held_interrupt():
                folder.seal(record)
        except OSError as error:
            raise SearchEnded(f"cannot write to {self.store.folder}: {error.strerror}") from error
        self.view.trial_over(record)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Tune's event loop went round once."""
        check_alive()
        self.view.tick()


def _error_text(trial: Trial) -> str:
    """What Ray knows of a death that the worker could not write down itself."""
    if trial.error_file and os.path.exists(trial.error_file):
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    return "the worker process died"
