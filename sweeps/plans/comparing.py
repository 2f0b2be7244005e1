"""`digits compare`: trains named recipes on equal footing, with the same Ray workers as a sweep."""

import itertools

from digits_core.data.datasets import load_digits
from digits_core.data.folds import cut_digits
from digits_core.records import Assignment, Policy, RunKind
from digits_core.runs.writer import check_new
from digits_core.training.cross_validation import fitted
from digits_core.training.device import default_device
from sweeps.plans.companies import in_companies
from sweeps.plans.config import DEFAULT_MAX_FAILURES, ComparisonConfig
from sweeps.plans.headers import header_of
from sweeps.plans.planning import RunPlan, default_concurrency
from sweeps.space.assignments import Given
from sweeps.words import counted


def plan_comparison(config: ComparisonConfig) -> RunPlan:
    """Check everything and load the data. Raises UsageError or EnvironmentFailure; writes nothing.

    The first seed of every recipe runs first, so that what Ctrl-C leaves is still a comparison; with it run those seeds
    that are trained as one network.
    """
    digits = load_digits(config.one_dataset)
    split = cut_digits(digits, config.fold_count)
    labelled = [(label, fitted(recipe, digits.side, split)) for label, recipe in config.labelled]
    check_new(config.runs, config.name)
    assignments = [
        Assignment(trial=trial, recipe=recipe.with_overrides({"training.seed": seed}), label=label)
        for trial, (seed, (label, recipe)) in enumerate(itertools.product(config.seed_numbers, labelled))
    ]
    device, concurrency = default_device().type, config.concurrency or default_concurrency()
    recipes = Given(
        assignments=in_companies(
            assignments, side=digits.side, fold_count=config.fold_count, device=device, concurrency=concurrency
        )
    )
    return RunPlan(
        runs=config.runs,
        header=header_of(
            digits,
            split,
            name=config.name,
            kind=RunKind.COMPARISON,
            trial_count=len(recipes.assignments),
            max_epochs=recipes.max_epochs,
            seed=0,
            concurrency=concurrency,
            device=device,
            space={},
            policy=Policy(max_failures=DEFAULT_MAX_FAILURES),
        ),
        split=split,
        recipes=recipes,
        line=(
            f"comparing {counted(len(labelled), 'recipe')} on {digits.name}, {counted(config.seeds, 'seed')} each,"
            f" {concurrency} at a time on {device}, at most {counted(recipes.max_epochs, 'epoch')} a run"
        ),
    )
