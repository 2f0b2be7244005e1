"""What is kept of a trial, a combination and an opening of the test set, as plain frozen values."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

import numpy.typing as npt

from digits_core.metrics import Score
from digits_core.recipe import Recipe, Scalar

LAST_SECOND = 1e11  # since 1970: later is no date that a calendar has

DEFAULT_OBJECTIVES = (
    "nll",
)  # what a search is after where nothing else was asked for: see digits_core.judging.objectives

Status = Literal["finished", "stopped", "failed"]
"""finished: all epochs done; stopped: ended early by the scheduler; failed: see the record's error."""


class RunKind(StrEnum):
    """What a run was made for."""

    SWEEP = "sweep"  # a search
    TRAINING = "training"  # one recipe, trained in the command's own process
    COMPARISON = "comparison"  # named recipes over seeds; nothing was searched
    CONFIRMATION = "confirmation"  # a sweep's best recipes again, on fresh seeds; lies inside the sweep
    REFIT = "refit"  # the same, trained on the validation images as well


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a trial trains, decided before it starts."""

    trial: int
    recipe: Recipe
    label: str = ""  # the name that the recipe goes by, if it has one
    point: Mapping[str, Scalar] | None = None  # its place in the search space; None for one that lies in none
    parent: int | None = None  # the trial from whose last state it goes on; None: it begins anew
    last_epoch: int | None = None  # where it ends, for others to go on from there; None: with its recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Assignment":
        """Inverse of `to_dict`; what does not belong to it is left alone."""
        return Assignment(
            trial=int(values["trial"]),
            recipe=Recipe.from_dict(values["recipe"]),
            label=str(values["label"]),
            point=values["point"],
            parent=values.get("parent"),
            last_epoch=values.get("last_epoch"),
        )


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One point of a learning curve."""

    epoch: int  # 1 for the first
    train_loss: float  # mean of the recipe's loss over the augmented training images
    train_error_count: int  # on those augmented images, while the weights moved
    train_n: int
    validation_nll: float
    validation_error_count: int
    validation_n: int
    seconds: float  # wall time of this epoch, its validation included
    busy_seconds: float  # processor time on CPU, wall time elsewhere
    validation_busy_seconds: float | None = None  # of these: for the validation images; None in older records


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One trial. A failed one has an error; one that validated at least once has a best epoch and its score."""

    trial: int
    status: Status
    recipe: Recipe
    started_at: float  # seconds since 1970
    ended_at: float
    device: str = ""
    precision: str = ""
    execution: str = ""  # "eager", "CUDA graph" or "torch.compile"; with the reason where it is not what auto means
    thread_count: int = 0
    parameter_count: int = 0
    curve: tuple[EpochRow, ...] = ()
    best_epoch: int | None = None
    validation: Score | None = None  # at the best epoch
    error: str | None = None
    label: str = ""  # the name of the recipe that it began from, if it had one
    fold_scores: tuple[Score, ...] = ()  # with cross-validation: each fold on the images it did not see
    parent: int | None = None  # the trial from whose last state it went on
    inherited_epochs: int = 0  # the first of the curve, which are the parent's; the best epoch is not among them
    last_epoch: int | None = None  # after which its state was kept for others; None: it was to end with its recipe

    @property
    def counts(self) -> bool:
        """Whether the trial can win: it has a score and did not fail. A failed one's files may be half written."""
        return self.validation is not None and self.status != "failed"

    @property
    def failure(self) -> str:
        """The line of the error's traceback that says what happened; empty where there is no error."""
        line = (self.error or "").strip().rpartition("\n")[2]
        return re.sub(r"^[\w.]+\.(?=\w+: )", "", line)  # the kind of error without its module

    @property
    def nll(self) -> float:
        """The validation NLL that trials are ranked by; only for a trial that counts."""
        assert self.validation is not None
        return self.validation.nll

    @property
    def train_seconds(self) -> float:
        """Wall time inside training and validation, its parents' not counted."""
        return sum(row.seconds for row in self.curve[self.inherited_epochs :])

    @property
    def busy_seconds(self) -> float:
        """Processor time inside training and validation (wall time on a GPU)."""
        return sum(row.busy_seconds for row in self.curve[self.inherited_epochs :])

    @property
    def image_seconds(self) -> float | None:
        """Time of a forward pass an image, in large batches: what the validation images took at their fastest."""
        rows = [row for row in self.curve if row.validation_busy_seconds is not None]
        return min((float(row.validation_busy_seconds or 0) / row.validation_n for row in rows), default=None)

    @property
    def may_be_gone_on_from(self) -> bool:
        """Whether its last state is kept."""
        last_epoch = self.last_epoch
        return self.status == "finished" and last_epoch is not None and last_epoch < self.recipe.training.epochs

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the recipe's id beside the recipe."""
        return dataclasses.asdict(self) | {"recipe_id": self.recipe.recipe_id}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "RunRecord":
        """Inverse of `to_dict`."""
        fields = dict(values)
        fields.pop("recipe_id", None)
        fields["recipe"] = Recipe.from_dict(fields["recipe"])
        check_fields(RunRecord, fields)
        for row in fields["curve"]:
            check_fields(EpochRow, row)
        fields["curve"] = tuple(EpochRow(**row) for row in fields["curve"])
        fields["validation"] = score_from(fields["validation"]) if fields["validation"] else None
        fields["fold_scores"] = tuple(map(score_from, fields.get("fold_scores", ())))
        return RunRecord(**fields)


def rank(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The trials that count, best first: lowest validation NLL, ties to the earlier trial."""
    return sorted((record for record in records if record.counts), key=lambda record: (record.nll, record.trial))


def by_label(records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs of the same recipe together, by number."""
    groups: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.trial):
        groups.setdefault(record.label, []).append(record)
    return groups


def status_counts(records: Iterable[RunRecord]) -> dict[str, int]:
    """How many trials ended how; all three kinds are named."""
    statuses = [record.status for record in records]
    return {status: statuses.count(status) for status in get_args(Status)}


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One line of the ledger: who looked at the sealed test part, and for what."""

    number: int  # 1 for the first
    at: float  # seconds since 1970
    purpose: str
    trials: tuple[int, ...]
    run: str = ""  # the run inside the sweep's folder whose trials these are; empty for the sweep itself

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Opening":
        """Inverse of `dataclasses.asdict` after a trip through JSON."""
        return Opening(**{**values, "trials": tuple(map(int, values["trials"])), "run": str(values.get("run", ""))})


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is done about trials that go wrong, and how much of the others is kept."""

    max_failures: int = 0  # how often a trial whose process is lost goes on from its last epoch
    trial_timeout_seconds: float | None = None  # None: a trial may take as long as it likes
    keep: int | None = None  # how many of the best trials keep their weights; None: all
    storage: str = "none"  # of the study's copy: a database's address without its password, "sqlite" or "none"


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """How a sweep chooses its recipes and stops the weak ones."""

    search: str
    scheduler: str
    space: dict[str, dict[str, Any]]  # dotted field -> what may be drawn for it, as in a --space file
    base: Recipe  # what a point of the space changes
    first: tuple[Assignment, ...]  # tried before anything is drawn; trial 0 is the yardstick
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "SearchPlan":
        """Inverse of `dataclasses.asdict` after a trip through JSON."""
        base, first = Recipe.from_dict(values["base"]), tuple(map(Assignment.from_dict, values["first"]))
        objectives = tuple(values.get("objectives", DEFAULT_OBJECTIVES))
        return SearchPlan(**{**values, "base": base, "first": first, "objectives": objectives})


@dataclass(frozen=True, kw_only=True)
class SweepHeader:
    """What a sweep was asked to do, on what, with what: written once, before the first trial."""

    name: str
    created_at: float
    dataset: str
    side: int
    data_checksum: str
    split_id: str
    train_n: int
    validation_n: int
    trial_count: int
    max_epochs: int
    seed: int
    concurrency: int
    device: str
    space: dict[str, str]  # dotted field -> readable range
    hardware: str
    versions: dict[str, str]
    kind: RunKind = RunKind.SWEEP
    fold_count: int = 0  # with cross-validation; validation is then every image, each judged by a network that did not
    # see it, and there is no sealed part to open
    policy: Policy = Policy()
    plan: SearchPlan | None = None  # None where nothing was searched

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the search was after."""
        return self.plan.objectives if self.plan else DEFAULT_OBJECTIVES

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "SweepHeader":
        """Inverse of `dataclasses.asdict` after a trip through JSON."""
        _check_types(values)
        policy, plan = Policy(**values.get("policy", {})), values.get("plan")
        kind = RunKind(values.get("kind", RunKind.SWEEP))
        return SweepHeader(**{**values, "kind": kind, "policy": policy, "plan": plan and SearchPlan.from_dict(plan)})


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """How the search went: written once, after the last trial."""

    seconds: float  # wall time of the search, the start of the workers included
    training_share: float  # 0..1, share of the workers' time inside training or validation
    interrupted: bool  # not all trials were run
    error: str | None = None  # what ended it, if it was not the user
    limit: str = ""  # what was asked to end it, and did: a time budget or a target
    database: str = ""  # why trials are missing from the study's copy there, if any are


def _check_types(values: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError for a header with which nothing could be reckoned."""
    for field in dataclasses.fields(SweepHeader):
        value = values.get(field.name, field.default)
        if field.type is float and not (isinstance(value, int | float) and 0 <= value < LAST_SECOND):
            raise TypeError(f"{field.name} is no time")
        if get_origin(field.type) is dict and not isinstance(value, dict):
            raise TypeError(f"{field.name} is no table")
    check_fields(SweepHeader, values)
    for name in ("trial_count", "concurrency", "max_epochs"):
        if values[name] < 1:
            raise ValueError(f"{name} is {values[name]}")


def check_fields(kind: type, values: Mapping[str, Any]) -> None:
    """Raise TypeError where a count, a number or a text of a dataclass is none.

    NaN is a number; what is absent is not looked at.
    """
    for field in dataclasses.fields(kind):
        if field.name not in values:
            continue
        value = values[field.name]
        if field.type in (int, float, str) and isinstance(value, bool):
            raise TypeError(f"{field.name} is {value}")
        if field.type is int and not (isinstance(value, int) and 0 <= value < 2**63):
            raise TypeError(f"{field.name} is no count")
        if field.type is float and not isinstance(value, int | float):
            raise TypeError(f"{field.name} is no number")
        if field.type is str and not isinstance(value, str):
            raise TypeError(f"{field.name} is no text")


def score_from(values: Mapping[str, Any]) -> Score:
    """Inverse of `dataclasses.asdict`. Raises TypeError or ValueError for what cannot be a score."""
    check_fields(Score, values)
    found = Score(**values)
    if not 0 <= found.error_count <= found.n or found.n < 1:
        raise ValueError(f"{found.error_count} of {found.n} images wrong")
    return found


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Arrays by name and the rest as JSON values, in one file: what training goes on from, or a network's inside."""

    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any]
