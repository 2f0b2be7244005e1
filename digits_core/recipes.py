"""The named recipes: rebuilt from hand-written scripts, a lecture and a paper, and our own variants of them.

Each is a function without arguments that returns a Recipe. Where a source leaves a setting open, we chose it, and the
function's docstring says so. Target scores and the scores reached here are in docs/results.md.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_core.errors import UsageError, unknown_name
from digits_core.recipe import STILL, Augmentation, Input, Loss, Model, Optimizer, Recipe, Schedule, Training

CONSTANT = Schedule(name="constant")
NOT_PUBLISHED = "not published"
LARGEST_FILE_BYTES = 2**20  # of a best-parameters file
LONGEST_TITLE = 200


@dataclass(frozen=True, kw_only=True)
class NamedRecipe:
    """A recipe and its source. `published` quotes the source's own result."""

    build: Callable[[], Recipe]
    dataset: str
    source: str
    published: str
    published_accuracy: float | None = None  # 0..1, if the source states one that ours can be compared with
    folds: int = 0  # of the source's cross-validation; 0 if it had none
    needs_gpu: bool = False  # takes days on a CPU
    title: str = ""  # of a recipe read from a file


def nguetsop_cnn() -> Recipe:
    """As published, bug included: the loss takes softmax outputs for logits. Epochs (10) and dropout are ours."""
    return Recipe(
        model=Model(name="nguetsop-cnn", dropout=0.5),
        loss=Loss(name="cross-entropy-of-softmax"),
        optimizer=Optimizer(name="sgd", learning_rate=0.001, momentum=0.0, weight_decay=0.0),
        schedule=CONSTANT,
        augmentation=STILL,
        training=Training(epochs=10, batch_size=100, keep="last"),
    )


def nguetsop_cnn_repaired() -> Recipe:
    """The nguetsop-cnn recipe with cross-entropy of the logits; nothing else is changed."""
    return nguetsop_cnn().with_overrides({"loss.name": "cross-entropy"})


def lecture_simple_conv() -> Recipe:
    """One convolution, a pool, a dense layer. Layer sizes and all training settings are ours: none are published.

    They were chosen on the validation set (docs/lab-log.md); label smoothing gains accuracy at the cost of NLL.
    """
    return Recipe(
        model=Model(name="lecture-conv", width=64, kernel_size=5, hidden_units=512, dropout=0.0),
        loss=Loss(label_smoothing=0.1),
        optimizer=Optimizer(name="adamw", learning_rate=0.003, weight_decay=0.1),
        schedule=Schedule(name="one-cycle"),
        augmentation=STILL,
        training=Training(epochs=15, batch_size=128, ema_decay=0.999, keep="last"),
    )


def lecture_drop_conv() -> Recipe:
    """lecture-simple-conv with a dropout of 0.25."""
    return lecture_simple_conv().with_overrides({"model.dropout": 0.25})


def lecture_drop_move_conv() -> Recipe:
    """lecture-drop-conv with shifts of up to a tenth of the image's side."""
    return lecture_drop_conv().with_overrides({"augmentation.shift_fraction": 0.1, "training.epochs": 20})


def lecture_drop_full_conv() -> Recipe:
    """lecture-drop-move-conv with rotations of -30 to 30 degrees; larger kernel and half the weight decay are ours."""
    return lecture_drop_move_conv().with_overrides(
        {"augmentation.rotation_degrees": 30.0, "model.kernel_size": 7, "optimizer.weight_decay": 0.05}
    )


def cnn_mnist_101() -> Recipe:
    """As published; the optimizer (Adam at 0.001), dropout (0.25, 0.25, 0.5) and both patience values are ours.

    It trains on 55,000 images and validates on 5,000, where the source used 54,000 and 6,000.
    """
    return Recipe(
        model=Model(name="cnn-mnist-101", dropout=0.5),
        optimizer=Optimizer(name="adam", learning_rate=0.001, weight_decay=0.0),
        schedule=Schedule(name="plateau", gamma=0.5, patience_epochs=3),
        augmentation=Augmentation(rotation_degrees=10.0, shear_degrees=0.0, zoom_fraction=0.1, shift_fraction=0.1),
        training=Training(epochs=150, batch_size=64, patience_epochs=10, seed=2),
    )


def cnn_mnist_101_tuned() -> Recipe:
    """The same network and augmentation as cnn-mnist-101, trained our way.

    SGD, one-cycle, weight averaging and label smoothing were chosen on the validation set (docs/lab-log.md).
    """
    return cnn_mnist_101().with_overrides(
        {
            "loss.label_smoothing": 0.05,
            "optimizer.name": "sgd",
            "optimizer.learning_rate": 0.05,
            "optimizer.weight_decay": 0.0005,
            "schedule.name": "one-cycle",
            "training.ema_decay": 0.9995,
            "training.epochs": 30,
            "training.patience_epochs": 0,
            "training.seed": 0,
        }
    )


def resnet_tuned() -> Recipe:
    """A small residual net of our own: the lowest validation NLL that we reached in five minutes on one CPU thread.

    The optimizer, the average, the length and the augmentation were chosen on images held out of the training set,
    partly of writers it does not have (docs/lab-log.md). No test figure of this recipe was used; the augmentation was
    chosen after those of a similar network had been seen.
    """
    return Recipe().with_overrides(
        {
            "model.name": "resnet",
            "model.width": 32,
            "optimizer.name": "sgd",
            "optimizer.learning_rate": 0.05,
            "optimizer.weight_decay": 0.0005,
            "augmentation.rotation_degrees": 15.0,
            "augmentation.shear_degrees": 15.0,
            "augmentation.elastic_fraction": 0.03,
            "training.ema_decay": 0.9995,
            "training.epochs": 25,
        }
    )


def improved_net() -> Recipe:
    """As published: 8x8 images resized to 28x28 and normalised, Adam at 0.001, batches of 16, 4 epochs."""
    return Recipe(
        input=Input(side=28, normalization="standard"),
        model=Model(name="improved-net", dropout=0.3),
        optimizer=Optimizer(name="adam", learning_rate=0.001, weight_decay=0.0),
        schedule=CONSTANT,
        augmentation=STILL,
        training=Training(epochs=4, batch_size=16, keep="last"),
    )


def kfold_cnn() -> Recipe:
    """As published; `--folds 4` gives its four folds, with the scaler fitted on each fold's training images."""
    return Recipe(
        input=Input(normalization="per-pixel"),
        model=Model(name="kfold-cnn", dropout=0.5, init="kaiming-xavier"),
        optimizer=Optimizer(name="adam", learning_rate=0.001, weight_decay=0.0),
        schedule=Schedule(name="step", gamma=0.7, step_epochs=1),
        augmentation=STILL,
        training=Training(epochs=10, batch_size=64, keep="last"),
    )


def lenet() -> Recipe:
    """As published: SGD at 0.01, batches of 32, 8 epochs, the last one kept. No momentum, since none is stated."""
    return Recipe(
        model=Model(name="lenet", dropout=0.0),
        optimizer=Optimizer(name="sgd", learning_rate=0.01, momentum=0.0, weight_decay=0.0),
        schedule=CONSTANT,
        augmentation=STILL,
        training=Training(epochs=8, batch_size=32, keep="last"),
    )


def lenet_bn_dropout() -> Recipe:
    """The lenet recipe with batch norm and dropout; the dropout probability (0.25) is ours."""
    return lenet().with_overrides({"model.batch_norm": True, "model.dropout": 0.25})


def _simple_cnn(kernel_size: int) -> Recipe:
    """As in An et al. 2020, sec. 3, including how shifts are padded. Adam's epsilon is torch's default."""
    return Recipe(
        model=Model(name="simple-cnn", kernel_size=kernel_size),
        optimizer=Optimizer(name="adam", learning_rate=0.001, weight_decay=0.0),
        schedule=Schedule(name="step", gamma=0.98, step_epochs=1),
        augmentation=Augmentation(rotation_degrees=20.0, shear_degrees=0.0, zoom_fraction=0.0, shift_fraction=0.2),
        training=Training(epochs=150, batch_size=120, ema_decay=0.999),
    )


def simple_cnn_m3() -> Recipe:
    """Ten 3x3 convolutions."""
    return _simple_cnn(3)


def simple_cnn_m5() -> Recipe:
    """Five 5x5 convolutions."""
    return _simple_cnn(5)


def simple_cnn_m7() -> Recipe:
    """Four 7x7 convolutions."""
    return _simple_cnn(7)


def speedrun_99() -> Recipe:
    """99 % on MNIST in one epoch: one-cycle with a peak of 0.01, Adam with betas 0.7 and 0.9, batches of 256."""
    return Recipe(
        model=Model(name="speedrun", dropout=0.0),
        optimizer=Optimizer(name="adam", learning_rate=0.01, weight_decay=0.0, beta1=0.7, beta2=0.9),
        schedule=Schedule(name="one-cycle"),
        augmentation=STILL,
        training=Training(epochs=1, batch_size=256),
    )


_LECTURE = "a lecture's series of convolutional nets"
_AN = "An et al. 2020, arXiv 2008.10400"
_AN_PUBLISHED = "99.87 % by a vote of three such nets, 99.91 % by a two-level vote, both chosen on the test set"

RECIPES: dict[str, NamedRecipe] = {
    "nguetsop-cnn": NamedRecipe(
        build=nguetsop_cnn, dataset="mnist", source="Nguetsop's script, bug included", published="figures only"
    ),
    "nguetsop-cnn-repaired": NamedRecipe(
        build=nguetsop_cnn_repaired, dataset="mnist", source="Nguetsop's script, bug fixed", published="figures only"
    ),
    "lecture-simple-conv": NamedRecipe(
        build=lecture_simple_conv,
        dataset="mnist",
        source=_LECTURE,
        published="98.95 %, loss 0.1163",
        published_accuracy=0.9895,
    ),
    "lecture-drop-conv": NamedRecipe(
        build=lecture_drop_conv,
        dataset="mnist",
        source=_LECTURE,
        published="99.21 %, loss 0.0359",
        published_accuracy=0.9921,
    ),
    "lecture-drop-move-conv": NamedRecipe(
        build=lecture_drop_move_conv,
        dataset="mnist",
        source=_LECTURE,
        published="99.21 %, loss 0.0293",
        published_accuracy=0.9921,
    ),
    "lecture-drop-full-conv": NamedRecipe(
        build=lecture_drop_full_conv,
        dataset="mnist",
        source=_LECTURE,
        published="99.27 %, loss 0.0250",
        published_accuracy=0.9927,
    ),
    "cnn-mnist-101": NamedRecipe(
        build=cnn_mnist_101,
        dataset="mnist",
        source="the CNN-MNIST-101 script",
        published="99.70 %, loss 0.0090 (best of many runs)",
        published_accuracy=0.9970,
    ),
    "cnn-mnist-101-tuned": NamedRecipe(
        build=cnn_mnist_101_tuned,
        dataset="mnist",
        source="the CNN-MNIST-101 script's network with our training settings",
        published="(99.70 % as published)",
        published_accuracy=0.9970,
    ),
    "resnet-tuned": NamedRecipe(build=resnet_tuned, dataset="mnist", source="digits", published=NOT_PUBLISHED),
    "improved-net": NamedRecipe(
        build=improved_net,
        dataset="optdigits",
        source="the ImprovedNet script",
        published="95.55, 99.90, 100.00, 99.95 % after epochs 1 to 4, without a held-out set",
    ),
    "kfold-cnn": NamedRecipe(
        build=kfold_cnn,
        dataset="optdigits-pooled",
        source="the k-fold script",
        published="98.11 % over 4 folds (5,514 of 5,620)",
        published_accuracy=5_514 / 5_620,
        folds=4,
    ),
    "lenet": NamedRecipe(
        build=lenet, dataset="mnist", source="the LeNet script", published="97.9 % in 63 s", published_accuracy=0.979
    ),
    "lenet-bn-dropout": NamedRecipe(
        build=lenet_bn_dropout,
        dataset="mnist",
        source="the LeNet script",
        published="98.7 % in 121 s",
        published_accuracy=0.987,
    ),
    "simple-cnn-m3": NamedRecipe(
        build=simple_cnn_m3, dataset="mnist", source=_AN, published=_AN_PUBLISHED, needs_gpu=True
    ),
    "simple-cnn-m5": NamedRecipe(
        build=simple_cnn_m5, dataset="mnist", source=_AN, published=_AN_PUBLISHED, needs_gpu=True
    ),
    "simple-cnn-m7": NamedRecipe(
        build=simple_cnn_m7, dataset="mnist", source=_AN, published=_AN_PUBLISHED, needs_gpu=True
    ),
    "speedrun-99": NamedRecipe(
        build=speedrun_99,
        dataset="mnist",
        source="a known small net",
        published="99 % after one epoch",
        published_accuracy=0.99,
    ),
}


def named_recipe(name: str) -> NamedRecipe:
    """The named recipe, or the recipe in a best-parameters file (a name that ends in .json).

    Raises UsageError for an unknown name, suggesting the closest, or a file that is not a best-parameters file.
    """
    if name.endswith(".json"):
        return _recipe_of_file(Path(name))
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]


def best_parameters(recipe: Recipe, *, name: str, dataset: str, validation: dict[str, Any]) -> dict[str, Any]:
    """The content of a best-parameters file: the whole recipe, its origin and its validation scores."""
    return {"name": name, "dataset": dataset, "validation": validation, "recipe": dataclasses.asdict(recipe)}


def _recipe_of_file(path: Path) -> NamedRecipe:
    if not path.exists():
        raise UsageError(f"there is no file {path}; `digits recipes` lists the named recipes")
    try:
        values = json.loads(_content_of(path))
        _check_shape(values)
        recipe, dataset, title = Recipe.from_dict(values["recipe"]), _line(values["dataset"]), _line(values["name"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a best-parameters file ({error}); a sweep writes one into its folder, best_parameters.json"
        ) from error
    return NamedRecipe(build=lambda: recipe, dataset=dataset, source=str(path), published="", title=title)


def _check_shape(values: object) -> None:
    """Raise ValueError, with a readable reason, unless the object has the expected keys."""
    if not isinstance(values, dict) or set(values) - {"validation"} != {"name", "dataset", "recipe"}:
        raise ValueError("it must contain name, dataset, validation and recipe, and nothing else")
    parts = values["recipe"]
    if not isinstance(parts, dict) or not parts or not all(isinstance(part, dict) for part in parts.values()):
        raise ValueError("its recipe must contain sections such as model and optimizer, each with fields")


def _content_of(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError("it is not a file")
    with path.open("rb") as stream:
        content = stream.read(LARGEST_FILE_BYTES + 1)
    if len(content) > LARGEST_FILE_BYTES:
        raise ValueError(f"it is larger than {LARGEST_FILE_BYTES:,} bytes")
    return content


def _line(text: object) -> str:
    if isinstance(text, str) and 0 < len(text) <= LONGEST_TITLE and text.isprintable():
        return text
    raise ValueError(f"its name and data set must be printable text of at most {LONGEST_TITLE} characters")
