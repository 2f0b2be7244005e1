"""The architectures. Each takes float images (N, 1, H, W) in 0..1 and returns logits (N, 10).

| name        | reads                                            | source                                          |
| ----------- | ------------------------------------------------ | ----------------------------------------------- |
| cnn         | width, depth, kernel_size, hidden_units, dropout | two stages of convolutions, batch norm          |
| speedrun    | dropout                                          | for speedrun-99, see recipes.py                 |
| mlp         | hidden_units, dropout                            | two hidden layers                               |
| resnet      | width, depth, dropout                            | He et al. 2016 (arXiv 1512.03385)               |
| wide-resnet | width, depth, dropout                            | Zagoruyko and Komodakis 2016 (arXiv 1605.07146) |

These take images of 8x8 pixels or more; those in founding.py raise UsageError for images too small for them.
Normalising, resizing and initialising are the same for all.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from digits_core.data.digits import CLASS_COUNT
from digits_core.errors import UsageError
from digits_core.recipe import Input, Model, Recipe
from digits_core.training.founding import (
    cnn_mnist_101,
    improved_net,
    kfold_cnn,
    lecture_conv,
    lenet,
    nguetsop_cnn,
    simple_cnn,
)

SMALLEST_SIDE = 8  # two 2x2 poolings must leave at least a 2x2 map


def _pooled_side(side: int) -> int:
    return side // 2 // 2


def _cnn_stage(inputs: int, outputs: int, settings: Model) -> list[nn.Module]:
    """A convolution, pooled before its batch norm and ReLU (a quarter of the work), then depth - 1 without a pool."""
    layers: list[nn.Module] = []
    for position in range(settings.depth):
        channels, padding = inputs if position == 0 else outputs, settings.kernel_size // 2
        layers.append(nn.Conv2d(channels, outputs, settings.kernel_size, padding=padding, bias=False))
        layers.extend([nn.MaxPool2d(2)] if position == 0 else [])
        layers.extend([nn.BatchNorm2d(outputs), nn.ReLU()])
    return layers


def cnn(settings: Model, side: int) -> nn.Module:
    """Two stages of `depth` convolutions, with `width` and `2 * width` channels, and one dense layer."""
    return nn.Sequential(
        *_cnn_stage(1, settings.width, settings),
        *_cnn_stage(settings.width, 2 * settings.width, settings),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(2 * settings.width * _pooled_side(side) ** 2, settings.hidden_units),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden_units, CLASS_COUNT),
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


def speedrun(settings: Model, side: int) -> nn.Module:
    """The smallest that learns MNIST to 99 % in one epoch: 24 channels 5x5, 32 channels 3x3, each pooled; dense 256."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 5, padding=2, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 32, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * _pooled_side(side) ** 2, 256, bias=False),
        nn.BatchNorm1d(256),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(256, CLASS_COUNT),
    )


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions with an identity shortcut (He et al. 2016, fig. 2)."""

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
    """A strided stem, two stages of `depth` residual blocks with `width` and `2 * width` channels, average pooling.

    Strides instead of pooling: a quarter of the work at each of the two downsampling steps (docs/lab-log.md).
    """
    del side  # the average pool takes any side
    width = settings.width
    return nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *(_ResidualBlock(width) for _ in range(settings.depth)),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        *(_ResidualBlock(2 * width) for _ in range(settings.depth)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(2 * width, CLASS_COUNT),
    )


class _WideBlock(nn.Module):
    """Batch norm and ReLU before each of two 3x3 convolutions, dropout between them (Zagoruyko 2016, fig. 1 d)."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.rest = nn.Sequential(
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        self.shortcut = None
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = torch.relu(self.norm(x))
        body: torch.Tensor = self.rest(self.first(active))
        return body + (x if self.shortcut is None else self.shortcut(active))


def wide_resnet(settings: Model, side: int) -> nn.Module:
    """Three stages of `depth` pre-activation blocks, `width`, `2 * width` and `4 * width` channels; average pooling."""
    del side
    channels = inputs = settings.width
    blocks: list[nn.Module] = []
    for stage in range(3):
        channels = settings.width * 2**stage
        for position in range(settings.depth):
            stride = 2 if stage and not position else 1
            blocks.append(_WideBlock(inputs, channels, stride, settings.dropout))
            inputs = channels
    return nn.Sequential(
        nn.Conv2d(1, settings.width, 3, padding=1, bias=False),
        *blocks,
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, CLASS_COUNT),
    )


MODELS: dict[str, Callable[[Model, int], nn.Module]] = {
    "cnn": cnn,
    "cnn-mnist-101": cnn_mnist_101,
    "improved-net": improved_net,
    "kfold-cnn": kfold_cnn,
    "lecture-conv": lecture_conv,
    "lenet": lenet,
    "mlp": mlp,
    "nguetsop-cnn": nguetsop_cnn,
    "resnet": resnet,
    "simple-cnn": simple_cnn,
    "speedrun": speedrun,
    "wide-resnet": wide_resnet,
}


class Preprocessing(nn.Module):
    """Normalises and resizes images (N, 1, H, W). Its statistics are buffers, so they are stored with the weights."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, settings: Input, side: int) -> None:
        super().__init__()
        self.settings = settings
        shape = (1, 1, side, side) if settings.normalization == "per-pixel" else (1, 1, 1, 1)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def fit(self, images: torch.Tensor) -> None:
        """Compute the statistics of the training images, uint8 (N, 1, H, W). A constant pixel is only centred."""
        if self.settings.normalization == "none":
            return
        pixels = images.to("cpu", torch.float64) / 255
        dims = [0] if self.settings.normalization == "per-pixel" else [0, 2, 3]
        deviation = pixels.std(dim=dims, correction=0, keepdim=True)
        self.mean.copy_(pixels.mean(dim=dims, keepdim=True))
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float (N, 1, H, W) in 0..1 -> float (N, 1, S, S); stacked, (N, M, H, W) -> (N, M, S, S)."""
        x = (x - self.mean) / self.deviation
        if self.settings.side:
            size = (self.settings.side, self.settings.side)
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return x


def _initialise(model: nn.Module, name: str) -> None:
    """Redraw the weights of convolutions and dense layers, and set their biases to zero."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            is_convolution = isinstance(module, nn.Conv2d)
            if name == "orthogonal":
                nn.init.orthogonal_(module.weight)
            elif name == "kaiming" or (name == "kaiming-xavier" and is_convolution):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def build_model(recipe: Recipe, side: int) -> nn.Module:
    """Build the recipe's network for square images of `side` pixels, channels last in memory.

    Raises UsageError if the images are too small for the architecture.
    """
    seen_side = recipe.input.side or side
    if seen_side < SMALLEST_SIDE:
        raise UsageError(
            f"images of {seen_side}x{seen_side} pixels are too small: every architecture needs at least"
            f" {SMALLEST_SIDE}x{SMALLEST_SIDE}; input.side=28 resizes them"
        )
    model: nn.Module = MODELS[recipe.model.name](recipe.model, seen_side)
    if recipe.model.init != "default":
        _initialise(model, recipe.model.init)
    if recipe.input != Input():
        model = nn.Sequential(Preprocessing(recipe.input, side), model)
    return model.to(memory_format=torch.channels_last)


def fit_preprocessing(model: nn.Module, images: torch.Tensor) -> None:
    """Give the network the statistics of its training images, uint8 (N, 1, H, W), if it normalises by them."""
    for module in model.modules():
        if isinstance(module, Preprocessing):
            module.fit(images)


def count_parameters(model: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
