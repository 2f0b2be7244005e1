"""Recipes that are known to be good on a kind of device and image size: the first trials of a sweep.

They differ in optimizer, augmentation, architecture or image size, because networks of one kind miss the same images.
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
_SLANTED: Overrides = {"augmentation.rotation_degrees": 15.0, "augmentation.shear_degrees": 15.0}
_RESNET: Overrides = {"model.name": "resnet", "model.width": 32, "training.batch_size": 64, **_SGD}
_ENLARGED: Overrides = {**_RESNET, "training.batch_size": 32, "training.ema_decay": 0.995}


def default_max_epochs(device_type: str, side: int, *, is_confirmed: bool = False) -> int:
    """Epochs of a full trial. Small images are cheap, and so are epochs on a GPU.

    is_confirmed: the best recipes will be trained again, for `final_epochs`, so that the trials of the search only have
    to tell which they are.
    """
    if side < SMALL_SIDE:
        return 40
    if device_type == "cuda":
        return 20
    return 5 if is_confirmed else 10


def final_epochs(device_type: str, side: int) -> int | None:
    """Epochs for which a search's best recipes are trained at last; None: as many as in the search."""
    if side < SMALL_SIDE:
        return None
    return 50 if device_type == "cuda" else 40


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
    return plain.with_overrides({**_SGD, **_SLANTED} if device_type == "cpu" else {"training.ema_decay": 0.999})


def further_recipes(device_type: str, side: int) -> tuple[Recipe, ...]:
    """What is trained after the baseline, if there are enough trials. Not all of them are in the default space."""
    if side < SMALL_SIDE:
        return tuple(Recipe().with_overrides({**_ENLARGED, "input.side": larger}) for larger in (28, 16))
    if device_type == "cuda" and side >= LARGE_SIDE:
        return tuple(named_recipe(name).build() for name in ("cnn-mnist-101-tuned", "simple-cnn-m3", "simple-cnn-m5"))
    slanted: Overrides = {**_RESNET, **_SLANTED}
    decayed: Overrides = {"optimizer.name": "adamw", "optimizer.learning_rate": 0.005, "optimizer.weight_decay": 0.05}
    deep: Overrides = {"model.width": 24, "model.depth": 2, "augmentation.elastic_fraction": 0.03}
    return tuple(Recipe().with_overrides({**slanted, **further}) for further in (deep, decayed))
