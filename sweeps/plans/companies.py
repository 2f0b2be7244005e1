"""Which trials of a run are trained together, as one network."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from digits_core.records import Assignment
from digits_core.training.stacking import copies_that_pay, why_not_stacked


def in_companies(
    assignments: Sequence[Assignment], *, side: int, fold_count: int, device: str, concurrency: int
) -> tuple[Assignment, ...]:
    """The assignments, told which of them are trained as one network: seeds of one recipe, as many as pay.

    All workers get some: so many at a time that each has its share of all trials. Seeds of a recipe that cannot be
    stacked are companies of one, so that their records say why. side: of the images; device: its type.
    """
    share = math.ceil(len(assignments) / concurrency)
    by_recipe: dict[tuple[str, str], list[Assignment]] = {}
    for one in assignments:
        alike = one.recipe.with_overrides({"training.seed": 0})
        by_recipe.setdefault((one.label, alike.to_json()), []).append(one)
    found: dict[int, tuple[int, ...]] = {}
    for alike_ones in by_recipe.values():
        most = min(share, copies_that_pay(alike_ones[0].recipe, side, device) // max(fold_count, 1))
        for company in _even(alike_ones, most) if most > 1 else []:
            numbers = tuple(one.trial for one in company)
            found.update({number: numbers for number in numbers if len(numbers) > 1})
        if len(alike_ones) > 1 and why_not_stacked(alike_ones[0].recipe):
            found.update({one.trial: (one.trial,) for one in alike_ones})
    return tuple(replace(one, company=found.get(one.trial, ())) for one in assignments)


def _even(alike: Sequence[Assignment], most: int) -> Iterable[Sequence[Assignment]]:
    """In groups of at most so many, as equal in size as possible."""
    size = math.ceil(len(alike) / math.ceil(len(alike) / most))
    return [alike[start : start + size] for start in range(0, len(alike), size)]
