"""`digits confirm`: trains a sweep's best recipes again on fresh seeds, with the same Ray workers."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, Split, refit_digits
from digits_core.data.folds import Folds, cut_digits
from digits_core.errors import UsageError
from digits_core.judging.candidates import candidates, of_each_architecture, trial_label
from digits_core.recipe import Recipe
from digits_core.records import Assignment, Policy, RunHeader, RunKind, RunRecord
from digits_core.runs.journal import History
from digits_core.runs.ownership import check_free
from digits_core.runs.run import REFITTED, Run, confirmation_name
from digits_core.training.cross_validation import fitted, folded
from digits_core.training.device import default_device
from sweeps.plans.companies import in_companies
from sweeps.plans.config import DEFAULT_MAX_FAILURES, ConfirmConfig
from sweeps.plans.ending import Ending
from sweeps.plans.headers import data_of, header_of
from sweeps.plans.planning import RunPlan, default_concurrency
from sweeps.plans.recovery import known_history
from sweeps.plans.timing import Reckoning, for_epochs, in_time
from sweeps.space.assignments import Given
from sweeps.words import counted

FIRST_FRESH_SEED = 1_000_000
"""A recipe that was selected by a lucky seed must not be confirmed by it. A sweep's own seeds are usually far lower."""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """A checked confirmation, and how many of its runs are left."""

    sweep: Run
    plan: RunPlan
    found_count: int  # recipes that there were to choose from, up to the number asked for
    left: int  # runs that have not ended; if 0, nothing needs to start

    @property
    def folder(self) -> Path:
        """Where its runs are or will be kept."""
        return self.plan.folder


def plan_confirmation(config: ConfirmConfig) -> Confirmation:
    """Choose the recipes and load the data. Raises UsageError or EnvironmentFailure; writes nothing.

    Existing runs are kept: asking for more seeds or recipes adds their runs, and an interrupted confirmation is
    resumed. The first seed of every recipe runs first, so that what Ctrl-C leaves can still be compared; with it run
    those seeds that are trained as one network.
    """
    sweep = _sweep_of(config)
    header = sweep.header
    chosen = best_recipes(sweep, config.top, config.per_architecture)
    split = data_of(header, otherwise="was trained on; restore them, or start a new sweep")
    digits = load_digits(header.dataset)
    data: Split | Folds = cut_digits(digits, config.folds) if config.folds else split
    if config.refit:
        data, chosen = refit_digits(digits), [replace(one, recipe=folded(one.recipe)) for one in chosen]
    earlier = sweep.refitted() if config.refit else sweep.confirmation(config.folds)
    if earlier is not None:
        check_free(earlier.folder)
    history = known_history(earlier) if earlier is not None else None
    over = len(history.over) if history else 0
    concurrency, device = config.concurrency or default_concurrency(), default_device().type
    ending = Ending.of(config.begun_at, config.time_budget_seconds, None, split.validation.images.size)
    found_count = len(chosen)
    chosen = _for_epochs_asked(chosen, config, sweep, history)
    chosen, seeds = _affordable(chosen, config, sweep, digits, data, ending, concurrency, history)
    wanted = [
        (trial_label(record.trial), fitted(record.recipe.with_overrides({"training.seed": seed}), digits.side, data))
        for seed, record in itertools.product(seeds, chosen)
    ]
    begun, missing = _begun_and_missing(wanted, history)
    added = in_companies(missing, side=digits.side, fold_count=config.folds, device=device, concurrency=concurrency)
    recipes = Given(assignments=(*begun, *added))
    run = _header(config, earlier, digits, data, recipes, concurrency)
    how = _epochs_instead(sweep, chosen) + _how(config)
    return Confirmation(
        sweep=sweep,
        plan=RunPlan(
            runs=sweep.folder,
            header=run,
            split=data,
            recipes=recipes,
            concurrency_asked=config.concurrency,
            is_resumed=earlier is not None,
            ending=ending,
            line=_line(config, run, (found_count, len(chosen), len(seeds)), how, header.name, run.trial_count - over),
        ),
        found_count=found_count,
        left=run.trial_count - over,
    )


def _sweep_of(config: ConfirmConfig) -> Run:
    """The run to confirm. Raises UsageError if it is none that can be."""
    sweep = Run.open(config.runs, config.sweep)
    kind = sweep.header.kind
    if kind != RunKind.SWEEP and not (config.refit and kind == RunKind.TRAINING):
        raise UsageError(
            f"{sweep.header.name!r} is not a sweep; `digits compare` trains recipes on several seeds (--refit makes"
            " final models of a training run as well)"
        )
    return sweep


def _for_epochs_asked(
    chosen: list[RunRecord], config: ConfirmConfig, sweep: Run, history: History | None
) -> list[RunRecord]:
    """The recipes, to be trained for as many epochs as asked for, or as the runs that are there already.

    Folds and final models (--refit) train for as long as the confirmation did, which they are compared with. If the
    time budget decides, that is later. Raises UsageError if runs are there for another number of epochs.
    """
    confirmed = sweep.confirmation()
    there: list[Assignment] | tuple[RunRecord, ...] = history.assignments if history else []
    there = there or (confirmed.records if confirmed else ())
    asked = None if config.as_fit and (there or config.time_budget_seconds is not None) else config.epochs
    lengths = {one.recipe.training.epochs for one in there}
    if asked is not None and not lengths <= {asked}:
        raise UsageError(
            f"{sweep.header.name!r} has been confirmed with runs of {counted(max(lengths - {asked}), 'epoch')}, which"
            " runs of another length cannot be compared with: leave out --epochs, or delete"
            f" {sweep.folder / confirmation_name(0)}"
        )
    own = _searched_epochs(sweep)
    longer = [one.recipe.training.epochs for one in there if one.recipe.training.epochs != own.get(one.label)]
    epochs = asked or max(longer, default=None)
    return chosen if epochs is None else [for_epochs(record, epochs) for record in chosen]


def _affordable(
    chosen: list[RunRecord],
    config: ConfirmConfig,
    sweep: Run,
    digits: Digits,
    data: Split | Folds,
    ending: Ending,
    concurrency: int,
    history: History | None,
) -> tuple[list[RunRecord], list[int]]:
    """The recipes and the fresh seeds that there is time for; without a time budget all that were asked for."""
    seeds = fresh_seeds(sweep, config.seeds)
    if ending.deadline is None:
        return chosen, seeds
    reckoning = Reckoning(
        seconds_left=ending.seconds_left,
        concurrency=concurrency,
        seeds=seeds,
        images_share=_images_share(sweep, data),
        test_n=0 if isinstance(data, Folds) else len(digits.parts[2]),
        earlier=history,
    )
    longest = config.epochs if config.as_fit and not (history and history.trials) else None
    chosen, count = in_time(chosen, reckoning, longest)
    return chosen, seeds[:count]


def _images_share(sweep: Run, data: Split | Folds) -> float:
    """The images that a run trains on, folds together, by those that a trial of the sweep was trained on.

    Raises UsageError if the sweep ran on another kind of device: its times say nothing here.
    """
    header, device = sweep.header, default_device().type
    if header.device != device:
        raise UsageError(
            f"{header.name!r} was searched on {header.device} and this machine has {device}, so its times say nothing"
            " here: leave out --time-budget"
        )
    splits = data.splits if isinstance(data, Folds) else (data,)
    return sum(split.train_count for split in splits) / header.train_n


def fresh_seeds(sweep: Run, count: int) -> list[int]:
    """The first `count` fresh seeds that no trial of the sweep was trained from."""
    used = {record.recipe.training.seed for record in sweep.records}
    return list(itertools.islice((seed for seed in itertools.count(FIRST_FRESH_SEED) if seed not in used), count))


def _begun_and_missing(
    wanted: list[tuple[str, Recipe]], history: History | None
) -> tuple[list[Assignment], list[Assignment]]:
    """Runs that have started keep their numbers; missing (label, recipe) pairs follow."""
    begun = history.assignments if history else []
    there = {(assignment.label, assignment.recipe.training.seed) for assignment in begun}
    missing = [(label, recipe) for label, recipe in wanted if (label, recipe.training.seed) not in there]
    added = [
        Assignment(trial=trial, recipe=recipe, label=label)
        for trial, (label, recipe) in enumerate(missing, start=max((one.trial for one in begun), default=-1) + 1)
    ]
    return begun, added


def _searched_epochs(sweep: Run) -> dict[str, int]:
    """For how many epochs the trials were to be trained, by the label that their runs on fresh seeds have."""
    return {trial_label(record.trial): record.recipe.training.epochs for record in sweep.records}


def _epochs_instead(sweep: Run, chosen: list[RunRecord]) -> str:
    """For how many epochs they are trained, if not for as many as in the sweep."""
    first = chosen[0]
    epochs, before = first.recipe.training.epochs, _searched_epochs(sweep)[trial_label(first.trial)]
    return "" if epochs == before else f" for {counted(epochs, 'epoch')} instead of {before}"


def _line(config: ConfirmConfig, run: RunHeader, counts: tuple[int, int, int], how: str, sweep: str, left: int) -> str:
    """counts: of the recipes that were found, of those that are confirmed, and of their seeds."""
    found, recipes, seeds = counts
    cut = [] if config.as_fit or recipes == found else [f"{found} recipes"]
    cut += [] if config.as_fit or seeds == config.seeds else [f"{config.seeds} seeds"]
    asked = f" (no time for {' and '.join(cut)})" if cut else ""
    what = f"the best {counted(recipes, 'recipe')} of {sweep} on {counted(seeds, 'fresh seed')}{asked}{how}"
    if not left:
        return f"already confirmed: {what}; nothing is trained"
    return f"confirming {what}: {counted(left, 'run')} left, {run.concurrency} at a time on {run.device}"


def _how(config: ConfirmConfig) -> str:
    if config.refit:
        return ", trained on the validation set as well"
    return f" and {config.folds} folds" if config.folds else ""


def best_recipes(sweep: Run, top: int, per_architecture: int | None = None) -> list[RunRecord]:
    """The best trials of a sweep in the leaderboard's order, each recipe once.

    per_architecture: take at most so many of each architecture. Raises UsageError if there are none, or if one cannot
    be trained again from its recipe.
    """
    by_recipe: dict[str, RunRecord] = {}
    for one in candidates(sweep):
        by_recipe.setdefault(one.record.recipe.recipe_id, one.record)
    chosen = of_each_architecture(by_recipe.values(), lambda record: record.recipe, per_architecture)[:top]
    if not chosen:
        raise UsageError(f"{sweep.header.name!r} has no validated trial to confirm; run a sweep first")
    inherited = [record.trial for record in chosen if record.inherited_epochs]
    if inherited:
        raise UsageError(
            f"trial {inherited[0]} continued from another trial's weights (--scheduler pbt): its recipe alone does not"
            " reproduce it, so it cannot be confirmed"
        )
    return chosen


def _header(
    config: ConfirmConfig,
    earlier: Run | None,
    digits: Digits,
    data: Split | Folds,
    recipes: Given,
    concurrency: int,
) -> RunHeader:
    count, device = len(recipes.assignments), default_device().type
    if earlier is not None:
        return replace(
            earlier.header, trial_count=count, concurrency=concurrency, device=device, max_epochs=recipes.max_epochs
        )
    return header_of(
        digits,
        data,
        name=REFITTED if config.refit else confirmation_name(config.folds),
        kind=RunKind.REFIT if config.refit else RunKind.CONFIRMATION,
        trial_count=count,
        max_epochs=recipes.max_epochs,
        seed=FIRST_FRESH_SEED,
        concurrency=concurrency,
        device=device,
        space={},
        policy=Policy(max_failures=DEFAULT_MAX_FAILURES),
    )
