"""Which trials of a run are trained together, as one network."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from digits_core.records import Assignment
from digits_core.training.stacking import copies_that_pay, why_not_stacked

SAVED_AT_LEAST = 0.1
"""Each further trial of a company is reckoned to take this share less than a trial alone. About the least that was
measured where stacking pays, so that companies do not grow so large that other workers idle."""

Alike = Sequence[Assignment]  # of one recipe, but for their seeds


def in_companies(
    assignments: Sequence[Assignment], *, side: int, fold_count: int, device: str, concurrency: int
) -> tuple[Assignment, ...]:
    """The assignments, told which of them are trained as one network: seeds of one recipe, as many as pay.

    The workers share the companies so that all are done early. Seeds of a recipe that cannot be stacked are companies
    of one, so that their records say why. side: of the images; device: its type.
    """
    by_recipe: dict[tuple[str, str], list[Assignment]] = {}
    for one in assignments:
        alike = one.recipe.with_overrides({"training.seed": 0})
        by_recipe.setdefault((one.label, alike.to_json()), []).append(one)
    most = {
        key: max(1, copies_that_pay(alike[0].recipe, side, device) // max(fold_count, 1)) if len(alike) > 1 else 1
        for key, alike in by_recipe.items()
    }
    splits = [
        [company for key, alike in by_recipe.items() for company in _split(alike, parts, most[key])]
        for parts in range(1, max(map(len, by_recipe.values()), default=0) + 1)
    ]
    earliest = min(splits, key=lambda split: _end(split, concurrency), default=[])
    found = {one.trial: tuple(other.trial for other in company) for company in earliest for one in company}
    explained = {
        one.trial
        for alike in by_recipe.values()
        if len(alike) > 1 and why_not_stacked(alike[0].recipe)
        for one in alike
    }
    is_told = {trial: len(company) > 1 or trial in explained for trial, company in found.items()}
    return tuple(replace(one, company=found[one.trial] if is_told[one.trial] else ()) for one in assignments)


def _split(alike: Alike, parts: int, most: int) -> list[Alike]:
    """In this many companies of nearly equal size; in more, if they would be larger than `most`."""
    parts = min(len(alike), max(parts, math.ceil(len(alike) / most)))
    ends = [math.ceil(len(alike) * part / parts) for part in range(parts + 1)]
    return [alike[first:last] for first, last in itertools.pairwise(ends)]


def _end(companies: Sequence[Alike], concurrency: int) -> float:
    """When the last company would end, in times of a trial alone, if a free worker always takes the next one."""
    workers = [0.0] * concurrency
    for company in sorted(companies, key=lambda company: company[0].trial):
        first_free = workers.index(min(workers))
        workers[first_free] += len(company) - SAVED_AT_LEAST * (len(company) - 1)
    return max(workers)
