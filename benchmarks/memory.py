"""Private memory of a worker: after importing torch, with MNIST attached, and after one epoch of training.

Measured in one real Ray worker. Private memory is what no other process shares.
"""

import os

import numpy as np

from digits_core.data.digits import LabelledImages, Split
from sweeps.running.ray_session import local_ray
from sweeps.running.scratch import scratch_folder

MEBIBYTE = 1024**2
NETWORKS: dict[str, dict[str, str | int | float]] = {
    "lenet": {"model.name": "lenet"},
    "cnn 24, 5x5": {"model.name": "cnn", "model.width": 24, "model.kernel_size": 5},
    "resnet 32": {"model.name": "resnet", "model.width": 32},
}


def private_bytes() -> int:
    """Private memory of this process in bytes (Linux only)."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as lines:
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def measure(split: Split) -> dict[str, float]:
    """Private memory in MiB at each stage; run in a fresh worker."""
    import torch

    from digits_core.recipe import Recipe
    from digits_core.training.copies import DeviceSplit
    from digits_core.training.engine import Trainer

    torch.set_num_threads(1)
    device = torch.device("cpu")
    # One update on a tiny data set loads every part of torch that training needs: this is "torch itself".
    warm = Recipe().with_overrides({"training.epochs": 1, "training.batch_size": 2, "model.width": 1})
    tiny = LabelledImages(images=np.zeros((4, 28, 28), np.uint8), labels=np.arange(4, dtype=np.uint8))
    indices = np.arange(4, dtype=np.int64)
    nothing = Split(train=tiny, validation=tiny, validation_indices=indices, split_id="none")
    Trainer(warm, DeviceSplit.from_split(nothing, device), device).advance()
    figures = {"torch, warm": private_bytes() / MEBIBYTE}
    data = DeviceSplit.from_split(split, device)
    figures["with MNIST attached"] = private_bytes() / MEBIBYTE
    for name, overrides in NETWORKS.items():
        recipe = Recipe().with_overrides({**overrides, "training.epochs": 1, "training.batch_size": 64})
        Trainer(recipe, data, device).advance()
        figures[f"after an epoch of {name}"] = private_bytes() / MEBIBYTE
    return figures


def main() -> None:
    """Print the memory at each stage, and what it adds to torch."""
    os.environ["OMP_NUM_THREADS"] = "1"
    random = np.random.default_rng(0)

    def part(count: int) -> LabelledImages:
        # MNIST's sizes; the pixels do not matter here.
        return LabelledImages(
            images=random.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            labels=random.integers(0, 10, count, dtype=np.uint8),
        )

    split = Split(
        train=part(55_000),
        validation=part(5_000),
        validation_indices=np.arange(5_000, dtype=np.int64),
        split_id="bench",
    )
    with scratch_folder() as folder, local_ray(folder, 1):
        import ray  # after sweeps, which tells Ray to stay on the loopback interface

        figures: dict[str, float] = ray.get(ray.remote(measure).remote(ray.put(split)))
    base = figures["torch, warm"]
    for stage, mebibytes in figures.items():
        print(f"{stage:30s} {mebibytes:7.1f} MiB private  ({mebibytes - base:+.1f} beyond torch)")


if __name__ == "__main__":
    main()
