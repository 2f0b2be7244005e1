"""The architectures. Every one takes (N, 1, H, W) floats in 0..1 and returns (N, 10) logits, for any side >= 8.

| name   | reads                                    | source                                             |
| ------ | ---------------------------------------- | -------------------------------------------------- |
| cnn    | width, kernel_size, hidden_units, dropout | two convolutions with batch norm, one dense layer  |
| lenet  | dropout                                  | LeCun et al. 1998, Proc. IEEE 86(11), sec. II      |
| mlp    | hidden_units, dropout                    | two hidden layers                                  |
| resnet | width, dropout                           | He et al. 2016 (arXiv 1512.03385), one block a stage |
"""

from collections.abc import Callable

import torch
from torch import nn

from digits_core.data import CLASS_COUNT
from digits_core.errors import UsageError
from digits_core.recipe import Model

SMALLEST_SIDE = 8  # two 2x2 poolings must leave at least a 2x2 map


def _pooled_side(side: int) -> int:
    return side // 2 // 2


def cnn(settings: Model, side: int) -> nn.Module:
    """Two convolutions, each pooled before batch norm and ReLU (a quarter of the work, the same kind of net)."""
    padding = settings.kernel_size // 2
    features = 2 * settings.width * _pooled_side(side) ** 2
    return nn.Sequential(
        nn.Conv2d(1, settings.width, settings.kernel_size, padding=padding, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(settings.width),
        nn.ReLU(),
        nn.Conv2d(settings.width, 2 * settings.width, settings.kernel_size, padding=padding, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(2 * settings.width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(features, settings.hidden_units),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden_units, CLASS_COUNT),
    )


def lenet(settings: Model, side: int) -> nn.Module:
    """LeNet-5 with ReLU and max pooling: 6 and 16 channels, 120 and 84 units; 5x5 kernels, padded to keep sides."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(6, 16, 5, padding=2),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(16 * _pooled_side(side) ** 2, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, CLASS_COUNT),
    )


def mlp(settings: Model, side: int) -> nn.Module:
    """Two hidden layers with batch norm."""
    hidden = settings.hidden_units
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(side * side, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(hidden, CLASS_COUNT),
    )


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside an identity (He et al. 2016, fig. 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


def resnet(settings: Model, side: int) -> nn.Module:
    """A strided stem and two stages of one residual block, `width` and `2 * width` channels, average pooled.

    Strides instead of pooling: a quarter of the work at each of the two steps down (docs/lab-log.md).
    """
    del side  # the average pool takes any side
    width = settings.width
    return nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        _ResidualBlock(width),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        _ResidualBlock(2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(2 * width, CLASS_COUNT),
    )


MODELS: dict[str, Callable[[Model, int], nn.Module]] = {"cnn": cnn, "lenet": lenet, "mlp": mlp, "resnet": resnet}


def build_model(settings: Model, side: int) -> nn.Module:
    """Build the named architecture for square images of `side` pixels, channels last in memory."""
    if side < SMALLEST_SIDE:
        raise UsageError(
            f"images of {side}x{side} are too small: the architectures need {SMALLEST_SIDE}x{SMALLEST_SIDE}"
        )
    model: nn.Module = MODELS[settings.name](settings, side)
    return model.to(memory_format=torch.channels_last)


def count_parameters(model: nn.Module) -> int:
    """The number of trained values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
