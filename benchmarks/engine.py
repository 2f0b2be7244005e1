"""Seconds an epoch: the usual script (DataLoader, ToTensor, eager) against this engine, alternating in one run.

Both train the same network with the same optimizer, batch size and amount of data, on one thread. Uses MNIST
where it is at hand, else scikit-learn's digits.
"""

import statistics
import time

import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from digits_core.data import MNIST_FILES, Split, load_digits, split_digits
from digits_core.engine import DeviceSplit, Trainer
from digits_core.environment import hardware_name
from digits_core.files import is_at_hand
from digits_core.models import build_model
from digits_core.recipe import Recipe, Scalar

ROUNDS = 3
NETWORKS: dict[str, dict[str, Scalar]] = {
    "cnn": {"model.name": "cnn", "model.width": 24, "model.kernel_size": 5},
    "lenet": {"model.name": "lenet"},
    "resnet": {"model.name": "resnet", "model.width": 16},
}


class PicturesOneByOne(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision's MNIST class serves them: a PIL image at a time through a transform."""

    def __init__(self, split: Split) -> None:
        self.part = split.train
        self.transform = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.part.images[index])), int(self.part.labels[index])


def usual_epoch(recipe: Recipe, split: Split) -> float:
    """Seconds of one epoch as tutorials write it."""
    side = split.train.images.shape[1]
    model = build_model(recipe, side).to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.optimizer.learning_rate)
    loader = DataLoader(PicturesOneByOne(split), batch_size=recipe.training.batch_size, shuffle=True)
    started = time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return time.perf_counter() - started


def engine_epoch(recipe: Recipe, split: Split) -> float:
    """Seconds of one epoch here, its augmentation and validation included."""
    device = torch.device("cpu")
    return Trainer(recipe, DeviceSplit.from_split(split, device), device).run_epoch().seconds


def main() -> None:
    """Print one line a network: medians, their range, and the ratio."""
    torch.set_num_threads(1)
    dataset = "mnist" if all(is_at_hand(file) for file in MNIST_FILES) else "sklearn-digits"
    split = split_digits(load_digits(dataset))
    print(
        f"{hardware_name()}, torch {torch.__version__}, one thread, {dataset}, {len(split.train):,} images,"
        f" n = {ROUNDS}"
    )
    print("The engine's seconds include augmentation and validation, the usual script's do not.")
    for name, overrides in NETWORKS.items():
        recipe = Recipe().with_overrides({**overrides, "training.epochs": 1, "training.batch_size": 64})
        pairs = [(usual_epoch(recipe, split), engine_epoch(recipe, split)) for _ in range(ROUNDS)]
        usual, ours = ([pair[side] for pair in pairs] for side in (0, 1))
        ratios = [a / b for a, b in pairs]
        print(
            f"{name:7s} usual {statistics.median(usual):6.2f} s [{min(usual):.2f}, {max(usual):.2f}]"
            f"   engine {statistics.median(ours):6.2f} s [{min(ours):.2f}, {max(ours):.2f}]"
            f"   ratio {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
        )


if __name__ == "__main__":
    main()
