"""Search spaces: dotted recipe field -> the values that may be drawn for it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from digits_core.errors import UsageError
from digits_core.recipe import Recipe, Scalar, field_type


@dataclass(frozen=True, kw_only=True)
class When:
    """A condition: the parameter is drawn only if `field` was drawn as one of `values`."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, kw_only=True)
class Float:
    """A real number from low to high, uniform or log-uniform."""

    low: float
    high: float
    log: bool = False
    when: When | None = None

    def __str__(self) -> str:
        return f"{self.low:g} .. {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True, kw_only=True)
class Int:
    """A whole number from low to high, both included."""

    low: int
    high: int
    log: bool = False
    when: When | None = None

    def __str__(self) -> str:
        return f"{self.low} .. {self.high}{' (log)' if self.log else ''}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the given values."""

    options: tuple[Scalar, ...]
    when: When | None = None

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


NOT_SEARCHED = {
    "training.seed": "every trial has its own seed",
    "training.epochs": "--max-epochs sets it for all trials, and early stopping does the rest",
}

Parameter = Float | Int | Choice
Space = dict[str, Parameter]


def check_space(space: Space) -> None:
    """Raise UsageError for an unknown field, an empty range, or a condition on a field that is not drawn before."""
    seen: set[str] = set()
    for name, parameter in space.items():
        field_type(name)  # raises for an unknown field
        if name in NOT_SEARCHED:
            raise UsageError(f"{name} cannot be searched: {NOT_SEARCHED[name]}")
        if parameter.when is not None and parameter.when.field not in seen:
            raise UsageError(f"{name} depends on {parameter.when.field}, which is not drawn before it")
        if isinstance(parameter, Choice):
            if not parameter.options:
                raise UsageError(f"{name} has no values to choose from")
        elif not parameter.low <= parameter.high:
            raise UsageError(f"{name}: the range {parameter.low} .. {parameter.high} is empty")
        elif parameter.log and parameter.low <= 0:
            raise UsageError(f"{name}: a logarithmic range must start above zero, not at {parameter.low}")
        for value in _corner_values(parameter):
            Recipe().with_overrides({name: value})
        seen.add(name)


def _corner_values(parameter: Parameter) -> tuple[Scalar, ...]:
    return parameter.options if isinstance(parameter, Choice) else (parameter.low, parameter.high)


def is_active(parameter: Parameter, drawn: dict[str, Scalar]) -> bool:
    """Whether the parameter is drawn, given the values drawn before it."""
    return parameter.when is None or drawn.get(parameter.when.field) in parameter.when.values


def point_of(space: Space, recipe: Recipe) -> dict[str, Scalar]:
    """The recipe's point in the space: its values of the fields that are active for it.

    Raises UsageError if a value is outside the space.
    """
    values = recipe.as_overrides()
    point: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if not is_active(parameter, point):
            continue
        value = values[name]
        inside = (
            value in parameter.options
            if isinstance(parameter, Choice)
            else isinstance(value, (int, float)) and parameter.low <= value <= parameter.high
        )
        if not inside:
            raise UsageError(f"{name} = {value} is outside the search space ({parameter})")
        point[name] = value
    return point


def narrowed(space: Space, fixed: Mapping[str, Scalar]) -> Space:
    """The space with these fields fixed. They stay in it, each with one value, because others may depend on them."""
    missing = {name: Choice(options=(value,)) for name, value in fixed.items() if name not in space}
    known = {
        name: Choice(options=(fixed[name],), when=parameter.when) if name in fixed else parameter
        for name, parameter in space.items()
    }
    return {**missing, **known}


def nearest(space: Space, recipe: Recipe) -> Recipe:
    """The recipe moved into the space: numbers to the nearer end of their range, choices to the first option."""
    values = recipe.as_overrides()
    point: dict[str, Scalar] = {}
    for name, parameter in space.items():
        value = values[name]
        if not is_active(parameter, point):
            continue
        if isinstance(parameter, Choice):
            point[name] = value if value in parameter.options else parameter.options[0]
        else:
            assert isinstance(value, (int, float))
            point[name] = min(max(value, parameter.low), parameter.high)
    return recipe.with_overrides(point)


def grid_points(space: Space) -> Iterator[dict[str, Scalar]]:
    """Every point of a space of choices and whole numbers. Raises UsageError if it has a range of real numbers."""
    ranges = [name for name, parameter in space.items() if isinstance(parameter, Float)]
    if ranges:
        raise UsageError(
            f"a grid cannot have a continuous range, as for {', '.join(ranges)}; give choices in a --space file,"
            f" or fix the value: --fix {ranges[0]}=..."
        )
    return _grid(list(space.items()), {})


def _grid(left: list[tuple[str, Parameter]], point: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
    if not left:
        yield point
        return
    (name, parameter), *rest = left
    assert not isinstance(parameter, Float)
    values: Iterable[Scalar] = (
        parameter.options if isinstance(parameter, Choice) else range(parameter.low, parameter.high + 1)
    )
    for value in values if is_active(parameter, point) else [None]:
        yield from _grid(rest, point if value is None else {**point, name: value})


def dimension(space: Space) -> str:
    """How large the space is, in words."""
    continuous = sum(isinstance(parameter, Float) for parameter in space.values())
    combinations = math.prod(
        len(parameter.options) if isinstance(parameter, Choice) else parameter.high - parameter.low + 1
        for parameter in space.values()
        if not isinstance(parameter, Float)
    )
    return f"{len(space)} parameters: {combinations:,} combinations x {continuous} continuous ranges"


MODELS = ("cnn", "resnet", "lenet", "mlp")
SMALL_SIDE = 16  # pixels; below it, images are cheap, and networks gain from seeing them enlarged
LARGE_SIDE = 28  # the networks without pooling take no images below 21x21 to 25x25


def _space(widths: tuple[int, ...], hidden_units: tuple[int, ...], batch_sizes: tuple[int, ...], side: int) -> Space:
    large = side >= SMALL_SIDE
    return {
        "model.name": Choice(options=MODELS),
        "model.width": Choice(options=widths, when=When(field="model.name", values=("cnn", "resnet"))),
        "model.kernel_size": Choice(options=(3, 5), when=When(field="model.name", values=("cnn",))),
        "model.hidden_units": Choice(options=hidden_units, when=When(field="model.name", values=("cnn", "mlp"))),
        "model.dropout": Float(low=0.0, high=0.5),
        "optimizer.name": Choice(options=("adamw", "adam", "rmsprop", "sgd")),
        "optimizer.learning_rate": Float(low=5e-4, high=0.1 if large else 2e-2, log=True),
        "optimizer.weight_decay": Float(low=1e-6, high=1e-2, log=True),
        "optimizer.momentum": Float(low=0.8, high=0.98, when=When(field="optimizer.name", values=("sgd",))),
        "schedule.name": Choice(options=("one-cycle", "cosine", "linear", "constant")),
        "training.batch_size": Choice(options=batch_sizes),
        **({"training.ema_decay": Choice(options=(0.0, 0.999))} if large else {}),
        "augmentation.rotation_degrees": Float(low=0.0, high=20.0),
        "augmentation.shear_degrees": Float(low=0.0, high=15.0),
        "augmentation.zoom_fraction": Float(low=0.0, high=0.2),
        "augmentation.shift_fraction": Float(low=0.0, high=0.15),
    }


def default_space(device_type: str, side: int) -> tuple[str, Space]:
    """The default space for a kind of device, with its name: small networks on a CPU, larger ones on a GPU.

    For images of 16x16 and more it has the average of weights and the large learning rates of SGD. On a GPU, where
    there is time for long training, also elastic augmentation and, for 28x28 images, the networks without pooling of An
    et al. 2020, far too slow for a CPU.
    """
    on_cpu = device_type == "cpu"
    if on_cpu:
        space = _space(widths=(8, 16, 24, 32), hidden_units=(64, 128, 256), batch_sizes=(32, 64, 128), side=side)
    else:
        space = _space(
            widths=(32, 64, 96, 128, 192), hidden_units=(128, 256, 512), batch_sizes=(128, 256, 512, 1024), side=side
        )
    if side >= SMALL_SIDE and not on_cpu:
        space["augmentation.elastic_fraction"] = Float(low=0.0, high=0.06)
    if side >= LARGE_SIDE and not on_cpu:
        space["model.name"] = Choice(options=(*MODELS, "simple-cnn"))
        space["model.kernel_size"] = Choice(
            options=(3, 5, 7), when=When(field="model.name", values=("cnn", "simple-cnn"))
        )
    return "small" if on_cpu else "large", space
