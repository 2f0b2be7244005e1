"""`digits compare`: named recipes on equal footing, through the same Ray workers as a sweep."""

from digits_core.cross_validation import check_folds, folded
from digits_core.data import load_digits, split_digits
from digits_core.device import default_device
from digits_core.engine import check_fit
from digits_core.folds import Folds, fold_digits
from digits_core.store import check_new
from sweeps.assignments import Assignment, Given
from sweeps.config import ComparisonConfig
from sweeps.headers import header_of
from sweeps.progress import counted
from sweeps.runner import RunPlan, default_concurrency


def plan_comparison(config: ComparisonConfig) -> RunPlan:
    """Check everything and load the data. Raises UsageError or EnvironmentFailure; makes the runs folder at most.

    The first seed of all recipes comes first, so that what Ctrl-C leaves is a comparison as well.
    """
    digits = load_digits(config.one_dataset)
    split = fold_digits(digits, config.fold_count) if config.fold_count else split_digits(digits)
    labelled = config.labelled
    for _, recipe in labelled:
        if isinstance(split, Folds):
            check_folds(recipe, digits.side, split)
        else:
            check_fit(recipe, digits.side, split.train_count)
    check_new(config.runs, config.name)
    recipes = Given(
        assignments=tuple(
            Assignment(
                recipe=(folded(recipe) if isinstance(split, Folds) else recipe).with_overrides({"training.seed": seed}),
                label=label,
            )
            for seed in range(config.seeds)
            for label, recipe in labelled
        )
    )
    device, concurrency = default_device().type, config.concurrency or default_concurrency()
    return RunPlan(
        runs=config.runs,
        header=header_of(
            digits,
            split,
            name=config.name,
            kind="comparison",
            trial_count=recipes.trial_count,
            max_epochs=recipes.max_epochs,
            seed=0,
            concurrency=concurrency,
            device=device,
            space={},
        ),
        split=split,
        recipes=recipes,
        line=(
            f"comparing {counted(len(labelled), 'recipe')} on {digits.name}, {counted(config.seeds, 'seed')} each,"
            f" {concurrency} at a time on {device}, at most {counted(recipes.max_epochs, 'epoch')} a run"
        ),
    )
