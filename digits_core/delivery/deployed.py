"""A classifier as one torch module that contains every step from image to probabilities."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from digits_core.inference.classifier import Classifier
from digits_core.judging.ensemble import Stack
from digits_core.metrics import SMALLEST_PROBABILITY
from digits_core.training.evaluate import as_tensor

CHUNK = 500  # images per batch


class Deployed(nn.Module):
    """Images -> probabilities (N, 10), in single precision on the CPU.

    Takes float32 (N, 1, side, side), 0 for paper and 1 for ink. With `takes_bytes` it takes uint8 (N, 1, height, width)
    of any size and either polarity, scales them and inverts those with a light border.
    """

    def __init__(self, classifier: Classifier, *, takes_bytes: bool = False) -> None:
        super().__init__()
        networks = [network.float().cpu().eval() for network in classifier.networks]
        self.networks = nn.ModuleList(network.to(memory_format=torch.contiguous_format) for network in networks)
        self.side, self.takes_bytes = classifier.side, takes_bytes
        combination = classifier.combine
        self.by_vote, self.temperature = combination.by_vote, combination.temperature
        self.register_buffer("weights", torch.tensor(combination.weights, dtype=torch.float32))
        self.stack = None if combination.stack is None else _linear(combination.stack)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.prepared(image) if self.takes_bytes else image
        said = [torch.softmax(network(x), dim=1) for network in self.networks]
        together = said[0] if len(said) == 1 and self.stack is None else self.combined(said)
        if self.temperature == 1.0:
            return together
        return torch.softmax(torch.log(together.clamp_min(SMALLEST_PROBABILITY)) / self.temperature, dim=1)

    def combined(self, said: Sequence[torch.Tensor]) -> torch.Tensor:
        """Combine the members' probabilities, M of (N, 10), into one (N, 10)."""
        if self.stack is not None:
            logits: torch.Tensor = self.stack(torch.log(torch.cat(list(said), dim=1).clamp_min(SMALLEST_PROBABILITY)))
            return torch.softmax(logits, dim=1)
        if self.by_vote:
            votes = sum(F.one_hot(one.argmax(dim=1), one.shape[1]).float() for one in said)
            return (votes + torch.stack(list(said)).mean(dim=0)) / (len(said) + 1)
        weights = self.get_buffer("weights")
        return torch.stack([one * weight for one, weight in zip(said, weights, strict=True)]).sum(dim=0)

    def prepared(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 1, height, width) -> float32 (N, 1, side, side), ink bright."""
        x = image.float() / 255
        edges = (x[:, :, :1].mean((2, 3), True), x[:, :, -1:].mean((2, 3), True))
        sides = (x[:, :, :, :1].mean((2, 3), True), x[:, :, :, -1:].mean((2, 3), True))
        is_light = ((edges[0] + edges[1] + sides[0] + sides[1]) > 2).float()
        x = is_light + (1 - 2 * is_light) * x
        return F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)

    def answers(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities, (N, 10), for images, uint8 (N, side, side)."""
        return in_chunks(self, images, self.takes_bytes)


@torch.inference_mode()
def in_chunks(
    answer: Callable[[torch.Tensor], torch.Tensor], images: npt.NDArray[np.uint8], takes_bytes: bool
) -> npt.NDArray[np.float32]:
    """Probabilities, (N, 10), for images, uint8 (N, side, side): calls `answer` on one batch after another."""
    chunks = [answer(as_input(images[at : at + CHUNK], takes_bytes)) for at in range(0, len(images), CHUNK)]
    return torch.cat(chunks).numpy()


def as_input(images: npt.NDArray[np.uint8], takes_bytes: bool) -> torch.Tensor:
    """Images, uint8 (N, H, W), as a tensor that the module takes, (N, 1, H, W)."""
    tensor = as_tensor(images)
    return tensor if takes_bytes else tensor.float() / 255


def _linear(stack: Stack) -> nn.Linear:
    """The stack's regression as a layer. Its inputs are the members' log probabilities, concatenated."""
    outputs, inputs = stack.coefficients.shape
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(stack.coefficients))
        layer.bias.copy_(torch.from_numpy(stack.intercepts))
    return layer.eval()
