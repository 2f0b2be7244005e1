"""An exponential moving average of a network's weights, updated without asking the device for anything."""

import copy

import torch
from torch import nn


class WeightAverage:
    """Averages all weights and batch norm's statistics.

    The decay rises with the number of steps t as (1 + t) / (10 + t), up to `decay`: short runs are not averages of
    their beginnings. torch's own AveragedModel reads its counter back from the device at every step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(requires_grad=False)
        self.decay, self.steps = decay, 0
        # Of the current weights in the next average. It lives on the device, where a captured step reads it anew.
        self.share = torch.ones((), device=next(model.parameters()).device)

    def advance(self) -> None:
        """Call before each step: how much that step's weights will count. The first ones are taken as they are."""
        self.share.fill_(1 - min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 1.0)
        self.steps += 1

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Call after each step."""
        for average, value in zip(self.module.state_dict().values(), model.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(value, self.share.to(average.dtype))
            else:
                average.copy_(value)
