"""How much of a GPU's memory a recipe takes while it trains."""

import gc
from dataclasses import replace

import torch

from digits_core.recipe import Recipe
from digits_core.training.engine import DevicePart, DeviceSplit, Trainer

STEPS = 16
"""A captured step warms up first, and only then takes the memory of its graph."""

CONTEXT_BYTES = 768 * 1024**2
"""What CUDA takes of the GPU for a process before any tensor: torch does not count it. An estimate, to be on the safe
side: half a gigabyte is usual."""


def peak_bytes(recipe: Recipe, data: DeviceSplit, device: torch.device) -> int:
    """The most that a process which trains this recipe holds, the data set and CUDA's own part included.

    Measured over a few steps and a validation. Raises EnvironmentFailure where it does not fit.
    """
    assert device.type == "cuda"
    count = min(len(data.train.labels), STEPS * recipe.training.batch_size)
    sample = replace(data, train=DevicePart(images=data.train.images[:count], labels=data.train.labels[:count]))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    Trainer(recipe, sample, device).run_epoch()
    return int(torch.cuda.max_memory_reserved(device)) + CONTEXT_BYTES


def free_bytes(device: torch.device) -> int:
    """What this process could use of the GPU: what is free, and what it holds already."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + int(torch.cuda.memory_reserved(device)) + CONTEXT_BYTES
