"""`digits train`: trains one named recipe in this process, with all its threads, and stores it like any trial."""

import contextlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, Split
from digits_core.data.folds import Folds, cut_digits
from digits_core.errors import EnvironmentFailure
from digits_core.metrics import Score
from digits_core.recipe import Recipe
from digits_core.records import Assignment, EpochRow, RunKind, RunRecord, SweepSummary
from digits_core.runs.durable import Content
from digits_core.runs.store import SweepStore, check_new
from digits_core.training.cross_validation import fitted, upload
from digits_core.training.device import check_device, default_device
from digits_core.training.engine import Diverged
from sweeps.finishing.opening import keep_best_parameters, score_leader_on_test
from sweeps.plans.config import TrainingConfig
from sweeps.plans.headers import header_of
from sweeps.running.objective import TrialRun, failed_record
from sweeps.signals import held_interrupt, ignored_interrupt
from sweeps.words import counted


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A checked configuration with its data."""

    config: TrainingConfig
    recipe: Recipe
    digits: Digits
    split: Split | Folds
    device: str

    @property
    def line(self) -> str:
        """One line that tells the user what is about to be done."""
        images = f"{self.split.train_count:,} images"
        if isinstance(self.split, Folds):
            images = f"{len(self.split.splits)} folds of {len(self.split.validation):,} images"
        return (
            f"training {self.config.label} on {self.digits.name} ({images}) on {self.device},"
            f" at most {counted(self.recipe.training.epochs, 'epoch')}"
        )


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    """A training run that has ended."""

    store: SweepStore
    record: RunRecord
    test: Score | None  # None if it was interrupted or cross-validated: the test set is not opened then


def plan_training(config: TrainingConfig) -> TrainingPlan:
    """Check everything and load the data. Raises UsageError or EnvironmentFailure; writes nothing."""
    device = default_device() if config.device is None else check_device(config.device)
    digits = load_digits(config.dataset or config.named.dataset)
    split = cut_digits(digits, config.fold_count)
    recipe = fitted(config.recipe, digits.side, split)
    check_new(config.runs, config.name)
    return TrainingPlan(config=config, recipe=recipe, digits=digits, split=split, device=device.type)


def run_training(plan: TrainingPlan, on_epoch: Callable[[EpochRow], None]) -> TrainingOutcome:
    """Train to the last epoch (or until Ctrl-C), complete the record and open the sealed test set once for it.

    Raises EnvironmentFailure if training diverges or the GPU is too small; the record is completed then too.
    """
    started = time.time()
    device = check_device(plan.device)
    header = header_of(
        plan.digits,
        plan.split,
        name=plan.config.name,
        kind=RunKind.TRAINING,
        trial_count=1,
        max_epochs=plan.recipe.training.epochs,
        seed=plan.recipe.training.seed,
        concurrency=1,
        device=plan.device,
        space={},
    )
    data = upload(plan.split, device)
    with contextlib.ExitStack() as hold:
        hold.enter_context(held_interrupt())  # no folder is left without a record
        store = SweepStore.create(plan.config.runs, header, plan.split)
        folder = store.trial(0)
        held = hold.pop_all()
    assignment = Assignment(trial=0, recipe=plan.recipe, label=plan.config.label)
    record, best = failed_record(assignment, started, "interrupted before its first epoch"), dict[str, Content]()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            with held:  # Ctrl-C takes effect once the trial is set up
                run = TrialRun(assignment, data, device)
                record = run.record("stopped")
            while not run.finished:
                progress = run.advance()
                record, best = progress.record, {**best, **progress.best}
                on_epoch(record.curve[-1])
    except Exception as error:
        record = replace(record, status="failed", error=traceback.format_exc(), ended_at=time.time())
        if isinstance(error, Diverged):
            raise EnvironmentFailure(f"{error}; the record is in {folder.folder}") from error
        raise
    finally:
        with ignored_interrupt():
            folder.complete(record, best)
            store.write_summary(_summary(record, time.time() - started))
    if record.counts:
        keep_best_parameters(store)
    is_testable = record.status == "finished" and not header.fold_count
    test = score_leader_on_test(store, f"end of training {record.label}") if is_testable else None
    return TrainingOutcome(store=store, record=record, test=test)


def _summary(record: RunRecord, seconds: float) -> SweepSummary:
    return SweepSummary(
        seconds=seconds,
        training_share=record.train_seconds / seconds,
        interrupted=record.status == "stopped",
        error=record.failure or None,
    )
