"""The candidates of a run: its trials or recipes, each with its runs over seeds. Arrays only."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from digits_core.errors import UsageError
from digits_core.judging.stats import Interval, Spread, mean_accuracy_interval, spread_of
from digits_core.metrics import Score, image_nll, score
from digits_core.records import RunKind, RunRecord, by_label
from digits_core.runs.durable import unusable
from digits_core.runs.store import SweepStore

TRIAL_LABEL = "trial "
Probabilities = npt.NDArray[np.float32]  # (N, 10)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The results of S runs of one recipe on the same N images, on validation or test."""

    scores: tuple[Score, ...]  # one per run
    wrong: npt.NDArray[np.bool_]  # (S, N)
    nll: npt.NDArray[np.float32]  # (S, N)

    @staticmethod
    def of(labels: npt.NDArray[np.int64], runs: Iterable[Probabilities]) -> "Answers":
        """Score one array at a time, and keep only what rankings and tests need."""
        scores, wrong, nll = [], [], []
        for probabilities in runs:
            scores.append(score(labels, probabilities))
            wrong.append(probabilities.argmax(axis=1) != labels)
            nll.append(image_nll(labels, probabilities).astype(np.float32))
        return Answers(scores=tuple(scores), wrong=np.stack(wrong), nll=np.stack(nll))

    @property
    def n(self) -> int:
        """The number of images."""
        return int(self.wrong.shape[1])

    @property
    def error_counts(self) -> tuple[int, ...]:
        """One per run."""
        return tuple(one.error_count for one in self.scores)

    @cached_property
    def accuracy(self) -> Spread:
        """Mean and spread over the runs."""
        return spread_of([one.accuracy for one in self.scores])

    @cached_property
    def mean_nll(self) -> float:
        """Mean over the runs; candidates are ranked by it."""
        return float(np.mean([one.nll for one in self.scores]))

    @cached_property
    def brier(self) -> float:
        """Mean over the runs."""
        return float(np.mean([one.brier for one in self.scores]))

    @cached_property
    def ece(self) -> float:
        """Mean over the runs."""
        return float(np.mean([one.ece for one in self.scores]))

    @cached_property
    def interval(self) -> Interval:
        """Wilson's interval for the mean accuracy over the runs."""
        return mean_accuracy_interval(self.error_counts, self.n)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One recipe: a trial of a sweep, or all runs of a comparison with the same label."""

    trial: int  # its number in the sweep; in a comparison, that of the first run
    record: RunRecord  # of the trial; in a comparison, of the first run
    runs: tuple[RunRecord, ...]  # its figures are means over these
    confirmed: bool  # whether these are runs on fresh seeds instead of the trial's own
    validation: Answers
    test: Answers | None  # None unless the sealed test set was opened for all of its runs

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.recipe.training.seed for run in self.runs)

    @property
    def train_seconds(self) -> float:
        """Mean over its runs."""
        return float(np.mean([run.train_seconds for run in self.runs]))


def candidates(store: SweepStore, confirmed: SweepStore | None) -> list[Candidate]:
    """All candidates that count, best first.

    Trials that were confirmed on fresh seeds come before the others: a mean over seeds is worth more than a lucky run.
    Recipes with fewer runs than others come later: none may lead because its worse seeds failed or were not reached.
    Raises UsageError for refitted models, which were trained on the validation set.
    """
    if store.header.kind == RunKind.REFIT:
        raise UsageError(f"{store.header.name!r} was trained on the validation images, so they cannot rank it")
    if store.header.kind in (RunKind.COMPARISON, RunKind.CONFIRMATION):
        groups = by_label(store.ranked())
        found = [_candidate(store, runs[0], runs, confirmed=False) for runs in groups.values()]
    else:
        groups = by_label(confirmed.ranked()) if confirmed is not None else {}
        found = [_trial(store, record, confirmed, groups.get(trial_label(record.trial))) for record in store.ranked()]
    most = max(map(len, groups.values()), default=0)

    def order(one: Candidate) -> tuple[bool, bool, float, int]:
        return not one.confirmed, len(one.runs) < most, one.validation.mean_nll, one.record.trial

    return sorted(found, key=order)


def leading_record(store: SweepStore) -> RunRecord | None:
    """The leader's trial; None if no trial counts."""
    confirmed = store.confirmation() if store.header.kind == RunKind.SWEEP else None
    ranked = store.ranked()
    if confirmed is None or not ranked:
        return ranked[0] if ranked else None
    return candidates(store, confirmed)[0].record


def _trial(
    store: SweepStore, record: RunRecord, confirmed: SweepStore | None, again: list[RunRecord] | None
) -> Candidate:
    """A sweep's trial, judged by its runs on fresh seeds or, if it has none, by its own run."""
    if confirmed is None or not again:
        return _candidate(store, record, [record], confirmed=False)
    if any(run.recipe.recipe_id != record.recipe.recipe_id for run in again):
        raise unusable(
            confirmed.folder / "sweep.json", f"its trial {record.trial} has a different recipe from the sweep's"
        )
    return _candidate(confirmed, record, again, confirmed=True)


def trial_label(trial: int) -> str:
    """The label of the runs that train a trial's recipe again on fresh seeds."""
    return f"{TRIAL_LABEL}{trial}"


def answers_on_test(store: SweepStore) -> dict[str, Answers]:
    """By label, results on the sealed test set. Only labels for which it was opened for every run."""
    groups = by_label(store.ranked())
    return {
        label: Answers.of(store.test_labels(), (store.opened_test_probabilities(run.trial) for run in runs))
        for label, runs in groups.items()
        if all(store.has_opened_test(run.trial) for run in runs)
    }


def _candidate(store: SweepStore, record: RunRecord, runs: list[RunRecord], *, confirmed: bool) -> Candidate:
    def answers(labels: npt.NDArray[np.int64], probabilities: Callable[[int], Probabilities]) -> Answers:
        return Answers.of(labels, (probabilities(run.trial) for run in runs))

    opened = all(store.has_opened_test(run.trial) for run in runs)
    # Runs that confirm a sweep have numbers of their own; their labels name the sweep's trials.
    is_named = store.header.kind == RunKind.CONFIRMATION and record.label.removeprefix(TRIAL_LABEL).isdecimal()
    return Candidate(
        trial=int(record.label.removeprefix(TRIAL_LABEL)) if is_named else record.trial,
        record=record,
        runs=tuple(runs),
        confirmed=confirmed,
        validation=answers(store.validation_labels(), store.validation_probabilities),
        test=answers(store.test_labels(), store.opened_test_probabilities) if opened else None,
    )
