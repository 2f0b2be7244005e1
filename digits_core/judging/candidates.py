"""The candidates of a run: its trials or recipes, each with its runs over seeds; and which of them leads."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from digits_core.errors import UsageError
from digits_core.judging.answers import Answers
from digits_core.recipe import Recipe
from digits_core.records import RunKind, RunRecord, by_label
from digits_core.runs.durable import unusable
from digits_core.runs.run import HEADER, Run

T = TypeVar("T")
TRIAL_LABEL = "trial "


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One recipe: a trial of a sweep, or all runs of a comparison with the same label. Its arrays are read when asked.

    Its network, where one is asked for (to predict, to export, to look inside), is that of the first of its runs.
    """

    trial: int  # its number in the sweep; in a comparison, that of the first run
    record: RunRecord  # of the trial; in a comparison, of the first run
    home: Run  # in whose folder its runs are: the sweep or comparison, or what confirms the sweep
    runs: tuple[RunRecord, ...]  # its figures are means over these
    confirmed: bool  # whether these are runs on fresh seeds instead of the trial's own

    @property
    def name(self) -> str:
        """As people know it: its label, else its number."""
        return self.record.label or f"trial {self.trial}"

    @property
    def recipe(self) -> Recipe:
        """What its runs were trained by; its seed is the trial's. `digits confirm` may train for more epochs."""
        return self.record.recipe.with_overrides({"training.epochs": self.runs[0].recipe.training.epochs})

    @property
    def searched_epochs(self) -> int | None:
        """The epochs of the trial, if its runs on fresh seeds had another number of them."""
        own = self.record.recipe.training.epochs
        return None if own == self.runs[0].recipe.training.epochs else own

    @property
    def mean_nll(self) -> float:
        """Mean over the runs, from their records; candidates are ranked by it."""
        return float(np.mean([run.nll for run in self.runs]))

    @cached_property
    def validation(self) -> Answers:
        """On the validation set or, with folds, out of fold."""
        said = (self.home.validation_probabilities(run.trial) for run in self.runs)
        folds = tuple(run.fold_scores for run in self.runs)
        return Answers.of(self.home.validation_labels, said, self.seeds, folds)

    @cached_property
    def test(self) -> Answers | None:
        """On the sealed test set; None unless it was opened for all of its runs."""
        if not all(self.home.has_opened_test(run.trial) for run in self.runs):
            return None
        return Answers.of(self.home.test_labels, (self.home.test_probabilities(run.trial) for run in self.runs))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.recipe.training.seed for run in self.runs)

    @property
    def train_seconds(self) -> float:
        """Mean over its runs."""
        return float(np.mean([run.train_seconds for run in self.runs]))


def candidates(run: Run) -> list[Candidate]:
    """All candidates that count, best first. Reads records, no arrays.

    Trials that were confirmed on fresh seeds come before the others: a mean over seeds is worth more than a lucky run.
    Recipes with fewer runs than others come later: else one could lead because its worst seeds failed or never ran.
    Raises UsageError for refitted models, which were trained on the validation set.
    """
    kind = run.header.kind
    if kind == RunKind.REFIT:
        raise UsageError(f"{run.header.name!r} was trained on the validation images, so they cannot rank it")
    confirmed = run.confirmation() if kind == RunKind.SWEEP else None
    if kind in (RunKind.COMPARISON, RunKind.CONFIRMATION):
        groups = by_label(run.ranked)
        found = [_candidate(run, runs[0], runs, confirmed=False) for runs in groups.values()]
    else:
        groups = _on_equal_seeds(confirmed) if confirmed is not None else {}
        found = [_trial(run, record, confirmed, groups.get(trial_label(record.trial))) for record in run.ranked]
    most = max(map(len, groups.values()), default=0)

    def order(one: Candidate) -> tuple[bool, bool, float, int]:
        return not one.confirmed, len(one.runs) < most, one.mean_nll, one.record.trial

    return sorted(found, key=order)


def of_each_architecture(best: Iterable[T], recipe_of: Callable[[T], Recipe], most: int | None) -> list[T]:
    """Of these, best first, at most so many of each architecture; all of them if `most` is None."""
    counts: Counter[str] = Counter()
    chosen = []
    for one in best:
        name = recipe_of(one).model.name
        if most is None or counts[name] < most:
            counts[name] += 1
            chosen.append(one)
    return chosen


def _on_equal_seeds(confirmed: Run) -> dict[str, list[RunRecord]]:
    """The confirmation's runs by recipe. If its time ran out: only those on seeds that all recipes were trained from.

    Else the recipe whose last run ended in time would come before the others.
    """
    groups = by_label(confirmed.ranked)
    if not groups or confirmed.summary is None or not confirmed.summary.limit:
        return groups
    seeds = set.intersection(*({run.recipe.training.seed for run in runs} for runs in groups.values()))
    equal = {label: [run for run in runs if run.recipe.training.seed in seeds] for label, runs in groups.items()}
    return equal if seeds else groups


def leader(run: Run) -> Candidate | None:
    """The first candidate; None if no trial counts."""
    return next(iter(candidates(run)), None)


def _trial(run: Run, record: RunRecord, confirmed: Run | None, again: list[RunRecord] | None) -> Candidate:
    """A sweep's trial, judged by its runs on fresh seeds or, if it has none, by its own run."""
    if confirmed is None or not again:
        return _candidate(run, record, [record], confirmed=False)
    found = _candidate(confirmed, record, again, confirmed=True)
    if {one.recipe.recipe_id for one in again} != {found.recipe.recipe_id}:
        raise unusable(confirmed.folder / HEADER, f"its trial {record.trial} has a different recipe from the sweep's")
    return found


def trial_label(trial: int) -> str:
    """The label of the runs that train a trial's recipe again on fresh seeds."""
    return f"{TRIAL_LABEL}{trial}"


def _candidate(home: Run, record: RunRecord, runs: list[RunRecord], *, confirmed: bool) -> Candidate:
    # Runs that confirm a sweep have numbers of their own; their labels name the sweep's trials.
    is_named = home.header.kind == RunKind.CONFIRMATION and record.label.removeprefix(TRIAL_LABEL).isdecimal()
    return Candidate(
        trial=int(record.label.removeprefix(TRIAL_LABEL)) if is_named else record.trial,
        record=record,
        home=home,
        runs=tuple(runs),
        confirmed=confirmed,
    )


def answers_on_test(run: Run) -> dict[str, Answers]:
    """By label, results on the sealed test set. Only labels for which it was opened for every run."""
    groups = by_label(run.ranked)
    return {
        label: Answers.of(run.test_labels, (run.test_probabilities(one.trial) for one in runs))
        for label, runs in groups.items()
        if all(run.has_opened_test(one.trial) for one in runs)
    }
