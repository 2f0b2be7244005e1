"""Our figures beside published ones: which candidates were trained as published, and what they reach."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digits_core.errors import EnvironmentFailure
from digits_core.judging.candidates import Candidate
from digits_core.judging.stats import Spread, spread_of
from digits_core.recipe import Recipe
from digits_core.recipes import RECIPES, NamedRecipe
from digits_core.records import RunHeader, RunKind
from digits_core.runs.run import Run, runs_in


def published_as(candidate: Candidate) -> NamedRecipe | None:
    """The named recipe of this candidate if it was trained exactly as published, else None."""
    label, header = candidate.record.label, candidate.home.header
    return RECIPES[label] if is_as_published(label, candidate.recipe, header) else None


def is_as_published(label: str, recipe: Recipe, header: RunHeader) -> bool:
    """Whether this is the named recipe, unchanged except for the seed, on its own data set and folds."""
    named = RECIPES.get(label)
    if named is None or (named.dataset, named.folds) != (header.dataset, header.fold_count):
        return False
    return named.build().recipe_id == recipe.recipe_id


def reached(candidate: Candidate, named: NamedRecipe) -> str | None:
    """What reaches the published accuracy: the "mean" over the runs, only the "best" run, or "no" run.

    Judged on the test set if it was opened, else out of fold. None if no comparable accuracy was published.
    """
    if named.published_accuracy is None:
        return None
    part = candidate.test or candidate.validation
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
    for run in runs_in(runs):
        with contextlib.suppress(EnvironmentFailure, ValueError, TypeError, KeyError, OverflowError, SyntaxError):
            for label, seed, figures in _published_runs(run):
                found.setdefault(label, {})[seed] = figures
    return {
        label: Ours(
            accuracy=spread_of([accuracy for accuracy, _, _ in by_seed.values()]),
            n=next(iter(by_seed.values()))[1],
            train_seconds=float(np.mean([seconds for _, _, seconds in by_seed.values()])),
        )
        for label, by_seed in found.items()
    }


def _published_runs(run: Run) -> list[tuple[str, int, tuple[float, int, float]]]:
    """(recipe, seed, (accuracy, images, seconds)) of every run that was trained as published and scored."""
    header = run.header
    if header.kind == RunKind.SWEEP:
        return []
    judged = []
    for record in run.ranked:
        if record.status != "finished" or not is_as_published(record.label, record.recipe, header):
            continue
        if header.fold_count:
            labels, said = run.validation_labels, run.validation_probabilities(record.trial)
        elif run.has_opened_test(record.trial):
            labels, said = run.test_labels, run.test_probabilities(record.trial)
        else:
            continue
        accuracy = float((said.argmax(axis=1) == labels).mean())
        judged.append((record.label, record.recipe.training.seed, (accuracy, len(labels), record.train_seconds)))
    return judged
