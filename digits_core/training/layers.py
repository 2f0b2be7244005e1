"""A network's layers, with what goes out of each and what is trained in it."""

from dataclasses import dataclass

import torch
from torch import nn

from digits_core.recipe import Recipe
from digits_core.training.models import build_model


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer without layers of its own, in the order of its first use."""

    name: str  # as in the stored weights
    kind: str
    output: tuple[int, ...]  # for one image: channels, height, width, or units
    parameter_count: int


def layer_rows(recipe: Recipe, side: int) -> tuple[LayerRow, ...]:
    """The layers of a recipe's network for images of `side` pixels. Raises UsageError where it does not fit them."""
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
