"""One row per recipe of a comparison, and our figures beside published ones. Stored arrays in, numbers out."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digits_core.errors import EnvironmentFailure
from digits_core.judging.stats import (
    Interval,
    MeanDifference,
    Spread,
    mean_accuracy_interval,
    seed_mean_difference,
    spread_of,
)
from digits_core.recipe import Recipe
from digits_core.recipes import RECIPES, NamedRecipe
from digits_core.records import RunKind, RunRecord, SweepHeader, by_label
from digits_core.runs.store import SweepStore, sweep_names


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """One recipe on the validation or test set, over its seeds."""

    n: int  # images
    accuracy: Spread  # over seeds
    interval: Interval  # Wilson's, for the mean error count: the range that other images of the same kind might give
    error_counts: tuple[int, ...]  # one per seed
    to_leader: MeanDifference | None  # None for the leader itself


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One recipe. The first row, the leader, has the lowest mean validation NLL of the recipes with the most seeds."""

    label: str
    recipe: Recipe  # of the first run; the others differ in the seed
    trials: tuple[int, ...]
    seeds: tuple[int, ...]
    mean_nll: float  # on validation; rows are ranked by it
    validation: PartResult  # with folds: out of fold, over all images
    test: PartResult | None  # None unless the sealed test set was opened for every run of the comparison
    parameter_count: int
    train_seconds: float  # mean over seeds


def published_as(row: ComparedRow, header: SweepHeader) -> NamedRecipe | None:
    """The named recipe of this row if it was trained exactly as published, else None."""
    return RECIPES[row.label] if is_as_published(row.label, row.recipe, header) else None


def is_as_published(label: str, recipe: Recipe, header: SweepHeader) -> bool:
    """Whether this is the named recipe, unchanged except for the seed, on its own data set and folds."""
    named = RECIPES.get(label)
    if named is None or (named.dataset, named.folds) != (header.dataset, header.fold_count):
        return False
    return named.build().recipe_id == recipe.recipe_id


def reached(row: ComparedRow, named: NamedRecipe) -> str | None:
    """What reaches the published accuracy: the "mean" over the runs, only the "best" run, or "no" run.

    Judged on the test set if it was opened, else out of fold. None if no comparable accuracy was published.
    """
    if named.published_accuracy is None:
        return None
    part = row.test or row.validation
    if part.accuracy.mean >= named.published_accuracy:
        return "mean"
    return "best" if part.accuracy.best >= named.published_accuracy else "no"


@dataclass(frozen=True, kw_only=True)
class Ours:
    """All stored runs of one recipe that were trained as published."""

    accuracy: Spread  # over seeds
    n: int  # images
    train_seconds: float  # mean over seeds


def our_figures(runs: Path) -> dict[str, Ours]:
    """Our figures for each named recipe in the runs folder: on the sealed test set, or out of fold.

    Damaged runs are skipped. If a seed was trained twice, the later run counts.
    """
    found: dict[str, dict[int, tuple[float, int, float]]] = {}
    for name in sweep_names(runs):
        with contextlib.suppress(EnvironmentFailure, ValueError, TypeError, KeyError, OverflowError, SyntaxError):
            for label, seed, figures in _published_runs(SweepStore.open(runs, name)):
                found.setdefault(label, {})[seed] = figures
    return {
        label: Ours(
            accuracy=spread_of([accuracy for accuracy, _, _ in by_seed.values()]),
            n=next(iter(by_seed.values()))[1],
            train_seconds=float(np.mean([seconds for _, _, seconds in by_seed.values()])),
        )
        for label, by_seed in found.items()
    }


def _published_runs(store: SweepStore) -> list[tuple[str, int, tuple[float, int, float]]]:
    """(recipe, seed, (accuracy, images, seconds)) of every run that was trained as published and scored."""
    header = store.header
    if header.kind == RunKind.SWEEP:
        return []
    judged = []
    for record in store.ranked():
        if record.status != "finished" or not is_as_published(record.label, record.recipe, header):
            continue
        labels, probabilities = store.validation_labels(), store.validation_probabilities(record.trial)
        if not header.fold_count:
            opened = store.test_probabilities(record.trial)
            if opened is None:
                continue
            labels, probabilities = store.test_labels(), opened
        accuracy = float((probabilities.argmax(axis=1) == labels).mean())
        judged.append((record.label, record.recipe.training.seed, (accuracy, len(labels), record.train_seconds)))
    return judged


def compare_runs(store: SweepStore) -> tuple[ComparedRow, ...]:
    """The recipes of a comparison, best first. A recipe without a run that counts has no row."""
    by_name = by_label(store.ranked())
    most = max(map(len, by_name.values()), default=0)

    def order(records: list[RunRecord]) -> tuple[bool, float]:
        # A recipe must not lead because its worse seeds failed or were not reached.
        return len(records) < most, float(np.mean([record.nll for record in records]))

    groups = sorted(by_name.values(), key=order)
    validation = _part_results(store.validation_labels(), groups, store.validation_probabilities)
    # On test only if it was opened for every run: differences from the leader need the leader's runs too.
    opened = all(store.has_opened_test(record.trial) for records in groups for record in records)
    test: list[PartResult] | list[None] = [None] * len(groups)
    if groups and opened:
        test = _part_results(store.test_labels(), groups, store.opened_test_probabilities)
    return tuple(
        ComparedRow(
            label=records[0].label,
            recipe=records[0].recipe,
            trials=tuple(record.trial for record in records),
            seeds=tuple(record.recipe.training.seed for record in records),
            mean_nll=float(np.mean([record.nll for record in records])),
            validation=on_validation,
            test=on_test,
            parameter_count=records[0].parameter_count,
            train_seconds=float(np.mean([record.train_seconds for record in records])),
        )
        for records, on_validation, on_test in zip(groups, validation, test, strict=True)
    )


def _part_results(
    labels: npt.NDArray[np.int64],
    groups: list[list[RunRecord]],
    probabilities: Callable[[int], npt.NDArray[np.float32]],
) -> list[PartResult]:
    """The results of each group of runs on one set; the first group is the leader."""
    wrong = [
        np.stack([probabilities(record.trial).argmax(axis=1) != labels for record in records]) for records in groups
    ]
    return [_part_result(runs, wrong[0] if position else None) for position, runs in enumerate(wrong)]


def _part_result(wrong: npt.NDArray[np.bool_], leader_wrong: npt.NDArray[np.bool_] | None) -> PartResult:
    error_counts, n = wrong.sum(axis=1), wrong.shape[1]
    to_leader = None
    if leader_wrong is not None:
        to_leader = seed_mean_difference(wrong, leader_wrong)
    return PartResult(
        n=n,
        accuracy=spread_of([1 - int(count) / n for count in error_counts]),
        interval=mean_accuracy_interval(error_counts.tolist(), n),
        error_counts=tuple(int(count) for count in error_counts),
        to_leader=to_leader,
    )
