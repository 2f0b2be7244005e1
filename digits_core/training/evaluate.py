"""From images to class probabilities, with the model in evaluation mode; loading stored weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

# Pixels per chunk. On a CPU, 100 images of 28x28: the activations of the widest default network stay within about
# 10 MB, and larger chunks are no faster (docs/lab-log.md). Elsewhere, kernel launches cost more than memory does.
CHUNK_PIXELS = {"cpu": 100 * 28 * 28, "cuda": 5_000 * 28 * 28, "mps": 2_000 * 28 * 28}


def as_tensor(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Images, uint8 (N, H, W), as the tensor (N, 1, H, W) that networks are fed from; shares their memory if it can."""
    return torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1)


def to_model_input(images: torch.Tensor) -> torch.Tensor:
    """uint8 (N, 1, H, W) -> a float copy in 0..1, channels last in memory."""
    return images.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)


def load_weights(model: nn.Module, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Load stored weights into a model. Names and shapes must match exactly."""
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


@torch.inference_mode()
def predict(model: nn.Module, images: torch.Tensor, precision: torch.dtype = torch.float32) -> npt.NDArray[np.float32]:
    """Class probabilities (N, 10). images: uint8 (N, 1, H, W) on the model's device."""
    was_training = model.training
    model.eval()
    try:
        chunks = []
        for chunk in torch.split(images, max(1, CHUNK_PIXELS[images.device.type] // images[0].numel())):
            with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
                logits = model(to_model_input(chunk))
            chunks.append(torch.softmax(logits.float(), dim=1))
        return torch.cat(chunks).cpu().numpy()
    finally:
        model.train(was_training)
