"""The trials that run before sampling starts: the default as a baseline, known good recipes, all points of a grid."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from digits_core.errors import UsageError
from digits_core.judging.candidates import candidates
from digits_core.recipe import Recipe, Scalar, field_type
from digits_core.recipes import RECIPES, named_recipe
from digits_core.records import Assignment
from digits_core.runs.run import runs_in
from digits_core.stored import MOST_TRIALS
from digits_core.training.engine import check_fit
from sweeps.plans.config import DEFAULT_TRIALS, SweepConfig, check_unseen
from sweeps.space.assignments import assignment_at
from sweeps.space.spaces import Choice, Space, grid_points, point_of

BEST_OF_A_SWEEP = 5
TRIALS_PER_KNOWN_RECIPE = 10


def fitting(further: Sequence[Recipe], config: SweepConfig) -> tuple[Recipe, ...]:
    """Of the recipes that are known to be good, those that a sweep begins with, besides the baseline.

    They have the values that --fix asks for, and take at most a tenth of the trials. None if the user gave a space or
    its points, and none for a population, which has one network.
    """
    if config.space_file is not None or config.search == "grid" or config.scheduler == "pbt":
        return ()
    most = (config.trials or DEFAULT_TRIALS) // TRIALS_PER_KNOWN_RECIPE
    values = [recipe.as_overrides() for recipe in further]
    return tuple(
        recipe
        for recipe, has in zip(further, values, strict=True)
        if all(has[name] == value for name, value in config.fixed.items())
    )[:most]


def first_trials(config: SweepConfig, base: Recipe, further: Sequence[Recipe], space: Space) -> tuple[Assignment, ...]:
    """Trial 0 is the default recipe, the baseline; then come others that are good, and those that the user named."""
    known = [("", base), *(("", recipe) for recipe in further), *known_recipes(config)]
    first = [_assigned(trial, label, recipe, config.seed, base, space) for trial, (label, recipe) in enumerate(known)]
    outside = [assignment.label for assignment in first if assignment.point is None]
    if config.scheduler == "pbt" and outside:
        raise UsageError(f"--start-from: {outside[0]} is outside the population's search space, which has one network")
    if config.search == "grid":
        points = itertools.islice(grid_points(space), MOST_TRIALS + 1)
        others = [point for point in points if point != first[0].point]
        if len(first) + len(others) > MOST_TRIALS:
            raise UsageError(f"the grid has more than {MOST_TRIALS:,} points; narrow it with --fix")
        first += [assignment_at(point, trial, base, config.seed) for trial, point in enumerate(others, len(first))]
    return tuple(first)


def _assigned(trial: int, label: str, recipe: Recipe, seed: int, base: Recipe, space: Space) -> Assignment:
    """A known recipe as a trial, with its point in the space if it has one."""
    own = recipe.with_overrides({"training.epochs": base.training.epochs, "training.seed": seed + trial})
    try:
        point: dict[str, Scalar] | None = point_of(space, own)
    except UsageError:
        point = None
    if point is not None and assignment_at(point, trial, base, seed).recipe != own:
        point = None  # it differs from the base in a field that is not searched
    return Assignment(trial=trial, recipe=own, label=label, point=point)


def known_recipes(config: SweepConfig) -> list[tuple[str, Recipe]]:
    """The recipes that --start-from names, or the best few of an earlier sweep, with their labels."""
    found: list[tuple[str, Recipe]] = []
    for name in config.start_from:
        run = None if name in RECIPES else next((run for run in runs_in(config.runs) if run.name == name), None)
        if run is not None:
            if run.header.dataset != config.dataset:
                raise UsageError(f"sweep {name!r} was run on {run.header.dataset}, not on {config.dataset}")
            best = candidates(run)[:BEST_OF_A_SWEEP]
            found += [(f"{name}, trial {one.trial}", one.record.recipe) for one in best]
        else:
            named = named_recipe(name)
            check_unseen(name, named, config.dataset)
            found.append((named.title or name, named.build()))
    return found


def check_models(base: Recipe, space: Space, side: int, train_count: int) -> None:
    """Raise UsageError if one of the space's networks cannot take the images, or a batch is larger than the data."""
    for name in ("training.batch_size", "model.name"):
        parameter = space.get(name)
        for option in parameter.options if isinstance(parameter, Choice) else ():
            try:
                check_fit(base.with_overrides({name: option}), side, train_count)
            except UsageError as error:
                raise UsageError(f"{name} = {option} cannot be searched here: {error}") from error


def given_recipes(path: Path, base: Recipe, seed: int) -> Iterator[Assignment]:
    """The recipes of a file, exactly as given: JSON lines of dotted fields. Raises UsageError that names the line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    numbers = itertools.count()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            trial = next(numbers)
            yield Assignment(trial=trial, recipe=_given(path, number, line, base, seed + trial))


def _given(path: Path, number: int, line: str, base: Recipe, seed: int) -> Recipe:
    try:
        overrides = json.loads(line)
        if not isinstance(overrides, Mapping):
            raise UsageError("a line must be an object of dotted fields")  # noqa: TRY301 - reported like the others
        for name, value in overrides.items():
            field_type(name)
            if not isinstance(value, Scalar):
                raise UsageError(f"{name} takes one value, got {value!r}")  # noqa: TRY301
        return base.with_overrides({"training.seed": seed, **overrides})
    except (UsageError, ValueError, RecursionError) as error:
        raise UsageError(
            f'{path}, line {number}: {error}; write {{"model.name": "lenet", "optimizer.learning_rate": 0.01}}'
        ) from error
