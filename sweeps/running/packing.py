"""`--gpus-per-trial auto`: runs as many trials on a GPU as its memory holds, as measured for each architecture.

Before the first trial, one process with a GPU of its own trains, for every architecture, the largest network and batch
that a trial could draw, for a few steps. A trial then reserves 1/n of a GPU if n of its kind fit. The shares are
always 1/n, so that architectures with similar needs can follow one another in the same process.
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
"""Reserved memory / measured memory: the allocator lays out its blocks differently in every process."""

NAME = "model.name"


def largest_recipes(recipes: Drawn | Given) -> dict[str, Recipe]:
    """For each architecture, the recipe that takes the most memory of all that a trial could get."""
    if isinstance(recipes, Drawn):
        first = [assignment.recipe for assignment in recipes.first]
        return _largest([*first, *(_largest_of(recipes.space, recipes.base, name) for name in _names(recipes))])
    return _largest(assignment.recipe for assignment in recipes.assignments)


def _names(recipes: Drawn) -> tuple[Scalar, ...]:
    parameter = recipes.space.get(NAME)
    return parameter.options if isinstance(parameter, Choice) else (recipes.base.model.name,)


def _largest_of(space: Space, base: Recipe, name: Scalar) -> Recipe:
    """The point with this architecture and every number at the upper end of its range."""
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
    """By architecture: the recipe with the largest product of batch size and network size."""
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
    """The share of a GPU that a trial of each architecture reserves: 1/n, if n of them fit and n is at most `most`.

    `peaks` are the measured bytes by architecture, `free` the bytes that a GPU has free. Raises EnvironmentFailure if
    an architecture does not fit at all.
    """
    for name, peak in peaks.items():
        if peak > free:
            raise EnvironmentFailure(
                f"{name} needs up to {peak / 1e9:.1f} GB, but a GPU has {free / 1e9:.1f} GB free;"
                " narrow the space (--fix training.batch_size=...)"
            )
    return {name: 1 / min(max(most, 1), max(1, math.floor(free / (peak * MARGIN)))) for name, peak in peaks.items()}


def measured_shares(recipes: Drawn | Given, split: Split, gpu_count: int, concurrency: int) -> dict[str, float]:
    """`shares`, measured by a Ray process that has a GPU of its own. Takes seconds per architecture."""
    measuring = ray.remote(num_gpus=1, num_cpus=1, max_retries=0)(measure)
    try:
        peaks, free = ray.get(measuring.remote(largest_recipes(recipes), split))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EnvironmentFailure):
            raise EnvironmentFailure(str(error.cause)) from error
        raise
    return shares(peaks, free, math.ceil(concurrency / gpu_count))


def measure(recipes: Mapping[str, Recipe], split: Split) -> tuple[dict[str, int], int]:
    """Peak bytes by architecture, and the GPU's free bytes. Raises EnvironmentFailure if torch sees no CUDA device."""
    from digits_core.training.copies import DeviceSplit
    from digits_core.training.device import default_device
    from digits_core.training.gpu_memory import free_bytes, peak_bytes

    device = default_device()
    if device.type != "cuda":
        raise EnvironmentFailure("the cluster offers a GPU that torch does not see; check the drivers on its nodes")
    free, data = free_bytes(device), DeviceSplit.from_split(split, device)
    return {name: peak_bytes(recipe, data, device) for name, recipe in recipes.items()}, free


def in_words(shares_by_name: Mapping[str, float]) -> str:
    """The shares, in one line."""
    parts = [f"{round(1 / share)} {name}" for name, share in sorted(shares_by_name.items())]
    return f"trials at a time on a GPU: {', '.join(parts)}"


def reservation(shares_by_name: Mapping[str, float], config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """What a trial with this configuration reserves. If its architecture was not measured, that is a whole GPU."""
    share = shares_by_name.get(config["recipe"]["model"]["name"], 1.0)
    return tune.PlacementGroupFactory([{"CPU": 1, "GPU": share}])
