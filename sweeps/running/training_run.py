"""`digits train`: trains one named recipe in this process, with all its threads, and stores it like any trial."""

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Split
from digits_core.data.folds import Folds, cut_digits
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.records import Assignment, EpochRow, RunHeader, RunKind, RunRecord, RunSummary
from digits_core.runs.command_line import resume_command
from digits_core.runs.durable import Content
from digits_core.runs.journal import Journal, read_journal
from digits_core.runs.ownership import check_free, sole_driver
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter, check_new
from digits_core.training.copies import DeviceSplit, Diverged
from digits_core.training.cross_validation import DeviceFolds, fitted, upload
from digits_core.training.device import check_device, default_device
from sweeps.finishing.finish import has_ended, still_sealed
from sweeps.plans.config import TrainingConfig
from sweeps.plans.headers import data_of, header_of
from sweeps.running.objective import Company, failed_record
from sweeps.signals import held_interrupt, ignored_interrupt
from sweeps.words import counted


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What to train, checked, with its data."""

    runs: Path
    header: RunHeader
    assignment: Assignment
    split: Split | Folds
    is_resumed: bool = False

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.runs / self.header.name

    @property
    def line(self) -> str:
        """One line that tells the user what is about to be done."""
        images = f"{self.split.train_count:,} images"
        if isinstance(self.split, Folds):
            images = f"{len(self.split.splits)} folds of {len(self.split.validation):,} images"
        return (
            f"{'resuming' if self.is_resumed else 'training'} {self.assignment.label} on"
            f" {self.header.dataset} ({images}) on {self.header.device},"
            f" at most {counted(self.assignment.recipe.training.epochs, 'epoch')}"
        )


def plan_training(config: TrainingConfig) -> TrainingPlan:
    """Check everything and load the data. Raises UsageError or EnvironmentFailure; writes nothing."""
    device = default_device() if config.device is None else check_device(config.device)
    digits = load_digits(config.dataset or config.named.dataset)
    split = cut_digits(digits, config.fold_count)
    recipe = fitted(config.recipe, digits.side, split)
    check_new(config.runs, config.name)
    header = header_of(
        digits,
        split,
        name=config.name,
        kind=RunKind.TRAINING,
        trial_count=1,
        max_epochs=recipe.training.epochs,
        seed=recipe.training.seed,
        concurrency=1,
        device=device.type,
        space={},
    )
    assignment = Assignment(trial=0, recipe=recipe, label=config.label)
    return TrainingPlan(runs=config.runs, header=header, assignment=assignment, split=split)


def plan_resumed_training(runs: Path, name: str) -> TrainingPlan:
    """Plan the rest of a training run that was killed. Raises UsageError or EnvironmentFailure."""
    run = Run.open(runs, name)
    check_free(run.folder)
    begun = list(run.history.trials.values())
    if not begun or _is_done(run):
        raise UsageError(
            f"{name!r} has nothing left to resume; train again under another name, or first: digits rm {name}"
        )
    split = data_of(run.header, otherwise="started with; restore them, or train again")
    header = replace(run.header, device=check_device(run.header.device).type)
    return TrainingPlan(runs=runs, header=header, assignment=begun[0].assignment, split=split, is_resumed=True)


def _is_done(run: Run) -> bool:
    """Whether the run has its record and all that follows from it."""
    if not run.records or run.summary is None:
        return False
    is_kept = not run.ranked or (run.folder / "best_parameters.json").is_file()
    return is_kept and not (has_ended(run) and still_sealed(run))


def run_training(plan: TrainingPlan, on_epoch: Callable[[EpochRow], None]) -> Run:
    """Train to the last epoch (or until Ctrl-C) and complete the record. Returns the run as it is then.

    Raises EnvironmentFailure if training diverges, the GPU is too small or the folder cannot be written; but for the
    last, the record is completed then too. Raises UsageError if another process trains it.
    """
    started, assignment = time.time(), plan.assignment
    device = check_device(plan.header.device)
    data = upload(plan.split, device)

    def begin(folder: Path) -> None:
        with Journal(folder) as journal:
            journal.session(1, started)
            journal.drawn(assignment)

    with contextlib.ExitStack() as stack:
        held = stack.enter_context(contextlib.ExitStack())
        held.enter_context(held_interrupt())  # no folder is left without a record
        writer = RunWriter(plan.folder)
        if not plan.is_resumed:
            RunWriter.create(plan.runs, plan.header, plan.split, begin)
        stack.enter_context(sole_driver(writer.folder))
        stack.enter_context(_kept(writer))
        journal = stack.enter_context(Journal(writer.folder))
        if plan.is_resumed:
            journal.session(1 + len(read_journal(writer.folder).sessions), started)
        keeper = _Keeper(writer, journal, started)
        record = keeper.folder.read_record()  # whoever was killed after the record, or held the lock, had trained
        if record is None:
            _train(assignment, data, device, keeper, held, on_epoch)
        elif writer.run.summary is None:
            keeper.conclude(record)
    return writer.run


def _train(
    assignment: Assignment,
    data: DeviceSplit | DeviceFolds,
    device: torch.device,
    keeper: "_Keeper",
    held: AbstractContextManager[object],
    on_epoch: Callable[[EpochRow], None],
) -> None:
    """Train and complete the record, whatever happens, unless the folder cannot be written.

    held: holds back the stop signals until the trial is set up.
    """
    record, best = failed_record(assignment, time.time(), "interrupted before its first epoch"), dict[str, Content]()
    diverged: Diverged | None = None
    try:
        with contextlib.suppress(KeyboardInterrupt):
            with held:
                states = {assignment.trial: (keeper.folder.read_state(), None)}
                company = Company([assignment], data, device, states, side_by_side=torch.get_num_threads())
                record = company.record(company.runs[0], "stopped")
            while not company.is_over:
                (progress,) = company.advance()
                record, best = progress.record, {**best, **progress.best}
                if progress.state is not None:
                    keeper.folder.write_state(progress.state)
                diverged = company.runs[0].trained.failure
                if diverged is None:
                    on_epoch(record.curve[-1])
    except OSError:
        raise  # the state is what it was: it can be resumed
    except Exception:
        record = replace(record, status="failed", error=traceback.format_exc(), ended_at=time.time())
        keeper.complete(record, best)
        raise
    keeper.complete(record, best)
    if diverged is not None:
        raise EnvironmentFailure(f"{diverged}; the record is in {keeper.folder.folder}") from diverged


class _Keeper:
    """Writes the files of the run's only trial."""

    def __init__(self, writer: RunWriter, journal: Journal, started: float) -> None:
        self.writer, self.journal, self.started, self.folder = writer, journal, started, writer.trial(0)

    def complete(self, record: RunRecord, best: Mapping[str, Content]) -> None:
        """The training has ended."""
        with ignored_interrupt():
            self.folder.complete(record, best)
            self.conclude(record)

    def conclude(self, record: RunRecord) -> None:
        """The record is complete."""
        self.journal.over(record.trial, record.status)
        self.writer.write_summary(_summary(record, max(time.time() - self.started, record.train_seconds)))


@contextlib.contextmanager
def _kept(writer: RunWriter) -> Iterator[None]:
    """Turn an OSError into an EnvironmentFailure that says how to go on."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFailure(f"{writer.cannot_write(error)}; then: {resume_command(writer.folder)}") from error


def _summary(record: RunRecord, seconds: float) -> RunSummary:
    return RunSummary(
        seconds=seconds,
        training_share=record.train_seconds / seconds,
        interrupted=record.status == "stopped",
        error=record.failure or None,
    )
