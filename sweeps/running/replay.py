"""`digits replay`: trains a stored trial again and counts how many of its predictions differ."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from digits_core.environment import hardware_name, package_versions, processor_count
from digits_core.errors import UsageError
from digits_core.judging.candidates import leader
from digits_core.recipe import Recipe
from digits_core.records import EpochRow, RunRecord
from digits_core.runs.run import Run
from digits_core.training.crew import Crew
from digits_core.training.cross_validation import trained_by, upload
from digits_core.training.device import check_device
from sweeps.plans.headers import data_of
from sweeps.plans.recovery import known_history
from sweeps.running.objective import use_threads


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A trial trained twice, compared on its validation images."""

    record: RunRecord
    n: int
    differing_count: int  # images with a different prediction
    largest_difference: float  # of any probability; 0 means bit-identical
    changes: tuple[str, ...]  # what has changed: hardware, versions, precision

    @property
    def same_bits(self) -> bool:
        """Whether all probabilities are bit-identical."""
        return self.largest_difference == 0


def choose_trial(run: Run, trial: int | None) -> tuple[Run, RunRecord]:
    """The record of this trial, or of the leader's first run if None, and the run whose folder it is in.

    Raises UsageError if it has no predictions.
    """
    ranked, leads = run.ranked, leader(run)
    if leads is None:
        raise UsageError(f"{run.header.name!r} has no trial with predictions to compare")
    if trial is None:
        return leads.home, leads.runs[0]
    found = [record for record in ranked if record.trial == trial]
    if not found:
        known = ", ".join(str(record.trial) for record in sorted(ranked, key=lambda record: record.trial)[:10])
        raise UsageError(f"{run.header.name!r} has no trial {trial} with predictions; it has {known}")
    return run, found[0]


def replay(run: Run, record: RunRecord, on_epoch: Callable[[EpochRow], None]) -> Replay:
    """Train the record's recipe again for as many epochs, on the same kind of device with as many threads.

    Trials that were trained with it as one network are trained with it again.

    Raises EnvironmentFailure if the data or the split have changed, UsageError if the device is missing or the trial
    continued from another trial's weights.
    """
    if record.parent is not None:
        raise UsageError(
            f"trial {record.trial} continued from the weights of trial {record.parent}, so its recipe alone does not"
            " reproduce it; replay a trial that was trained from scratch"
        )
    header = run.header
    data = data_of(header, otherwise="was trained on")
    device = check_device(record.device.partition(":")[0])
    use_threads(record.thread_count)
    images = upload(data, device)
    company = [trained_by(recipe, images) for recipe in _recipes_in_company(run, record)]
    trial = company[record.company.index(record.trial) if record.company else 0]
    side_by_side = processor_count() if record.thread_count == 1 else 1
    crew = Crew(company, device, side_by_side=side_by_side, most=record.stack_size)
    for _ in record.curve:  # not all epochs of the recipe, where the trial was stopped early
        crew.run_epoch()
        on_epoch(trial.curve[-1])
    assert trial.best is not None
    stored, again = run.validation_probabilities(record.trial), trial.best.validation_probabilities
    precision = str(crew.precision).removeprefix("torch.")
    return Replay(
        record=record,
        n=len(stored),
        differing_count=int((stored.argmax(axis=1) != again.argmax(axis=1)).sum()),
        largest_difference=float(np.abs(stored - again).max()),
        changes=_changes(run, record, precision),
    )


def _recipes_in_company(run: Run, record: RunRecord) -> list[Recipe]:
    """Those that were trained as one network with the record's, in their order; its own if it was alone."""
    if not record.company:
        return [record.recipe]
    known = known_history(run).trials
    missing = [number for number in record.company if number not in known]
    if missing:
        raise UsageError(f"trial {record.trial} was trained with trial {missing[0]}, which this run does not know")
    return [known[number].assignment.recipe for number in record.company]


def _changes(run: Run, record: RunRecord, precision: str) -> tuple[str, ...]:
    """What differs from the environment of the first training, in words."""
    header, versions = run.header, package_versions()
    then_and_now = [
        ("hardware", header.hardware, hardware_name()),
        ("precision", record.precision, precision),
        *((package, version, versions.get(package, "none")) for package, version in header.versions.items()),
    ]
    return tuple(f"{what} {then} -> {now}" for what, then, now in then_and_now if then != now)
