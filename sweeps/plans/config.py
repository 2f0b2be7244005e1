"""What the user asks of each kind of run, checked before anything starts and before any slow import."""

import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from digits_core.data.datasets import check_dataset, shares_images
from digits_core.errors import UsageError, check_count, unknown_name
from digits_core.recipe import LARGEST_SEED, MOST_EPOCHS, Recipe, Scalar
from digits_core.recipes import NOT_PUBLISHED, RECIPES, NamedRecipe, named_recipe
from digits_core.records import DEFAULT_OBJECTIVES
from digits_core.runs.run import check_name
from digits_core.stored import MOST_TRIALS
from sweeps.space.spaces import NOT_SEARCHED

AUTO: Literal["auto"] = "auto"
GpuShare = float | Literal["auto"] | None
"""GPUs per trial: a number, "auto" (as measured for its architecture), or None (1/n if --concurrency puts n on one)."""

NO_CONFIRMATION = (
    "--then confirm cannot be used with --scheduler pbt, whose recipes do not reproduce their trials: use --then"
    " ensemble or another scheduler"
)
MOST_AT_A_TIME = 1_000
MOST_SEEDS = 1_000
MOST_FAILURES = 100
DEFAULT_TRIALS = 100
DEFAULT_MAX_FAILURES = 2
DEFAULT_KEEP = 10

SEARCHES = {
    "tpe": "tree-structured Parzen estimators (Bergstra et al. 2011): the default, works well from few trials",
    "gp": "a Gaussian process: for few, expensive trials; conditional parameters are drawn at random",
    "cmaes": "CMA-ES (Hansen 2016): for continuous ranges and many trials; choices are drawn at random",
    "random": "independent draws: the baseline that the others must beat",
    "grid": "every point of a space of choices and whole numbers",
    "nsga2": "NSGA-II (Deb et al. 2002): a genetic algorithm",
}
SCHEDULERS = {
    "asha": "asynchronous successive halving (Li et al. 2020): only the better trials continue at each rung",
    "hyperband": "asha in three brackets; the later a bracket, the later its first rung",
    "median": "stops trials that are worse than the median of the others at that epoch (Golovin et al. 2017)",
    "pbt": "population-based training (Jaderberg et al. 2017): weak members continue from the weights of strong ones",
    "none": "every trial trains for all of its epochs",
}


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What the user asks of a sweep."""

    runs: Path
    name: str
    dataset: str = "sklearn-digits"
    trials: int | None = None  # None: 100, or as many as the time budget, the grid or the list allows
    seed: int = 0
    max_epochs: int | None = None  # None: chosen by the device and the size of the images
    concurrency: int | None = None  # None: one trial per GPU, or per processor
    search: str = "tpe"
    scheduler: str | None = None  # None: asha, or none with several objectives
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
    max_failures: int = DEFAULT_MAX_FAILURES
    trial_timeout_seconds: float | None = None
    keep: int = DEFAULT_KEEP
    address: str | None = None  # of a Ray cluster to join; None: a private Ray on this machine
    gpus_per_trial: GpuShare = None
    storage: str = "sqlite"  # of the study's copy: "sqlite" (in the sweep's folder), "none", or a database URL
    space_file: Path | None = None  # None: the default space for the device and the images
    fixed: Mapping[str, Scalar] = field(default_factory=dict)  # dotted field -> its value in all trials
    start_from: tuple[str, ...] = ()  # names of recipes or sweeps
    configs: Path | None = None  # a file of recipes to run exactly as given, instead of a search
    time_budget_seconds: float | None = None
    target_accuracy: float | None = None
    begun_at: float = field(default_factory=time.monotonic)  # the time budget counts from here
    then: tuple[str, ...] = ()  # the steps that follow: see sweeps.plans.following
    tta: bool = False  # whether the ensemble that follows uses test-time augmentation

    def __post_init__(self) -> None:
        check_dataset(self.dataset)
        check_name(self.name)
        if self.configs is not None and (self.space_file or self.fixed or self.start_from):
            raise UsageError("--configs runs recipes exactly as given: leave out --space, --fix and --start-from")
        for name in NOT_SEARCHED.keys() & self.fixed.keys():
            raise UsageError(f"{name} cannot be fixed: {NOT_SEARCHED[name]}")
        if self.search not in SEARCHES:
            raise unknown_name("search", self.search, SEARCHES)
        if self.scheduler is not None and self.scheduler not in SCHEDULERS:
            raise unknown_name("scheduler", self.scheduler, SCHEDULERS)
        if self.scheduler == "pbt" and (self.configs is not None or self.search not in ("tpe", "random")):
            raise UsageError("--scheduler pbt makes its own choices: leave out --search and --configs")
        if self.scheduler == "pbt" and "confirm" in self.then:
            raise UsageError(NO_CONFIRMATION)
        check_tta(self.then, tta=self.tta)
        if len(self.objectives) > 1:
            self._check_several_objectives()
        if not 0 <= self.max_failures <= MOST_FAILURES:
            raise UsageError(f"--max-failures must be between 0 and {MOST_FAILURES}, got {self.max_failures}")
        check_count("--keep", self.keep, MOST_TRIALS)
        check_count("--trials", self.trials, MOST_TRIALS)
        check_count("--max-epochs", self.max_epochs, MOST_EPOCHS)
        check_count("--concurrency", self.concurrency, MOST_AT_A_TIME)
        highest = LARGEST_SEED - (self.trials or MOST_TRIALS)
        if not 0 <= self.seed <= highest:
            raise UsageError(f"--seed must be between 0 and {highest}, got {self.seed}")

    def _check_several_objectives(self) -> None:
        if self.configs is not None:
            raise UsageError("--configs runs recipes exactly as given: leave out --objective")
        if self.search == "cmaes":
            raise UsageError("--search cmaes supports only one objective; use tpe, nsga2, gp or random")
        if self.scheduler not in (None, "none"):
            raise UsageError(
                f"--scheduler {self.scheduler} compares only validation NLL and would stop the small networks; with"
                " several objectives use --scheduler none"
            )

    @property
    def scheduler_used(self) -> str:
        """The scheduler's name, with the default filled in."""
        return self.scheduler or ("asha" if len(self.objectives) == 1 else "none")


@dataclass(frozen=True, kw_only=True)
class ResumeConfig:
    """An interrupted run to resume, and what changes. A time budget and a target apply to this session only."""

    runs: Path
    name: str
    trials: int | None = None  # None: as before
    concurrency: int | None = None  # None: as before
    time_budget_seconds: float | None = None
    target_accuracy: float | None = None
    storage: str | None = None  # None: as before
    address: str | None = None  # of a Ray cluster to join; None: a private Ray on this machine
    gpus_per_trial: GpuShare = None
    begun_at: float = field(default_factory=time.monotonic)
    then: tuple[str, ...] = ()  # the steps that follow: see sweeps.plans.following
    tta: bool = False  # whether the ensemble that follows uses test-time augmentation

    def __post_init__(self) -> None:
        check_count("--trials", self.trials, MOST_TRIALS)
        check_count("--concurrency", self.concurrency, MOST_AT_A_TIME)
        check_tta(self.then, tta=self.tta)

    @property
    def goes_on_as_before(self) -> bool:
        """Whether it asks for no more than the run did: no more trials, and no further time or target."""
        return self.trials is None and self.time_budget_seconds is None and self.target_accuracy is None


@dataclass(frozen=True, kw_only=True)
class ConfirmConfig:
    """A sweep's best recipes to train again, on seeds that no recipe was selected by."""

    runs: Path
    sweep: str | None = None  # None: the latest
    top: int = 5
    seeds: int = 5
    folds: int = 0  # 0: the sweep's own split
    refit: bool = False  # final models: trained on the validation set as well, judged by the test set alone
    concurrency: int | None = None  # None: one trial per GPU, or per processor
    per_architecture: int | None = None  # at most this many recipes of each architecture; None: any number
    epochs: int | None = None  # of each run; None: as many as in the sweep, or as in the runs that are there
    as_fit: bool = False  # fewer seeds and epochs are as good as asked for: the time budget decides
    time_budget_seconds: float | None = None  # None: all seeds, however long they take
    begun_at: float = field(default_factory=time.monotonic)  # the time budget counts from here

    def __post_init__(self) -> None:
        check_count("--top", self.top, MOST_TRIALS)
        check_count("--per-architecture", self.per_architecture, MOST_TRIALS)
        check_count("--seeds", self.seeds, MOST_SEEDS)
        check_count("--epochs", self.epochs, MOST_EPOCHS)
        if self.refit and self.folds:
            raise UsageError("--refit trains final models, --folds cross-validates; choose one")
        check_count("--concurrency", self.concurrency, MOST_AT_A_TIME)
        check_folds_option(self.folds)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One named recipe with overrides, on its own data set or another."""

    runs: Path
    name: str
    recipe_name: str
    overrides: Mapping[str, Scalar] = field(default_factory=dict)
    dataset: str | None = None  # None: the recipe's own
    device: str | None = None  # None: the best available
    folds: int | None = None  # None: as the recipe was published; 0: a single split

    def __post_init__(self) -> None:
        check_name(self.name)
        _ = self.recipe  # building it checks the overrides
        check_folds_option(self.folds)
        if self.dataset is not None:
            check_dataset(self.dataset)
            check_unseen(self.recipe_name, self.named, self.dataset)

    @cached_property
    def named(self) -> NamedRecipe:
        """What the name stands for. Cached, because it may be read from a file."""
        return named_recipe(self.recipe_name)

    @property
    def recipe(self) -> Recipe:
        """The named recipe with the overrides applied."""
        return self.named.build().with_overrides(self.overrides)

    @property
    def label(self) -> str:
        """The recipe's name in the record."""
        return self.named.title or self.recipe_name

    @property
    def fold_count(self) -> int:
        """Folds to train on; 0 means a single split."""
        return self.named.folds if self.folds is None else self.folds

    def over_seeds(self, count: int) -> "ComparisonConfig":
        """The same recipe from this many seeds, its own first. Raises UsageError if that cannot be."""
        if self.device is not None:
            raise UsageError("--device cannot be used with --seeds, whose workers choose the device: leave it out")
        return ComparisonConfig(
            runs=self.runs,
            name=self.name,
            recipe_names=(self.recipe_name,),
            overrides={field: value for field, value in self.overrides.items() if field != "training.seed"},
            seeds=count,
            first_seed=self.recipe.training.seed,
            dataset=self.dataset,
            folds=self.folds,
        )


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """Named recipes on one data set and the same seeds, each optionally varied in one or more fields."""

    runs: Path
    name: str
    recipe_names: tuple[str, ...]
    overrides: Mapping[str, Scalar] = field(default_factory=dict)
    variations: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)  # dotted field -> its values
    seeds: int = 3
    first_seed: int = 0
    dataset: str | None = None  # None: the recipes' own, if they share one
    folds: int | None = None  # None: as published, if the recipes agree
    concurrency: int | None = None  # None: one trial per GPU, or per processor

    def __post_init__(self) -> None:
        check_name(self.name)
        check_count("--seeds", self.seeds, MOST_SEEDS)
        highest = LARGEST_SEED - self.seeds + 1
        if not 0 <= self.first_seed <= highest:
            raise UsageError(f"with {self.seeds} seeds, --seed must be between 0 and {highest}, got {self.first_seed}")
        check_count("--concurrency", self.concurrency, MOST_AT_A_TIME)
        check_folds_option(self.folds)
        self._check_recipes()
        check_dataset(self.one_dataset)
        for name, named in self.named.items():
            check_unseen(name, named, self.one_dataset)
        _ = self.fold_count

    def _check_recipes(self) -> None:
        repeated = [name for position, name in enumerate(self.recipe_names) if name in self.recipe_names[:position]]
        if repeated:
            raise UsageError(f"{repeated[0]} is named twice; to train it on more seeds, raise --seeds")
        if not self.recipe_names:
            raise UsageError("name the recipes to compare; `digits recipes` lists them")
        if "training.seed" in {*self.overrides, *self.variations}:
            raise UsageError("a comparison gives all recipes the same seeds; set their number with --seeds")
        twice = sorted(set(self.overrides) & set(self.variations))
        if twice:
            raise UsageError(f"{twice[0]} is both set and varied; choose one")
        labels = [label for label, _ in self.labelled]  # building them checks the overrides
        for position, label in enumerate(labels):
            if label in labels[:position]:
                raise UsageError(f"two of these recipes are both named {label!r}; rename one in its file")
        if len(labels) * self.seeds > MOST_TRIALS:
            raise UsageError(f"{len(labels)} recipes on {self.seeds} seeds are more than {MOST_TRIALS:,} runs")

    @cached_property
    def named(self) -> dict[str, NamedRecipe]:
        """What the names stand for. Cached, because a recipe may be read from a file."""
        return {name: named_recipe(name) for name in self.recipe_names}

    @property
    def labelled(self) -> tuple[tuple[str, Recipe], ...]:
        """Every recipe in every variation, with the label it is compared under. Seeds are not included."""
        return tuple(
            (
                ", ".join([named.title or name, *(f"{field}={value}" for field, value in varied.items())]),
                named.build().with_overrides({**self.overrides, **varied}),
            )
            for name, named in self.named.items()
            for values in itertools.product(*self.variations.values())
            for varied in [dict(zip(self.variations, values, strict=True))]
        )

    @property
    def seed_numbers(self) -> range:
        """The seeds that every recipe is trained from."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def one_dataset(self) -> str:
        """The data set that all recipes train on. Raises UsageError if theirs differ and none was chosen."""
        own = sorted({named.dataset for named in self.named.values()})
        if self.dataset is None and len(own) > 1:
            raise UsageError(f"these recipes are for different data sets ({', '.join(own)}); choose one with --dataset")
        return self.dataset or own[0]

    @property
    def fold_count(self) -> int:
        """Folds to train on, 0 for a single split. Raises UsageError if the recipes differ and none was chosen."""
        own = sorted({named.folds for named in self.named.values()})
        if self.folds is None and len(own) > 1:
            raise UsageError("some of these recipes were published with folds and some without; choose with --folds")
        return own[0] if self.folds is None else self.folds


@dataclass(frozen=True, kw_only=True)
class ProtocolsConfig:
    """Named recipes, each trained as published: on the recipe's own data set and folds."""

    runs: Path
    name: str
    recipe_names: tuple[str, ...] = ()  # empty: all that this machine can train within hours
    seeds: int = 3
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in self.recipe_names:
            if name.endswith(".json") or named_recipe(name).published == NOT_PUBLISHED:
                raise UsageError(f"{name} was not published; compare it without --published")
        self.comparisons(has_gpu=True)  # building them checks the recipes

    def comparisons(self, *, has_gpu: bool) -> tuple[list[ComparisonConfig], tuple[str, ...]]:
        """One comparison per protocol, and the recipes that are left out because they need a GPU."""
        names = self.recipe_names or tuple(name for name in RECIPES if RECIPES[name].published != NOT_PUBLISHED)
        needing = tuple(name for name in RECIPES if RECIPES[name].needs_gpu)
        left_out = needing if not (has_gpu or self.recipe_names) else ()
        protocols: dict[str, tuple[str, ...]] = {}
        for name in names:
            protocol = named_recipe(name).dataset  # no two protocols share a data set
            if name not in left_out:
                protocols[protocol] = (*protocols.get(protocol, ()), name)
        return [
            ComparisonConfig(
                runs=self.runs,
                name=f"{self.name}-{dataset}",
                recipe_names=members,
                seeds=self.seeds,
                concurrency=self.concurrency,
            )
            for dataset, members in protocols.items()
        ], left_out


def check_unseen(recipe_name: str, named: NamedRecipe, dataset: str) -> None:
    """Raise UsageError if a recipe was found by a search on images of the data set's sealed test set."""
    check_dataset(named.dataset)
    if named.title and shares_images(named.dataset, dataset):
        raise UsageError(
            f"{recipe_name} was tuned on {named.dataset}, which shares images with the sealed test set of"
            f" {dataset}; train it on {named.dataset}"
        )


def parse_gpus_per_trial(text: str | None) -> GpuShare:
    """Parse --gpus-per-trial. Raises UsageError unless it is a fraction of a GPU, 1 to 16 whole GPUs, or `auto`."""
    if text is None:
        return None
    if text == AUTO:
        return AUTO
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not (0 < share <= 1 or share in range(2, 17)):
        raise UsageError(f"--gpus-per-trial must be a fraction such as 0.25, a whole number, or auto, got {text}")
    return share


def check_tta(then: tuple[str, ...], *, tta: bool) -> None:
    """Raise UsageError if test-time augmentation is asked for, but no ensemble."""
    if tta and "ensemble" not in then:
        raise UsageError("--tta is for the ensemble that follows a search: add --then ensemble or confirm,ensemble")


def check_folds_option(folds: int | None) -> None:
    """Raise UsageError unless `folds` is None, 0 or at least 2."""
    if folds is not None and (folds < 0 or folds == 1):
        raise UsageError(f"--folds must be at least 2, or 0 for a single split, got {folds}")
