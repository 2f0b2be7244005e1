"""What a user asks of a sweep or a training run, checked before anything starts or takes seconds to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from digits_core.data import check_dataset
from digits_core.errors import UsageError
from digits_core.recipe import LARGEST_SEED, MOST_EPOCHS, Recipe, Scalar
from digits_core.recipes import named_recipe
from digits_core.store import check_name

MOST_TRIALS = 99_999  # their folders are numbered with five digits
MOST_AT_A_TIME = 1_000


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What the user asked for."""

    runs: Path
    name: str
    dataset: str = "sklearn-digits"
    trials: int = 100
    seed: int = 0
    max_epochs: int | None = None  # None: what suits the data set
    concurrency: int | None = None  # None: all processors, or one trial a GPU

    def __post_init__(self) -> None:
        check_dataset(self.dataset)
        check_name(self.name)
        for option, value, high in (
            ("--trials", self.trials, MOST_TRIALS),
            ("--max-epochs", self.max_epochs, MOST_EPOCHS),
            ("--concurrency", self.concurrency, MOST_AT_A_TIME),
        ):
            if value is not None and not 1 <= value <= high:
                raise UsageError(f"{option} must be between 1 and {high:,}, got {value:,}")
        if not 0 <= self.seed <= LARGEST_SEED - self.trials:
            raise UsageError(f"--seed must be between 0 and {LARGEST_SEED - self.trials}, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One named recipe, with changes, on its own data set or another."""

    runs: Path
    name: str
    recipe_name: str
    overrides: Mapping[str, Scalar] = field(default_factory=dict)
    dataset: str | None = None  # None: the recipe's own
    device: str | None = None  # None: the best there is
    folds: int | None = None  # None: as the recipe was published; 0: a single split

    def __post_init__(self) -> None:
        check_name(self.name)
        _ = self.recipe  # built once here, to refuse what it cannot be
        if self.folds is not None and (self.folds < 0 or self.folds == 1):
            raise UsageError(f"--folds must be at least 2, or 0 for a single split, got {self.folds}")
        if self.dataset is not None:
            check_dataset(self.dataset)

    @property
    def recipe(self) -> Recipe:
        """The named recipe with the overrides in it."""
        return named_recipe(self.recipe_name).build().with_overrides(self.overrides)

    @property
    def fold_count(self) -> int:
        """Folds to train on; 0 means a single split."""
        return named_recipe(self.recipe_name).folds if self.folds is None else self.folds
