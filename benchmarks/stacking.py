"""Milliseconds per copy and step when n copies of a recipe are trained as one network, each n in turn, in one run.

One thread, training images only (no validation), AdamW unless the recipe says otherwise. The column `pays` is what
`copies_that_pay` returns; where it is 1, the others show why.
"""

import argparse
import statistics
import time

import torch

from digits_core.data.datasets import load_digits
from digits_core.data.digits import split_digits
from digits_core.environment import hardware_name
from digits_core.recipe import Recipe, Scalar
from digits_core.recipes import RECIPES, named_recipe
from digits_core.training.copies import Copy, DeviceSplit
from digits_core.training.device import default_device
from digits_core.training.engine import Stack
from digits_core.training.stacking import copies_that_pay

STEPS = 40
IMAGES = 6_400
NETWORKS: dict[str, tuple[str, dict[str, Scalar]]] = {
    "cnn 8": ("sklearn-digits", {"model.width": 8}),
    "cnn 16": ("sklearn-digits", {"model.width": 16}),
    "resnet 16": ("sklearn-digits", {"model.name": "resnet"}),
    "mlp 128": ("sklearn-digits", {"model.name": "mlp"}),
    "mlp 512": ("sklearn-digits", {"model.name": "mlp", "model.hidden_units": 512}),
    "resnet 32 (MNIST)": ("mnist", {"model.name": "resnet", "model.width": 32}),
}
DEFAULT = ("lenet", "lenet-bn-dropout", "nguetsop-cnn", "improved-net", "kfold-cnn", *NETWORKS)


def recipe_of(name: str) -> tuple[str, Recipe]:
    """The data set and the recipe of a name."""
    if name in RECIPES:
        return named_recipe(name).dataset.removesuffix("-pooled"), named_recipe(name).build()
    dataset, changes = NETWORKS[name]
    return dataset, Recipe().with_overrides(changes)


def milliseconds(recipe: Recipe, data: DeviceSplit, count: int, device: torch.device) -> float:
    """Milliseconds per copy and step, in a stack of `count` copies."""
    copies = [Copy(recipe.with_overrides({"training.seed": seed}), data) for seed in range(count)]
    stack = Stack(copies, device)
    batches = stack._batches(1)[: max(4, STEPS // count)]
    stack.model.train()
    for indices in batches[:4]:
        stack._step(indices)
    started = time.perf_counter()
    for indices in batches:
        stack._step(indices)
    stack.loss_sums.tolist()  # waits for the device
    return 1_000 * (time.perf_counter() - started) / len(batches) / count


def main() -> None:
    """Measure the networks named on the command line, or the default ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(DEFAULT), help="recipes or networks (default: small ones)")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 2, 3, 4, 8])
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    device = default_device()
    print(
        f"{hardware_name()}, torch {torch.__version__}, {device}; ms a copy and step, median of {asked.rounds} rounds"
    )
    print(f"{'':20s}{'pays':>6s}" + "".join(f"{count:>9d}" for count in asked.copies))
    for name in asked.names:
        dataset, recipe = recipe_of(name)
        split = split_digits(load_digits(dataset))
        data = DeviceSplit.from_split(split.first(min(IMAGES, split.train_count)), device)
        rounds = [[milliseconds(recipe, data, count, device) for count in asked.copies] for _ in range(asked.rounds)]
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        pays = copies_that_pay(recipe, data.train.images.shape[-1], device.type)
        print(f"{name:20s}{pays:6d}" + "".join(f"{value:9.2f}" for value in medians), flush=True)


if __name__ == "__main__":
    main()
