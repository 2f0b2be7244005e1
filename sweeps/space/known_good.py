"""Recipes that are known to be good on a kind of device and image size: the first trials of a sweep.

They differ in architecture, augmentation or image size, because networks of one kind miss the same images.
docs/lab-log.md has what they reach, and what was tried beside them. All of it was chosen on held-out training images.
"""

from digits_core.recipe import Recipe, Scalar
from digits_core.recipes import named_recipe
from sweeps.space.spaces import LARGE_SIDE, SMALL_SIDE

Overrides = dict[str, Scalar]

_SGD: Overrides = {
    "optimizer.name": "sgd",
    "optimizer.learning_rate": 0.05,
    "optimizer.weight_decay": 0.0005,
    "training.ema_decay": 0.999,
}
_RESNET: Overrides = {"model.name": "resnet", "model.width": 32, "training.batch_size": 64, **_SGD}
_ENLARGED: Overrides = {**_RESNET, "training.batch_size": 32, "training.ema_decay": 0.995}


def default_max_epochs(device_type: str, side: int) -> int:
    """Epochs of a full trial. Small images are cheap, and so are epochs on a GPU."""
    if side < SMALL_SIDE:
        return 40
    return 20 if device_type == "cuda" else 10


def plain_recipe(device_type: str, side: int, epochs: int) -> Recipe:
    """The default network of a device and image size, with the default optimizer of a recipe."""
    small = device_type == "cpu"
    overrides: Overrides = {
        "model.name": "cnn" if side < SMALL_SIDE else "resnet",
        "model.width": (24 if side < SMALL_SIDE else 32) if small else 64,
        "model.hidden_units": 128 if small else 256,
        "training.batch_size": (32 if side < SMALL_SIDE else 64) if small else 256,
    }
    return Recipe().with_overrides({**overrides, "training.epochs": epochs})


def default_recipe(device_type: str, side: int, epochs: int) -> Recipe:
    """Trial 0 of a sweep over the default space: the baseline, a known good point of it."""
    plain = plain_recipe(device_type, side, epochs)
    if side < SMALL_SIDE:
        return plain
    return plain.with_overrides(_SGD if device_type == "cpu" else {"training.ema_decay": 0.999})


def further_recipes(device_type: str, side: int) -> tuple[Recipe, ...]:
    """What is trained after the baseline, if there are enough trials. Not all of them are in the default space."""
    if side < SMALL_SIDE:
        return tuple(Recipe().with_overrides({**_ENLARGED, "input.side": larger}) for larger in (28, 16))
    if device_type == "cuda" and side >= LARGE_SIDE:
        return tuple(named_recipe(name).build() for name in ("cnn-mnist-101-tuned", "simple-cnn-m3", "simple-cnn-m5"))
    wide: Overrides = {
        "model.name": "wide-resnet",
        "model.width": 16,
        "model.dropout": 0.0,
        "training.ema_decay": 0.999,
    }
    bent: Overrides = {
        "augmentation.shift_fraction": 0.06,
        "augmentation.zoom_fraction": 0.15,
        "augmentation.shear_degrees": 10.0,
    }
    return tuple(Recipe().with_overrides(one) for one in (wide, {**_RESNET, **bent}))
