"""The networks of the scripts this project grew out of, as their authors wrote them; recipes.py has their recipes.

| name          | reads                                     | what it is                                    |
| ------------- | ----------------------------------------- | --------------------------------------------- |
| cnn-mnist-101 | dropout (half of it after a pool)         | 32-32-64-64, batch norm after each, dense 512 |
| improved-net  | dropout                                   | 16 and 32 channels at full size, dense 128-64 |
| kfold-cnn     | dropout                                   | 32 and 64 channels at full size, dense 128    |
| lecture-conv  | width, kernel_size, hidden_units, dropout | one convolution, one pool, one dense layer    |
| lenet         | dropout, batch_norm                       | LeCun et al. 1998, Proc. IEEE 86(11), sec. II |
| nguetsop-cnn  | dropout                                   | 10 and 20 channels, 5x5, 320-50-10            |
| simple-cnn    | kernel_size (3, 5 or 7)                   | An et al. 2020 (arXiv 2008.10400): no pooling |
"""

from torch import nn

from digits_core.data.digits import CLASS_COUNT
from digits_core.errors import UsageError
from digits_core.recipe import Model


def _require_side(name: str, side: int, smallest: int) -> None:
    if side < smallest:
        raise UsageError(
            f"{name} needs images of at least {smallest}x{smallest} pixels, not {side}x{side};"
            " input.side=28 resizes them"
        )


def lenet(settings: Model, side: int) -> nn.Module:
    """LeNet-5 with ReLU and max pooling: 6 and 16 channels, 120 and 84 units, 16 x 5 x 5 = 400 features at 28x28.

    The first convolution is padded by 2 because LeCun's images were 32x32; the second only if 5x5 would not fit.
    """
    second_padding = 0 if side >= 14 else 2
    features = 16 * ((side // 2 - 4 + 2 * second_padding) // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.MaxPool2d(2),
        *([nn.BatchNorm2d(6)] if settings.batch_norm else []),
        nn.ReLU(),
        nn.Conv2d(6, 16, 5, padding=second_padding),
        nn.MaxPool2d(2),
        *([nn.BatchNorm2d(16)] if settings.batch_norm else []),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(features, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, CLASS_COUNT),
    )


def nguetsop_cnn(settings: Model, side: int) -> nn.Module:
    """Two unpadded 5x5 convolutions of 10 and 20 channels, each pooled before its ReLU; 320 features at 28x28."""
    _require_side(settings.name, side, 16)
    features = 20 * (((side - 4) // 2 - 4) // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(1, 10, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(10, 20, 5),
        nn.Dropout2d(settings.dropout),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(features, 50),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(50, CLASS_COUNT),
    )


def lecture_conv(settings: Model, side: int) -> nn.Module:
    """One padded convolution, one pool, one dense layer. The lecture does not publish its sizes: they are ours."""
    padding = settings.kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(1, settings.width, settings.kernel_size, padding=padding),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.width * (side // 2) ** 2, settings.hidden_units),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden_units, CLASS_COUNT),
    )


def _norm_block(inputs: int, outputs: int, kernel_size: int, padding: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel_size, padding=padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def cnn_mnist_101(settings: Model, side: int) -> nn.Module:
    """Two 5x5 and two 3x3 convolutions with batch norm, a pool after each pair, dense 512."""
    return nn.Sequential(
        *_norm_block(1, 32, 5, 2),
        *_norm_block(32, 32, 5, 2),
        nn.MaxPool2d(2),
        nn.Dropout(settings.dropout / 2),
        *_norm_block(32, 64, 3, 1),
        *_norm_block(64, 64, 3, 1),
        nn.MaxPool2d(2),
        nn.Dropout(settings.dropout / 2),
        nn.Flatten(),
        nn.Linear(64 * (side // 2 // 2) ** 2, 512),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(512, CLASS_COUNT),
    )


def improved_net(settings: Model, side: int) -> nn.Module:
    """Two padded 3x3 convolutions of 16 and 32 channels at full size, one pool: 6,272-128-64-10 at 28x28."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (side // 2) ** 2, 128),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(64, CLASS_COUNT),
    )


def kfold_cnn(settings: Model, side: int) -> nn.Module:
    """Two padded 3x3 convolutions of 32 and 64 channels at full size, one pool: 1,024-128-10 at 8x8."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Flatten(),
        nn.Linear(64 * (side // 2) ** 2, 128),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(128, CLASS_COUNT),
    )


SIMPLE_CNN_CHANNELS = {
    3: tuple(range(32, 177, 16)),  # ten convolutions
    5: tuple(range(32, 161, 32)),  # five
    7: tuple(range(48, 193, 48)),  # four
}
"""Kernel size -> channels of each convolution (An et al. 2020, fig. 1)."""


def simple_cnn(settings: Model, side: int) -> nn.Module:
    """Unpadded convolutions, each with batch norm and ReLU, from 28x28 to 8x8 (kernel 7: 4x4); dense, batch norm."""
    kernel_size = settings.kernel_size
    if kernel_size not in SIMPLE_CNN_CHANNELS:
        raise UsageError(f"simple-cnn takes model.kernel_size 3, 5 or 7, not {kernel_size}")
    channels = SIMPLE_CNN_CHANNELS[kernel_size]
    left = side - len(channels) * (kernel_size - 1)
    _require_side(f"simple-cnn with {kernel_size}x{kernel_size} kernels", side, side - left + 1)
    blocks = [
        layer
        for inputs, outputs in zip((1, *channels), channels, strict=False)
        for layer in _norm_block(inputs, outputs, kernel_size, 0)
    ]
    return nn.Sequential(
        *blocks,
        nn.Flatten(),
        nn.Linear(channels[-1] * left**2, CLASS_COUNT, bias=False),
        nn.BatchNorm1d(CLASS_COUNT),
    )
