"""Which recipes a run trains: those that a search draws, or some that were decided on beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass

from digits_core.recipe import Recipe, Scalar
from digits_core.records import DEFAULT_OBJECTIVES, Assignment
from sweeps.space.spaces import Space


def assignment_at(point: Mapping[str, Scalar], trial: int, base: Recipe, seed: int) -> Assignment:
    """The trial at a point of a space: the base recipe with the point in it, and a seed of its own."""
    recipe = base.with_overrides({**point, "training.seed": seed + trial})
    return Assignment(trial=trial, recipe=recipe, point=dict(point))


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The base recipe with what was drawn from the space; every trial trains from a seed of its own.

    So a point that is drawn twice is another seed of the same recipe, not the same run again.
    """

    base: Recipe
    space: Space
    seed: int
    search: str
    scheduler: str
    first: tuple[Assignment, ...]
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES

    @property
    def max_epochs(self) -> int:
        """Epochs of a trial that is not stopped early."""
        return self.base.training.epochs

    def assignment(self, trial: int, point: Mapping[str, Scalar]) -> Assignment:
        """The trial at that point."""
        return assignment_at(point, trial, self.base, self.seed)


@dataclass(frozen=True, kw_only=True)
class Given:
    """Trials in the order in which they are to be trained."""

    assignments: tuple[Assignment, ...]

    @property
    def max_epochs(self) -> int:
        """Epochs of the longest."""
        return max(assignment.recipe.training.epochs for assignment in self.assignments)
