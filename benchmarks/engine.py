"""Seconds per epoch of each recipe: the usual training script against this engine, alternating in one run.

The usual script has a DataLoader over PIL images, the recipe's augmentation image by image, ToTensor, float32 and eager
steps, with one thread per processor. This engine trains one single-threaded trial per processor side by side, as in a
sweep. The ratio is that of finished epochs per hour: (usual seconds x trials at a time) / seconds of those trials.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from digits_core.data.datasets import load_digits
from digits_core.data.digits import LabelledImages, Split, split_digits
from digits_core.environment import hardware_name, processor_count
from digits_core.recipe import Augmentation, Recipe
from digits_core.recipes import named_recipe
from digits_core.training.copies import DeviceSplit
from digits_core.training.engine import Trainer
from digits_core.training.models import build_model, fit_preprocessing
from digits_core.training.optim import build_optimizers

# Training images per epoch; the whole training set if it is small or the recipe is fast.
RECIPES = {
    "lenet": 55_000,
    "cnn-mnist-101": 11_000,
    "nguetsop-cnn": 55_000,
    "lecture-drop-full-conv": 11_000,
    "improved-net": 2_867,
    "kfold-cnn": 3_372,
    "speedrun-99": 55_000,
}


class PicturesOneByOne(Dataset[tuple[torch.Tensor, int]]):
    """Images as torchvision's MNIST class serves them: one PIL image at a time through a transform."""

    def __init__(self, part: LabelledImages, augmentation: Augmentation) -> None:
        self.part = part
        affine = transforms.RandomAffine(
            degrees=augmentation.rotation_degrees,
            translate=(augmentation.shift_fraction, augmentation.shift_fraction),
            scale=(1 - augmentation.zoom_fraction, 1 + augmentation.zoom_fraction),
            interpolation=transforms.InterpolationMode.BILINEAR,
        )
        moves = augmentation.rotation_degrees or augmentation.shift_fraction or augmentation.zoom_fraction
        first: list[Callable[[Any], Any]] = [affine] if moves else []
        self.transform = transforms.Compose([*first, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.part.images[index])), int(self.part.labels[index])


def usual_epoch(recipe: Recipe, split: Split) -> float:
    """Seconds of one epoch of the usual script, without validation."""
    side = split.train.images.shape[1]
    model = build_model(recipe, side).to(memory_format=torch.contiguous_format)
    fit_preprocessing(model, torch.from_numpy(split.train.images).unsqueeze(1))
    (optimizer,) = build_optimizers(list(model.parameters()), recipe.optimizer, torch.device("cpu"))
    pictures = PicturesOneByOne(split.train, recipe.augmentation)
    loader = DataLoader(pictures, batch_size=recipe.training.batch_size, shuffle=True)
    started = time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return time.perf_counter() - started


def engine_epoch(recipe: Recipe, dataset: str, count: int) -> float:
    """Seconds of one epoch of this engine on one thread, including augmentation and validation, in a worker process."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    return Trainer(recipe, DeviceSplit.from_split(first_images(dataset, count), device), device).advance().seconds


def first_images(dataset: str, count: int) -> Split:
    """The data set's split with this many training images, and validation images in proportion."""
    return split_digits(load_digits(dataset)).first(count)


def side_by_side(pool: ProcessPoolExecutor, trials: int, recipe: Recipe, dataset: str, count: int) -> float:
    """Seconds of the slowest of this many trials, trained at the same time."""
    waiting = [pool.submit(engine_epoch, recipe, dataset, count) for _ in range(trials)]
    return max(future.result() for future in waiting)


def measure(pool: ProcessPoolExecutor, trials: int, name: str, count: int, rounds: int) -> str:
    """The line of one recipe: medians with their ranges, and the ratio."""
    named = named_recipe(name)
    recipe, split = named.build(), first_images(named.dataset, count)
    pairs = [
        (usual_epoch(recipe, split), side_by_side(pool, trials, recipe, named.dataset, count)) for _ in range(rounds)
    ]
    usual, ours = ([pair[column] for pair in pairs] for column in (0, 1))
    ratios = [trials * usual_seconds / our_seconds for usual_seconds, our_seconds in pairs]
    return f"{name:23s} {count:7,d}  {_spread(usual, 2):>22s}  {_spread(ours, 2):>22s}  {_spread(ratios, 2):>20s}"


def _spread(values: list[float], digits: int) -> str:
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} [{low}, {high}]"


def main() -> None:
    """Measure the recipes named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES), help="names of recipes (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, help="training images per epoch (default: depends on the recipe)")
    asked = parser.parse_args()
    trials = processor_count()
    torch.set_num_threads(trials)
    print(f"{hardware_name()}, torch {torch.__version__}; usual: {trials} threads, here: {trials} trials of one thread")
    print(f"Medians of {asked.rounds} rounds [lowest, highest]; times here include validation, the usual ones do not.")
    print(f"{'recipe':23s} {'images':>7s}  {'usual script, s':>22s}  {'here, s':>22s}  {'ratio':>20s}")
    with ProcessPoolExecutor(trials, mp_context=get_context("spawn")) as pool:
        side_by_side(pool, trials, named_recipe("kfold-cnn").build(), "sklearn-digits", 200)  # warms up the workers
        for name in asked.recipes:
            print(measure(pool, trials, name, asked.images or RECIPES.get(name, 11_000), asked.rounds), flush=True)


if __name__ == "__main__":
    main()
