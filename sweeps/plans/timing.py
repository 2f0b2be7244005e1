"""Which runs of a confirmation there is time for, and how long they train, reckoned from the times of the sweep."""

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from digits_core.errors import UsageError
from digits_core.judging.candidates import trial_label
from digits_core.records import RunRecord
from digits_core.runs.journal import History, TrialHistory
from sweeps.plans.ending import START_SECONDS
from sweeps.words import duration

TIME_MARGIN = 1.1
"""Runs are reckoned to take this much longer than in the sweep: one that does not end in time does not count, and a
machine that is busy for many minutes gets slower."""


@dataclass(frozen=True, kw_only=True)
class Reckoning:
    """What there is to train, and how long it takes."""

    seconds_left: float
    concurrency: int
    seeds: Sequence[int]  # fresh ones, in order
    images_share: float = 1.0  # images that a run trains on, by those that a trial of the sweep did
    test_n: int = 0  # images that each run is tested on afterwards
    earlier: History | None = None  # of the same confirmation

    @cached_property
    def over(self) -> set[tuple[str, int]]:
        """Label and seed of the runs that have ended."""
        return _labels_and_seeds(self.earlier.over) if self.earlier else set()

    @cached_property
    def unfinished(self) -> set[tuple[str, int]]:
        """Those that were begun and have not ended: they are trained first."""
        return _labels_and_seeds(self.earlier.unfinished) if self.earlier else set()

    def training_seconds(self, record: RunRecord) -> float:
        """Of one run of this trial's recipe: as long as in the sweep, in proportion to its epochs and images."""
        epochs = len(record.curve) - record.inherited_epochs
        return record.train_seconds / epochs * record.recipe.training.epochs * self.images_share

    def fits(self, chosen: Sequence[RunRecord], seed_count: int) -> bool:
        """Whether these recipes can be trained from so many seeds, and tested, in time."""
        cost = {trial_label(record.trial): self.training_seconds(record) for record in chosen}
        testing = sum((record.image_seconds or 0.0) * self.test_n for record in chosen) * seed_count
        at_least = seed_count * sum(cost.values()) - sum(cost.get(label, 0.0) for label, _ in self.over)
        if TIME_MARGIN * at_least / self.concurrency > self.seconds_left:
            return False  # without looking at each run
        usual, there = sum(cost.values()) / len(cost), self.over | self.unfinished
        runs = [cost.get(label, usual) for label, _ in self.unfinished]
        runs += [
            seconds for seed in self.seeds[:seed_count] for label, seconds in cost.items() if (label, seed) not in there
        ]
        if not runs:
            return True
        workers = [0.0] * self.concurrency
        for one in runs:
            workers[workers.index(min(workers))] += one
        return START_SECONDS + TIME_MARGIN * max(workers) + testing <= self.seconds_left


def _labels_and_seeds(runs: Iterable[TrialHistory]) -> set[tuple[str, int]]:
    return {(one.assignment.label, one.assignment.recipe.training.seed) for one in runs}


def _worth(possible: tuple[int, int, int]) -> tuple[int, int, int, int, int]:
    """To compare lengths of training, numbers of recipes and of seeds by."""
    length, recipes, seeds = possible
    return min(seeds, 2), length, min(recipes, 2), recipes * seeds, recipes


def _is_too_many(reckoning: Reckoning, chosen: Sequence[RunRecord], seed_count: int) -> int:
    return int(not reckoning.fits(chosen, seed_count))


def for_epochs(record: RunRecord, epochs: int) -> RunRecord:
    """The trial, with its recipe trained for this many epochs instead."""
    return replace(record, recipe=record.recipe.with_overrides({"training.epochs": epochs}))


def in_time(
    chosen: list[RunRecord], reckoning: Reckoning, most_epochs: int | None = None
) -> tuple[list[RunRecord], int]:
    """The recipes, best first, and the number of seeds that there is time for.

    most_epochs: train the recipes for up to so many epochs, if that is longer than their own; None: for their own.

    If that is not all that was asked for: first two seeds, then as many epochs as possible, then two recipes, then as
    many runs as possible, of as many recipes as possible. All recipes get the same seeds. Raises UsageError if not even
    one run can end in time.
    """
    most = len(reckoning.seeds)
    longer = range(max(record.recipe.training.epochs for record in chosen) + 1, (most_epochs or 0) + 1)
    lengths = [chosen, *([for_epochs(record, epochs) for record in chosen] for epochs in longer)]
    possible: list[tuple[int, int, int]] = []
    for length, count in itertools.product(range(len(lengths)), range(1, len(chosen) + 1)):
        # The more seeds, the longer: the first number that does not fit ends it.
        too_many = partial(_is_too_many, reckoning, lengths[length][:count])
        seeds = bisect.bisect_left(range(1, most + 1), 1, key=too_many)
        if seeds:
            possible.append((length, count, seeds))
    if possible:
        length, recipes, seeds = max(possible, key=_worth)
        return lengths[length][:recipes], seeds
    shortest = min(map(reckoning.training_seconds, chosen))
    raise UsageError(
        f"no time to confirm: a run takes about {duration(shortest)}, and {duration(reckoning.seconds_left)} of the"
        " time budget are left; raise --time-budget or leave it out"
    )
