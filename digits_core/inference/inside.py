"""Looks inside a network: its layers, its first filters, its feature maps of one image, its embedding of many."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from digits_core.recipe import Recipe
from digits_core.training.evaluate import to_model_input
from digits_core.training.models import build_model

MOST_LAYERS = 6
MOST_MAPS = 16  # per layer
MOST_FILTERS = 64


@dataclass(frozen=True, kw_only=True)
class LayerMaps:
    """The feature maps of one convolution for one image."""

    layer: str  # its name in the stored weights
    channel_count: int
    maps: npt.NDArray[np.float32]  # (at most 16, H, W), each scaled to 0..1


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What `look_inside` returns. A network without convolutions has neither filters nor maps."""

    filters: npt.NDArray[np.float32]  # (at most 64, H, W): the first convolution's kernels for its first input channel
    layers: tuple[LayerMaps, ...]
    embedding: npt.NDArray[np.float32]  # (N, D): the input of the last dense layer


@torch.inference_mode()
def look_inside(model: nn.Module, image: torch.Tensor, images: torch.Tensor) -> Inside:
    """Filters, feature maps of `image` and the embedding of `images`. The model keeps the mode it was in.

    image: uint8 (1, 1, H, W), images: uint8 (N, 1, H, W), both on the model's device.
    """
    was_training = model.training
    model.eval()
    convolutions = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    seen: dict[str, torch.Tensor] = {}
    entering: list[torch.Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: seen.__setitem__(name, output))
        for name, module in convolutions.items()
    ]
    hooks.append(last.register_forward_pre_hook(lambda _module, inputs: entering.append(inputs[0])))
    try:
        model(to_model_input(image))
        layers = _layer_maps(seen)
        entering.clear()
        model(to_model_input(images))
        embedding = entering[0].flatten(1).float().cpu().numpy()
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    first = next(iter(convolutions.values()), None)
    filters = first.weight[:MOST_FILTERS, 0].float().cpu().numpy() if first is not None else np.empty((0, 0, 0))
    return Inside(filters=filters.astype(np.float32), layers=layers, embedding=embedding)


def _layer_maps(seen: dict[str, torch.Tensor]) -> tuple[LayerMaps, ...]:
    """The maps of the first layer, the last and some in between, in the order of use."""
    names = list(seen)
    if not names:
        return ()
    chosen = np.unique(np.linspace(0, len(names) - 1, MOST_LAYERS).astype(int)).tolist()
    return tuple(
        LayerMaps(
            layer=names[place],
            channel_count=int(seen[names[place]].shape[1]),
            maps=_scaled(seen[names[place]][0, :MOST_MAPS].float().cpu().numpy()),
        )
        for place in chosen
    )


def _scaled(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each of C maps (C, H, W) scaled from its own range to 0..1; a constant one becomes zero."""
    low = maps.min(axis=(1, 2), keepdims=True)
    span = maps.max(axis=(1, 2), keepdims=True) - low
    scaled: npt.NDArray[np.float32] = (maps - low) / np.where(span > 0, span, 1)
    return scaled


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer that contains no other layers."""

    name: str  # as in the stored weights
    kind: str
    output: tuple[int, ...]  # the shape for one image: channels, height, width, or units
    parameter_count: int


def layer_rows(recipe: Recipe, side: int) -> tuple[LayerRow, ...]:
    """The layers, in the order of use, of a recipe's network for images of `side` pixels.

    Raises UsageError if the images are too small for the network.
    """
    with torch.random.fork_rng(devices=[]):
        model = build_model(recipe, side).eval()
    rows: list[LayerRow] = []
    names = {module: name for name, module in model.named_modules() if not list(module.children())}

    def note(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        del inputs
        rows.append(
            LayerRow(
                name=names[module],
                kind=type(module).__name__,
                output=tuple(output.shape[1:]),
                parameter_count=sum(parameter.numel() for parameter in module.parameters()),
            )
        )

    for module in names:
        module.register_forward_hook(note)
    with torch.inference_mode():
        model(torch.zeros(1, 1, side, side))
    return tuple(rows)
