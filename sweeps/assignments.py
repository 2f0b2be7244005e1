"""Which recipe a trial trains: one that the search draws, or one that was decided on beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from digits_core.recipe import Recipe
from sweeps.space import Space

TRIAL_KEY = "trial"  # of a Tune configuration: the trial's number


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A recipe, and the name that it goes by if it has one."""

    recipe: Recipe
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The base recipe with what was drawn from the space; every trial trains from a seed of its own."""

    base: Recipe
    space: Space
    seed: int
    trial_count: int

    @property
    def max_epochs(self) -> int:
        """Epochs of a trial that is not stopped early."""
        return self.base.training.epochs

    def assigned(self, config: Mapping[str, Any]) -> Assignment:
        """What a Tune configuration stands for."""
        drawn = {name: value for name, value in config.items() if name != TRIAL_KEY}
        seed = self.seed + int(config[TRIAL_KEY])
        return Assignment(recipe=self.base.with_overrides({**drawn, "training.seed": seed}))


@dataclass(frozen=True, kw_only=True)
class Given:
    """Recipes in the order in which they are to be trained."""

    assignments: tuple[Assignment, ...]

    @property
    def trial_count(self) -> int:
        """How many there are."""
        return len(self.assignments)

    @property
    def max_epochs(self) -> int:
        """Epochs of the longest."""
        return max(assignment.recipe.training.epochs for assignment in self.assignments)

    def assigned(self, config: Mapping[str, Any]) -> Assignment:
        """What a Tune configuration stands for."""
        return self.assignments[int(config[TRIAL_KEY])]
