"""What is stored of a run and its trials: assignments, trial records, ledger entries, headers. Plain frozen values.

Their types are the schema by which they are checked when they are read: see digits_core.stored.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

import numpy.typing as npt

from digits_core.metrics import Score
from digits_core.recipe import Recipe, Scalar
from digits_core.stored import Checksum, Count, Positive, Seconds, TrialNumber, asked_trials, from_values

# What a search optimises unless told otherwise; see digits_core.judging.objectives.
DEFAULT_OBJECTIVES = ("nll",)

Status = Literal["finished", "stopped", "failed"]
"""finished: all epochs done; stopped: ended early by the scheduler; failed: see the record's error."""


class RunKind(StrEnum):
    """What a run is for."""

    SWEEP = "sweep"  # a search
    TRAINING = "training"  # one recipe, trained in the command's own process
    COMPARISON = "comparison"  # named recipes over several seeds, without a search
    CONFIRMATION = "confirmation"  # a sweep's best recipes trained again on fresh seeds; stored inside the sweep
    REFIT = "refit"  # like a confirmation, but trained on the validation set as well


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a trial is to train, fixed before it starts."""

    trial: TrialNumber
    recipe: Recipe
    label: str = ""  # the recipe's name, if it has one
    point: Mapping[str, Scalar] | None = None  # its point in the search space; None if it is not in one
    parent: TrialNumber | None = None  # the trial from whose last state it continues; None: it starts from scratch
    last_epoch: Count | None = None  # stops here so that others can continue from it; None: runs its whole recipe
    # The trials that are to be trained with it as one network, itself included; empty: it is trained alone. Only
    # itself: the run has other seeds of its recipe, which cannot be one network with it.
    company: tuple[TrialNumber, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Assignment":
        """Inverse of `to_dict`; other keys are ignored. Raises ValueError for values that do not fit."""
        return from_values(Assignment, values, with_others=True)


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One epoch: a point of the learning curve."""

    epoch: Positive  # counted from 1
    train_loss: float  # mean of the recipe's loss over the augmented training images
    train_error_count: Count  # on the same augmented images, while the weights were changing
    train_n: Positive
    validation_nll: float
    validation_error_count: Count
    validation_n: Positive
    # Wall time of this epoch, validation included; if trained with others, this trial's share of it.
    seconds: Seconds
    busy_seconds: Seconds  # processor time on a CPU, wall time on other devices; shared likewise
    validation_busy_seconds: Seconds | None = None  # of busy_seconds; None in older records


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One trial. If it failed, it has an error; if it validated at least once, it has a best epoch and its score."""

    trial: TrialNumber
    status: Status
    recipe: Recipe
    started_at: Seconds  # seconds since 1970
    ended_at: Seconds
    device: str = ""
    precision: str = ""
    # "eager", "CUDA graph" or "torch.compile"; with the reason if auto had to fall back, how many networks were trained
    # as one, or why they were not.
    execution: str = ""
    thread_count: Count = 0
    parameter_count: Count = 0
    curve: tuple[EpochRow, ...] = ()
    best_epoch: Positive | None = None
    validation: Score | None = None  # at the best epoch
    error: str | None = None
    label: str = ""  # the name of the recipe it started from, if that had one
    fold_scores: tuple[Score, ...] = ()  # with cross-validation: each fold's score on the images it held out
    parent: TrialNumber | None = None  # the trial from whose last state it continued
    inherited_epochs: Count = 0  # leading rows of the curve that are the parent's; the best epoch is never among them
    last_epoch: Count | None = None  # its state was kept here for others; None: it was to run its whole recipe
    company: tuple[TrialNumber, ...] = ()  # as in its assignment
    stack_size: Positive = 1  # how many networks its first was trained with as one, itself included, when it began
    files: Mapping[str, Checksum] = field(default_factory=dict, compare=False)  # none in old records

    @property
    def counts(self) -> bool:
        """Whether the trial is ranked: it has a score and did not fail. A failed trial's files may be half written."""
        return self.validation is not None and self.status != "failed"

    @property
    def failure(self) -> str:
        """The last line of the error's traceback, which says what happened; empty if there is no error."""
        line = (self.error or "").strip().rpartition("\n")[2]
        return re.sub(r"^[\w.]+\.(?=\w+: )", "", line)  # the exception's name without its module

    @property
    def nll(self) -> float:
        """The validation NLL by which trials are ranked. Only for trials that count."""
        assert self.validation is not None
        return self.validation.nll

    @property
    def train_seconds(self) -> float:
        """Wall time spent training and validating, without the epochs inherited from parents."""
        return sum(row.seconds for row in self.curve[self.inherited_epochs :])

    @property
    def busy_seconds(self) -> float:
        """Like `train_seconds`, in processor time (wall time on a GPU)."""
        return sum(row.busy_seconds for row in self.curve[self.inherited_epochs :])

    @property
    def image_seconds(self) -> float | None:
        """Seconds per image of a forward pass in large batches, from the fastest validation; None if not measured."""
        rows = [row for row in self.curve if row.validation_busy_seconds is not None]
        return min((float(row.validation_busy_seconds or 0) / row.validation_n for row in rows), default=None)

    @property
    def keeps_state(self) -> bool:
        """Whether its last state was kept, so that other trials can continue from it."""
        last_epoch = self.last_epoch
        return self.status == "finished" and last_epoch is not None and last_epoch < self.recipe.training.epochs

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the recipe's id next to the recipe."""
        return dataclasses.asdict(self) | {"recipe_id": self.recipe.recipe_id}


def rank(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The trials that count, best first: lowest validation NLL; ties go to the earlier trial."""
    return sorted((record for record in records if record.counts), key=lambda record: (record.nll, record.trial))


def by_label(records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """The trials grouped by label, each group in order of trial number."""
    groups: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.trial):
        groups.setdefault(record.label, []).append(record)
    return groups


def status_counts(records: Iterable[RunRecord]) -> dict[str, int]:
    """How many trials ended with each status; all three are listed, even at 0."""
    statuses = [record.status for record in records]
    return {status: statuses.count(status) for status in get_args(Status)}


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One line of the ledger: the trials for which the sealed test set was opened, and why."""

    number: Positive  # counted from 1
    at: Seconds  # seconds since 1970
    purpose: str
    trials: tuple[TrialNumber, ...]
    run: str = ""  # the run inside the sweep's folder that the trials belong to; empty for the sweep itself


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How failing trials are handled, and how much of the others is kept."""

    max_failures: Count = 0  # how often a trial whose process was lost is resumed from its last epoch
    trial_timeout_seconds: Seconds | None = None  # None: no time limit
    keep: Count | None = None  # how many of the best trials keep their weights; None: all
    storage: str = "none"  # where the study is copied: a database address without its password, "sqlite" or "none"


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """How a sweep chooses its recipes and stops weak trials."""

    search: str
    scheduler: str
    space: dict[str, dict[str, Any]]  # dotted field -> what may be sampled for it, as in a --space file
    base: Recipe  # the recipe that points of the space modify
    first: tuple[Assignment, ...]  # trials that run before sampling starts; trial 0 is the baseline
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
    spared: Count = 1  # how many of the first trials are never stopped early
    final_epochs: Positive | None = None  # of a confirmation that follows the search; None: as many as a trial


@dataclass(frozen=True, kw_only=True)
class RunHeader:
    """What a run was asked to do, on which data and machine. Written once, before the first trial."""

    name: str
    created_at: Seconds
    dataset: str
    side: Positive
    data_checksum: str
    split_id: str
    train_n: Count
    validation_n: Count
    trial_count: Positive
    max_epochs: Positive
    seed: Count
    concurrency: Positive
    device: str
    space: dict[str, str]  # dotted field -> human-readable range
    hardware: str
    versions: dict[str, str]
    kind: RunKind = RunKind.SWEEP
    # Of cross-validation: validation then covers every image, predicted out of fold, and there is no sealed test set.
    fold_count: Count = 0
    policy: Policy = Policy()
    plan: SearchPlan | None = None  # None without a search

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the search optimised."""
        return self.plan.objectives if self.plan else DEFAULT_OBJECTIVES

    @property
    def asked_trials(self) -> int | None:
        """How many trials were asked for; None if the time budget alone decides."""
        return asked_trials(self.trial_count)


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How the search went. Written once, after the last trial."""

    seconds: Seconds  # wall time of the search, including the start of the workers
    training_share: float  # 0..1, share of the workers' time spent training or validating
    interrupted: bool  # stopped before all trials ended
    error: str | None = None  # what ended it, unless it was the user
    limit: str = ""  # the requested limit that ended it, if any: a time budget or a target
    database: str = ""  # why trials are missing from the study's copy in the database, if any are


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Named arrays plus JSON values, stored in one file: what training resumes from, or a network's inner workings."""

    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any]
