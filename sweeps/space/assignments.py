"""The recipes that a run trains: drawn by a search, or given in advance; and which of them are trained as one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from digits_core.recipe import Recipe, Scalar
from digits_core.records import DEFAULT_OBJECTIVES, Assignment
from sweeps.space.spaces import Space


def assignment_at(point: Mapping[str, Scalar], trial: int, base: Recipe, seed: int) -> Assignment:
    """The trial at a point of a space: the base recipe with the point's values and a seed of its own."""
    recipe = base.with_overrides({**point, "training.seed": seed + trial})
    return Assignment(trial=trial, recipe=recipe, point=dict(point))


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The base recipe with values drawn from the space. Every trial has its own seed.

    So a point that is drawn twice is trained from another seed, not just trained again.
    """

    base: Recipe
    space: Space
    seed: int
    search: str
    scheduler: str
    first: tuple[Assignment, ...]
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
    spared: int = 1  # how many of the first trials are never stopped early

    @property
    def max_epochs(self) -> int:
        """Epochs of a trial that is not stopped early."""
        return self.base.training.epochs

    def assignment(self, trial: int, point: Mapping[str, Scalar]) -> Assignment:
        return assignment_at(point, trial, self.base, self.seed)


@dataclass(frozen=True, kw_only=True)
class Given:
    """Trials in the order in which they are trained."""

    assignments: tuple[Assignment, ...]

    @property
    def max_epochs(self) -> int:
        """Epochs of the longest trial."""
        return max(assignment.recipe.training.epochs for assignment in self.assignments)


OTHERS = "others"


def config_of(company: Sequence[Assignment]) -> dict[str, Any]:
    """A company as the configuration of one of Tune's trials: its first assignment, the others under `OTHERS`."""
    first, *others = (assignment.to_dict() for assignment in company)
    return {**first, OTHERS: others} if others else first


def company_of(config: Mapping[str, Any]) -> tuple[Assignment, ...]:
    """Inverse of `config_of`."""
    return tuple(Assignment.from_dict(values) for values in (config, *config.get(OTHERS, ())))


def companies(assignments: Iterable[Assignment]) -> list[tuple[Assignment, ...]]:
    """The assignments that are trained together, each company at the place of its first."""
    found: dict[tuple[int, ...], list[Assignment]] = {}
    for assignment in assignments:
        found.setdefault(assignment.company or (assignment.trial,), []).append(assignment)
    return [tuple(company) for company in found.values()]
