"""Several networks of one architecture as one: `stack` joins them, `part` finds one of them in the joined tensors.

A small network leaves the machine idle: most of a step is calls into torch, whatever they work on. The stacked network
makes the same number of calls for all copies together. Convolutions run in groups, one per copy; dense layers are a
batched product; batch norm has a channel for every copy's channel. Images (N, M, H, W) hold copy m's batch in channel
m, logits are (M, N, 10), and no copy sees another's values. All parameters keep the names and the order that they have
in one network, so that an elementwise optimizer treats the stack as it would treat each copy.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from digits_core.recipe import Recipe
from digits_core.training.models import Preprocessing, build_model

WITHOUT_PARAMETERS = (nn.MaxPool2d, nn.AdaptiveAvgPool2d)  # each channel on its own


MOST_ON_CPU = ((5e7, 8), (5e8, 4), (1.5e9, 2))
"""Operations of a forward pass over a batch, below which this many copies pay as one network.

Their activations have to fit the cache. From the last row on, one network keeps a thread busy (docs/lab-log.md)."""

MOST_ON_CUDA, WORK_ON_CUDA = 128, 100e9
"""Copies of one network, and operations of all of them together: a guess."""

CHANNELS_AT_A_TIME = 8  # a grouped convolution in bfloat16 is fast if a group's channels are a multiple of this

DENSE_TOO_LARGE = 2**17
"""A dense layer with this many weights or more is slower stacked, on a CPU: its updates do not fit the cache."""


def copies_that_pay(recipe: Recipe, side: int, device: str) -> int:
    """How many copies of this recipe are trained faster as one network than one by one; 1 if that does not pay.

    side: of the images, in pixels. device: its type, such as "cpu".
    """
    if why_not_stacked(recipe) or device not in ("cpu", "cuda"):
        return 1
    with torch.random.fork_rng(devices=[]):
        network = build_model(recipe, side)
    work = recipe.training.batch_size * _operations(network, side)
    if device == "cuda":
        return max(1, min(MOST_ON_CUDA, int(WORK_ON_CUDA / work)))
    if max(layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear)) >= DENSE_TOO_LARGE:
        return 1
    return next((most for limit, most in MOST_ON_CPU if work < limit), 1)


def _operations(network: nn.Module, side: int) -> int:
    """Floating-point operations of a forward pass of one image."""
    counts: list[int] = []

    def count(layer: nn.Module, inputs: object, output: torch.Tensor) -> None:
        del inputs
        assert isinstance(layer.weight, torch.Tensor)
        positions = output.numel() // output.shape[1]  # at which each weight is used
        counts.append(2 * positions * layer.weight.numel())

    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 1, side, side))
    return sum(counts)


def why_not_stacked(recipe: Recipe) -> str:
    """Why copies of this recipe are trained one by one; empty if they can be one network."""
    if recipe.optimizer.name == "muon":
        return "muon works on whole matrices"
    if recipe.training.gradient_clip:
        return "gradient_clip takes the norm of one network's gradient"
    if recipe.schedule.name == "plateau":
        return "plateau gives each copy its own learning rate"
    return "torch.compile takes one network" if recipe.training.compile == "on" else ""


class Streams:
    """The generators that dropout draws from, one per copy. Copies of a network share them: only one is trained."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = tuple(generators)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Streams":
        return self


class StreamedDropout(nn.Module):
    """Dropout whose masks come from the copies' own streams. On a CPU, they are those that torch would draw.

    Takes (N, M * C, H, W), or (M, N, F) after flattening; of a single network also (N, F).
    """

    def __init__(self, probability: float, streams: Streams, *, whole_channels: bool) -> None:
        super().__init__()
        self.probability, self.streams, self.whole_channels = probability, streams, whole_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.probability == 0:
            return x
        return x * self._mask(x).div_(1 - self.probability)

    def _mask(self, x: torch.Tensor) -> torch.Tensor:
        """Drawn copy by copy, each as if it were alone."""
        generators = self.streams.generators
        if x.ndim == 3:
            rows = [
                self._drawn(torch.empty_like(rows), generator) for rows, generator in zip(x, generators, strict=True)
            ]
            return torch.stack(rows)
        if len(generators) == 1:
            shape = (*x.shape[:2], 1, 1) if self.whole_channels else None
            return self._drawn(torch.empty_like(x) if shape is None else x.new_empty(shape), generators[0])
        count, channels, *sides = x.shape
        shape = (count, channels // len(generators), *((1, 1) if self.whole_channels else sides))
        like = torch.empty(shape, dtype=x.dtype, device=x.device)
        if not self.whole_channels:
            like = like.contiguous(memory_format=torch.channels_last)
        return torch.cat([self._drawn(torch.empty_like(like), generator) for generator in generators], dim=1)

    def _drawn(self, mask: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return mask.bernoulli_(1 - self.probability, generator=generator)


class _StackedLinear(nn.Module):
    """M dense layers: (M, N, inputs) -> (M, N, outputs). weight (M, outputs, inputs), bias (M, outputs)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases)) if biases else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turned = self.weight.transpose(1, 2)
        return torch.bmm(x, turned) if self.bias is None else torch.baddbmm(self.bias.unsqueeze(1), x, turned)


class _FirstConvolution(nn.Conv2d):
    """A grouped convolution of images, (N, M, H, W), done as one of all channels, whose other weights are zero.

    If a copy's weights become infinite or NaN, only its own outputs do: the others' zeros multiply images.
    """

    own: torch.Tensor  # (M * C, M, 1, 1): one where output and image belong to the same copy

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = (self.weight * self.own).contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class _PaddedConvolution(nn.Conv2d):
    """A grouped convolution whose groups get channels of zeros, up to a multiple of eight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = self.in_channels // self.groups
        zeros = -channels % CHANNELS_AT_A_TIME
        count, _, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(count, height, width, self.groups, channels)
        padded = F.pad(rows, (0, zeros)).flatten(3).permute(0, 3, 1, 2)
        weight = F.pad(self.weight, (0, 0, 0, 0, 0, zeros)).contiguous(memory_format=torch.channels_last)
        return F.conv2d(padded, weight, self.bias, self.stride, self.padding, groups=self.groups)


def _kind_of_convolution(channels: int, *, in_bfloat16: bool) -> type[nn.Conv2d]:
    """Grouped convolutions in bfloat16 on a CPU are slow unless a group's channels are a multiple of eight."""
    if in_bfloat16 and channels == 1:
        return _FirstConvolution
    zeros = -channels % CHANNELS_AT_A_TIME
    return _PaddedConvolution if in_bfloat16 and 0 < zeros <= channels / 3 else nn.Conv2d


class _Flatten(nn.Module):
    """(N, M * C, H, W) -> (M, N, C * H * W), or (N, C, H, W) -> (N, C * H * W).

    The gradient goes back channels last, as the images came: pooling and ReLU would copy it to and fro otherwise.
    """

    def __init__(self, copy_count: int) -> None:
        super().__init__()
        self.copy_count = copy_count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            x.register_hook(_channels_last)  # type: ignore[no-untyped-call]
        if self.copy_count == 1:
            return x.flatten(1)
        return x.view(len(x), self.copy_count, -1, *x.shape[2:]).flatten(2).transpose(0, 1)


def _channels_last(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


class _StackedBatchNorm1d(nn.BatchNorm1d):
    """(M, N, F) -> the same, with statistics over N for every copy's every unit."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        copies, _, units = x.shape
        return super().forward(x.transpose(0, 1).flatten(1)).view(-1, copies, units).transpose(0, 1)


def stack(layers: Sequence[Any], streams: Streams, *, in_bfloat16: bool = False) -> nn.Module:
    """Join these networks, or layers, which are built alike; each keeps its own weights and statistics.

    A single network computes what it did: only its dropout, ReLU and Flatten layers are exchanged. The networks given
    may share layers with the result. streams: what dropout draws from, a generator per network. in_bfloat16: whether it
    is trained in bfloat16 on a CPU. Raises TypeError for a layer that cannot be stacked.
    """
    first, count = layers[0], len(layers)
    if isinstance(first, (nn.Dropout, nn.Dropout2d)):
        return StreamedDropout(first.p, streams, whole_channels=isinstance(first, nn.Dropout2d))
    if isinstance(first, nn.Flatten):
        return _Flatten(count)
    if isinstance(first, nn.ReLU):
        return nn.ReLU(inplace=True)  # the layers before it do not need their outputs for their gradients
    if next(first.children(), None) is not None:  # a block, whose forward only joins what its layers return
        return _joined(layers, streams, in_bfloat16=in_bfloat16)
    if count == 1 or isinstance(first, WITHOUT_PARAMETERS):
        return first  # type: ignore[no-any-return]
    return _with_parameters(layers, in_bfloat16=in_bfloat16)


def _with_parameters(layers: Sequence[Any], *, in_bfloat16: bool) -> nn.Module:
    first, count = layers[0], len(layers)
    if isinstance(first, nn.Conv2d):
        return _stacked_convolution(layers, _kind_of_convolution(first.in_channels, in_bfloat16=in_bfloat16))
    if isinstance(first, nn.Linear):
        return _StackedLinear(layers)
    if isinstance(first, (nn.BatchNorm1d, nn.BatchNorm2d)):
        kind = _StackedBatchNorm1d if isinstance(first, nn.BatchNorm1d) else nn.BatchNorm2d
        return _filled(kind(count * first.num_features, first.eps, first.momentum or 0.0), layers)
    if isinstance(first, Preprocessing):
        whole = copy.copy(first)  # its settings; each copy has statistics of its own
        whole._buffers = {name: torch.cat([layer._buffers[name] for layer in layers], dim=1) for name in first._buffers}
        return whole
    raise TypeError(f"{type(first).__name__} cannot be stacked")


def _joined(blocks: Sequence[nn.Module], streams: Streams, *, in_bfloat16: bool) -> nn.Module:
    joined = copy.copy(blocks[0])
    children = zip(*(block.named_children() for block in blocks), strict=True)
    joined._modules = {
        named[0][0]: stack([child for _, child in named], streams, in_bfloat16=in_bfloat16) for named in children
    }
    return joined


def _stacked_convolution(layers: Sequence[nn.Conv2d], kind: type[nn.Conv2d]) -> nn.Module:
    first, count = layers[0], len(layers)
    assert isinstance(first.padding, tuple)
    assert first.groups == 1
    whole = kind(
        count * first.in_channels,
        count * first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        groups=count,
        bias=first.bias is not None,
    )
    if isinstance(whole, _FirstConvolution):
        own = torch.eye(count).repeat_interleave(first.out_channels, dim=0)[:, :, None, None]
        whole.register_buffer("own", own, persistent=False)
    return _filled(whole.to(memory_format=torch.channels_last), layers)


@torch.no_grad()
def _filled(whole: nn.Module, layers: Sequence[nn.Module]) -> nn.Module:
    """Put each layer's tensors into its part of the whole."""
    for name, tensor in whole.state_dict().items():
        fill(tensor, [layer.state_dict()[name] for layer in layers])
    return whole


def part(whole: torch.Tensor, shape: Sequence[int], position: int, count: int) -> torch.Tensor:
    """A copy's share of a stacked tensor, as a view. shape: of the same tensor in one network.

    A tensor that has the shape of one, such as the number of steps, is shared by all.
    """
    if count == 1 or whole.ndim == 0 or whole.shape == torch.Size(shape):
        return whole
    if whole.ndim > len(shape):  # a dense layer
        return whole[position]
    dim = next(dim for dim, side in enumerate(shape) if whole.shape[dim] != side)
    return whole.narrow(dim, position * shape[dim], shape[dim])


@torch.no_grad()
def fill(whole: torch.Tensor, parts: Sequence[torch.Tensor]) -> None:
    """Put the copies' tensors into the stacked one."""
    for position, tensor in enumerate(parts):
        part(whole, tensor.shape, position, len(parts)).copy_(tensor)
