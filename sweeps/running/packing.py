"""`--gpus-per-trial auto`: as many trials on a GPU as its memory holds, by what each architecture was measured to take.

Before the first trial, one process that has a GPU for itself trains the largest network and batch that a trial could
draw, of every architecture, for some steps. A trial then reserves the n-th part of a GPU, so that n of its kind fit;
in whole n-ths, so that architectures which take about as much can follow one another in the same process.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray import tune

from digits_core.data.digits import Split
from digits_core.errors import EnvironmentFailure
from digits_core.recipe import Recipe, Scalar
from sweeps.space.assignments import Drawn, Given
from sweeps.space.spaces import Choice, Space, is_active

MARGIN = 1.15
"""What was measured, times this, is reserved: an allocator's blocks fall differently in every process."""

NAME = "model.name"


def largest_recipes(recipes: Drawn | Given) -> dict[str, Recipe]:
    """Of each architecture, the recipe that takes the most memory of all that could be tried."""
    if isinstance(recipes, Drawn):
        first = [assignment.recipe for assignment in recipes.first]
        return _largest([*first, *(_largest_of(recipes.space, recipes.base, name) for name in _names(recipes))])
    return _largest(assignment.recipe for assignment in recipes.assignments)


def _names(recipes: Drawn) -> tuple[Scalar, ...]:
    parameter = recipes.space.get(NAME)
    return parameter.options if isinstance(parameter, Choice) else (recipes.base.model.name,)


def _largest_of(space: Space, base: Recipe, name: Scalar) -> Recipe:
    """The corner of the space with this architecture at which all numbers are at their upper end."""
    point: dict[str, Scalar] = {}
    for field, parameter in space.items():
        if field == NAME:
            point[field] = name
        elif is_active(parameter, point):
            upper = max(parameter.options, key=_as_number) if isinstance(parameter, Choice) else parameter.high
            point[field] = upper
    return base.with_overrides(point)


def _as_number(value: Scalar) -> float:
    return 0.0 if isinstance(value, str) else float(value)


def _largest(recipes: Iterable[Recipe]) -> dict[str, Recipe]:
    """By architecture: the one with the largest product of batch and network."""
    largest: dict[str, Recipe] = {}
    for recipe in recipes:
        known = largest.get(recipe.model.name)
        if known is None or _size(recipe) > _size(known):
            largest[recipe.model.name] = recipe
    return largest


def _size(recipe: Recipe) -> tuple[int, int]:
    model = recipe.model
    return recipe.training.batch_size * model.width * model.depth, model.hidden_units


def shares(peaks: Mapping[str, int], free: int, most: int) -> dict[str, float]:
    """The part of a GPU that a trial of each architecture reserves: one n-th, n of them fitting, and `most` at most.

    `peaks` are bytes that were measured by architecture, `free` those of a GPU. Raises EnvironmentFailure for one that
    does not fit at all.
    """
    for name, peak in peaks.items():
        if peak > free:
            raise EnvironmentFailure(
                f"a {name} takes up to {peak / 1e9:.1f} GB, and a GPU has {free / 1e9:.1f} GB free;"
                " narrow the space (--fix training.batch_size=...)"
            )
    return {name: 1 / min(max(most, 1), max(1, math.floor(free / (peak * MARGIN)))) for name, peak in peaks.items()}


def measured_shares(recipes: Drawn | Given, split: Split, gpu_count: int, concurrency: int) -> dict[str, float]:
    """The same, measured in a process of the joined Ray's that has a GPU for itself. Takes seconds an architecture."""
    measuring = ray.remote(num_gpus=1, num_cpus=1, max_retries=0)(measure)
    try:
        peaks, free = ray.get(measuring.remote(largest_recipes(recipes), split))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EnvironmentFailure):
            raise EnvironmentFailure(str(error.cause)) from error
        raise
    return shares(peaks, free, math.ceil(concurrency / gpu_count))


def measure(recipes: Mapping[str, Recipe], split: Split) -> tuple[dict[str, int], int]:
    """Bytes by architecture, and those of the GPU. Raises EnvironmentFailure where torch sees no CUDA device."""
    from digits_core.training.device import default_device
    from digits_core.training.engine import DeviceSplit
    from digits_core.training.gpu_memory import free_bytes, peak_bytes

    device = default_device()
    if device.type != "cuda":
        raise EnvironmentFailure("the cluster gives away a GPU that torch does not see; check the drivers on its nodes")
    free, data = free_bytes(device), DeviceSplit.from_split(split, device)
    return {name: peak_bytes(recipe, data, device) for name, recipe in recipes.items()}, free


def in_words(shares_by_name: Mapping[str, float]) -> str:
    """What was found, in a line."""
    parts = [f"{round(1 / share)} {name}" for name, share in sorted(shares_by_name.items())]
    return f"a GPU takes {', '.join(parts)} at a time"


def reservation(shares_by_name: Mapping[str, float], config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """What a trial reserves, by its recipe. One whose architecture was not measured has a GPU for itself."""
    share = shares_by_name.get(config["recipe"]["model"]["name"], 1.0)
    return tune.PlacementGroupFactory([{"CPU": 1, "GPU": share}])
