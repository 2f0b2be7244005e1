"""A recipe: everything that decides how one network is trained, as one frozen value.

>>> recipe = Recipe()
>>> recipe.with_overrides({"optimizer.learning_rate": 0.01}).optimizer.learning_rate
0.01
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, get_type_hints

from digits_core.errors import UsageError, unknown_name

Scalar = str | int | float | bool
ARCHITECTURES = (
    "cnn",
    "cnn-mnist-101",
    "improved-net",
    "kfold-cnn",
    "lecture-conv",
    "lenet",
    "mlp",
    "nguetsop-cnn",
    "resnet",
    "simple-cnn",
    "speedrun",
    "wide-resnet",
)
INITIALISERS = ("default", "kaiming", "kaiming-xavier", "orthogonal", "xavier")
NORMALISATIONS = ("none", "per-pixel", "standard")
LOSSES = ("cross-entropy", "cross-entropy-of-softmax", "focal", "mse", "nll")
OPTIMIZERS = ("adagrad", "adam", "adamw", "lion", "muon", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "exponential", "linear", "one-cycle", "plateau", "step")
PRECISIONS = ("auto", "bfloat16", "float32")
COMPILATIONS = ("auto", "off", "on")
KEPT_EPOCHS = ("best", "last")
MOST_EPOCHS = 100_000
LARGEST_SEED = 2**32 - 1


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also rejects NaN
        limits = [str(limit) if isinstance(limit, int) else f"{limit:g}" for limit in (low, high)]
        raise UsageError(f"{what} must be between {limits[0]} and {limits[1]}, got {value!r}")


def _check_choice(what: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise unknown_name(what, value, valid)


@dataclass(frozen=True, kw_only=True)
class Model:
    """The network. `digits_core.training.models` says which fields each architecture reads."""

    name: str = "cnn"
    width: int = 16  # channels of the first convolution
    kernel_size: int = 3  # pixels, odd
    hidden_units: int = 128  # units of a hidden dense layer
    dropout: float = 0.25  # probability that a unit before a dense layer is dropped
    depth: int = 1  # convolutions, or residual blocks, per stage
    batch_norm: bool = False  # lenet only: elsewhere the architecture decides
    init: str = "default"  # default: torch's own; kaiming-xavier: Kaiming for convolutions, Xavier for dense layers

    def __post_init__(self) -> None:
        _check_choice("architecture", self.name, ARCHITECTURES)
        _check_choice("initialiser", self.init, INITIALISERS)
        _check_range("model.depth", self.depth, 1, 32)
        _check_range("model.width", self.width, 1, 1024)
        _check_range("model.kernel_size", self.kernel_size, 1, 7)
        if self.kernel_size % 2 == 0:
            raise UsageError(f"model.kernel_size must be odd, got {self.kernel_size}")
        _check_range("model.hidden_units", self.hidden_units, 1, 8192)
        _check_range("model.dropout", self.dropout, 0.0, 0.95)


@dataclass(frozen=True, kw_only=True)
class Input:
    """How images are prepared for the network. Statistics are the training set's and are stored with the weights."""

    side: int = 0  # pixels, resized bilinearly; 0: the images' own size
    normalization: str = "none"  # standard: one mean and standard deviation; per-pixel: as StandardScaler

    def __post_init__(self) -> None:
        _check_choice("normalization", self.normalization, NORMALISATIONS)
        _check_range("input.side", self.side, 0, 256)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What training minimises. Trials are ranked by validation NLL, whichever loss is used."""

    name: str = "cross-entropy"
    label_smoothing: float = 0.0  # share of the target spread over all classes; cross-entropy losses only
    focal_gamma: float = 2.0  # focal only

    def __post_init__(self) -> None:
        _check_choice("loss", self.name, LOSSES)
        _check_range("loss.label_smoothing", self.label_smoothing, 0.0, 0.9)
        _check_range("loss.focal_gamma", self.focal_gamma, 0.0, 10.0)
        if self.label_smoothing and not self.name.startswith("cross-entropy"):
            raise UsageError(
                f"loss.label_smoothing needs a cross-entropy loss, not {self.name}; set it to 0 or change loss.name"
            )


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The update rule and its peak learning rate."""

    name: str = "adamw"
    learning_rate: float = 0.005
    weight_decay: float = 0.0001  # decoupled for adamw, lion and muon; an L2 term in the gradient for the others
    momentum: float = 0.9  # sgd and muon
    nesterov: bool = True  # sgd and muon
    beta1: float = 0.9  # adam, adamw and lion
    beta2: float = 0.999  # adam, adamw and lion

    def __post_init__(self) -> None:
        _check_choice("optimizer", self.name, OPTIMIZERS)
        _check_range("optimizer.learning_rate", self.learning_rate, 1e-8, 100.0)
        _check_range("optimizer.weight_decay", self.weight_decay, 0.0, 10.0)
        _check_range("optimizer.momentum", self.momentum, 0.0, 0.999)
        _check_range("optimizer.beta1", self.beta1, 0.0, 0.9999)
        _check_range("optimizer.beta2", self.beta2, 0.0, 0.99999)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate changes from the first step to the last."""

    name: str = "one-cycle"
    warmup_fraction: float = 0.25  # share of all steps before the peak; cosine and one-cycle
    gamma: float = 0.7  # decay factor: every epoch (exponential), every step_epochs (step) or on a plateau
    step_epochs: int = 1  # step only
    patience_epochs: int = 3  # plateau only: epochs without a lower validation NLL before the next decay

    def __post_init__(self) -> None:
        _check_choice("schedule", self.name, SCHEDULES)
        _check_range("schedule.gamma", self.gamma, 1e-6, 1.0)
        _check_range("schedule.step_epochs", self.step_epochs, 1, MOST_EPOCHS)
        _check_range("schedule.patience_epochs", self.patience_epochs, 1, MOST_EPOCHS)
        _check_range("schedule.warmup_fraction", self.warmup_fraction, 0.0, 0.9)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Limits of the random augmentation of training images; each image draws its own values."""

    rotation_degrees: float = 10.0
    shear_degrees: float = 5.0
    zoom_fraction: float = 0.1  # scale factor from 1 - z to 1 + z
    shift_fraction: float = 0.1  # of the image's side, before zooming
    elastic_fraction: float = 0.0  # largest displacement of a coarse grid's knots, as a share of the image's side
    erasing_probability: float = 0.0  # of blanking a rectangle of 2 to 20 % of the image
    still_epochs: int = 0  # the last N epochs train without augmentation; 0: none

    def __post_init__(self) -> None:
        _check_range("augmentation.rotation_degrees", self.rotation_degrees, 0.0, 180.0)
        _check_range("augmentation.shear_degrees", self.shear_degrees, 0.0, 60.0)
        _check_range("augmentation.zoom_fraction", self.zoom_fraction, 0.0, 0.9)
        _check_range("augmentation.shift_fraction", self.shift_fraction, 0.0, 0.5)
        _check_range("augmentation.elastic_fraction", self.elastic_fraction, 0.0, 0.5)
        _check_range("augmentation.erasing_probability", self.erasing_probability, 0.0, 1.0)
        _check_range("augmentation.still_epochs", self.still_epochs, 0, MOST_EPOCHS)


STILL = Augmentation(rotation_degrees=0.0, shear_degrees=0.0, zoom_fraction=0.0, shift_fraction=0.0)
"""No augmentation: training on the images as they are."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long to train, in what batches, from which seed."""

    epochs: int = 10
    batch_size: int = 64
    seed: int = 0
    precision: str = "auto"  # auto: bfloat16 if the device supports it natively and it is faster
    compile: str = "auto"  # auto: CUDA graph on a GPU, eager elsewhere; on: torch.compile; off: eager
    patience_epochs: int = 0  # early stopping after so many epochs without a lower validation NLL; 0: never
    ema_decay: float = 0.0  # of the weights' exponential moving average, which is then evaluated and kept; 0: none
    average_epochs: int = 0  # keep the mean of the weights over the last N epochs, instead of ema_decay; 0: no
    gradient_clip: float = 0.0  # largest norm of the whole gradient; 0: no clipping
    keep: str = "best"  # which epoch's weights: the one with the lowest validation NLL, or the last

    def __post_init__(self) -> None:
        _check_range("training.epochs", self.epochs, 0, MOST_EPOCHS)
        _check_range("training.batch_size", self.batch_size, 1, 1_000_000)
        _check_range("training.seed", self.seed, 0, LARGEST_SEED)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("training.compile", self.compile, COMPILATIONS)
        _check_choice("training.keep", self.keep, KEPT_EPOCHS)
        _check_range("training.patience_epochs", self.patience_epochs, 0, MOST_EPOCHS)
        _check_range("training.ema_decay", self.ema_decay, 0.0, 0.99999)
        _check_range("training.average_epochs", self.average_epochs, 0, MOST_EPOCHS)
        _check_range("training.gradient_clip", self.gradient_clip, 0.0, 1e6)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about one training run except the data."""

    input: Input = field(default_factory=Input)
    model: Model = field(default_factory=Model)
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Augmentation = field(default_factory=Augmentation)
    training: Training = field(default_factory=Training)

    def with_overrides(self, overrides: Mapping[str, Scalar]) -> "Recipe":
        """Return a copy with dotted fields replaced, e.g. {"model.name": "lenet"}.

        Raises UsageError for an unknown field (suggesting the closest) or a value of the wrong type or range.
        """
        by_part: dict[str, dict[str, Scalar]] = {}
        for dotted, value in overrides.items():
            coerced = _coerce(dotted, value)
            part, _, name = dotted.partition(".")
            by_part.setdefault(part, {})[name] = coerced
        changed: dict[str, Any] = {part: replace(getattr(self, part), **values) for part, values in by_part.items()}
        return replace(self, **changed)

    def as_overrides(self) -> dict[str, Scalar]:
        """All fields by their dotted names."""
        return dict(self._flat)

    @cached_property
    def _flat(self) -> dict[str, Scalar]:
        return {f"{part}.{name}": value for part, values in asdict(self).items() for name, value in values.items()}

    def changes(self) -> dict[str, Scalar]:
        """The fields that differ from the default recipe, by their dotted names."""
        default = Recipe().as_overrides()
        return {name: value for name, value in self.as_overrides().items() if value != default[name]}

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_dict(parts: Mapping[str, Mapping[str, Scalar]]) -> "Recipe":
        """Inverse of `dataclasses.asdict`; missing fields take their defaults."""
        unknown = set(parts) - {part.name for part in fields(Recipe)}
        if unknown:
            raise unknown_name("recipe section", min(unknown), (part.name for part in fields(Recipe)))
        flat = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        return Recipe().with_overrides(flat)

    @cached_property
    def recipe_id(self) -> str:
        """Twelve hexadecimal digits that identify the configuration. The seed is not part of it.

        Only fields that differ from the default recipe are hashed, so adding a field does not rename old recipes.
        """
        own = self.changes()
        own.pop("training.seed", None)
        return hashlib.sha256(json.dumps(own, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]


def _field_types() -> dict[str, type]:
    parts = get_type_hints(Recipe)
    return {
        f"{part.name}.{f.name}": get_type_hints(parts[part.name])[f.name]
        for part in fields(Recipe)
        for f in fields(parts[part.name])
    }


FIELD_TYPES: dict[str, type] = _field_types()
"""Every dotted recipe field and its type: the names that overrides and search spaces may use."""


def field_type(dotted: str) -> type:
    """The type of a dotted recipe field. Raises UsageError for an unknown field, suggesting the closest."""
    if dotted not in FIELD_TYPES:
        raise unknown_name("recipe field", dotted, FIELD_TYPES)
    return FIELD_TYPES[dotted]


def parse_assignment(text: str) -> tuple[str, Scalar]:
    """Parse `optimizer.learning_rate=0.01` into a dotted field and a value of that field's type."""
    dotted, equals, value = (piece.strip() for piece in text.partition("="))
    if not equals:
        raise UsageError(f"{text!r} is not an assignment; write it as optimizer.learning_rate=0.01")
    expected = field_type(dotted)
    if expected is str:
        return dotted, value
    try:
        parsed = json.loads(value.lower())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{dotted} must be of type {expected.__name__}, got {value[:40]!r}") from error
    return dotted, _coerce(dotted, parsed)


def parse_variation(text: str) -> tuple[str, tuple[Scalar, ...]]:
    """Parse `training.batch_size=32,64` into a dotted field and its values, each of that field's type."""
    dotted, equals, values = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not a variation; write it as training.batch_size=32,64")
    parsed = tuple(parse_assignment(f"{dotted}={value}") for value in values.split(","))
    different = tuple(dict.fromkeys(value for _, value in parsed))
    if len(different) < len(parsed):
        raise UsageError(f"{text!r} lists a value twice")
    return parsed[0][0], different


def parse_variations(texts: Iterable[str]) -> dict[str, tuple[Scalar, ...]]:
    """Parse several variations. Raises UsageError if two vary the same field."""
    varied: dict[str, tuple[Scalar, ...]] = {}
    for text in texts:
        dotted, values = parse_variation(text)
        if dotted in varied:
            raise UsageError(f"{dotted} is varied twice; put all its values in one --vary")
        varied[dotted] = values
    return varied


def _coerce(dotted: str, value: Scalar) -> Scalar:
    expected = field_type(dotted)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise UsageError(f"{dotted} must be of type float, and this number is too large for that") from error
    if expected is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not expected:
        raise UsageError(f"{dotted} must be of type {expected.__name__}, got {value!r}")
    return value
