"""Measures how much GPU memory a recipe takes while it trains."""

import gc
from dataclasses import replace

import torch

from digits_core.recipe import Recipe
from digits_core.training.copies import DevicePart, DeviceSplit
from digits_core.training.engine import Trainer

STEPS = 16
"""Steps to measure. A captured step warms up first, and takes the memory of its graph only then."""

CONTEXT_BYTES = 768 * 1024**2
"""What CUDA itself takes of the GPU for a process, before any tensor; torch does not count it. An estimate on the safe
side: half a gigabyte is usual."""


def peak_bytes(recipe: Recipe, data: DeviceSplit, device: torch.device) -> int:
    """The peak GPU memory of a process that trains this recipe, including the data set and CUDA's own share.

    Measured over a few steps and one validation. Raises EnvironmentFailure if it does not fit.
    """
    assert device.type == "cuda"
    count = min(len(data.train.labels), STEPS * recipe.training.batch_size)
    sample = replace(data, train=DevicePart(images=data.train.images[:count], labels=data.train.labels[:count]))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    Trainer(recipe, sample, device).advance()
    return int(torch.cuda.max_memory_reserved(device)) + CONTEXT_BYTES


def free_bytes(device: torch.device) -> int:
    """The GPU memory that this process could use: what is free plus what it already holds."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + int(torch.cuda.memory_reserved(device)) + CONTEXT_BYTES
