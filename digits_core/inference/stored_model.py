"""Loads a trained network as it was stored."""

import torch
import torch.nn.functional as F
from torch import nn

from digits_core.inference.poses import poses_of
from digits_core.metrics import SMALLEST_PROBABILITY
from digits_core.recipe import Augmentation
from digits_core.records import RunRecord
from digits_core.runs.durable import unusable
from digits_core.runs.run import Run
from digits_core.training.evaluate import load_weights
from digits_core.training.models import build_model


def stored_model(run: Run, record: RunRecord, side: int, *, in_poses: bool = False) -> nn.Module:
    """The trial's network for images of `side` pixels, with the weights of its best epoch.

    in_poses: with test-time augmentation.

    Raises EnvironmentFailure if they are missing or belong to another network.
    """
    folder = run.trial(record.trial)
    model, weights = build_model(record.recipe, side), folder.weights(record)
    try:
        load_weights(model, weights)
    except (RuntimeError, TypeError) as error:  # what torch raises if names, shapes or types do not fit
        raise unusable(folder.folder / "weights.safetensors", "these are not this recipe's weights") from error
    return InPoses(model, record.recipe.augmentation, side) if in_poses else model


def stored_precision(record: RunRecord, device: torch.device) -> torch.dtype:
    """The dtype the model was validated with, if this device is of the same kind; else float32."""
    same_kind = record.device.split(":")[0] == device.type
    return torch.bfloat16 if same_kind and record.precision == "bfloat16" else torch.float32


class InPoses(nn.Module):
    """A network that answers with the mean probabilities of all poses. It takes and returns what the network does.

    What it returns are logarithms of probabilities, so that their softmax is that mean.
    """

    grids: torch.Tensor

    def __init__(self, network: nn.Module, settings: Augmentation, side: int) -> None:
        super().__init__()
        self.network = network
        maps = torch.from_numpy(poses_of(settings))
        grids = [F.affine_grid(one[None], [1, 1, side, side], align_corners=False).view(-1, 2) for one in maps]
        # (P, side * side, 2): not four dimensions, so that no memory format is made for it
        self.register_buffer("grids", torch.stack(grids) if grids else torch.zeros(0, side * side, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        count, _, height, width = images.shape
        said = [torch.softmax(self.network(images).float(), dim=1)]
        for grid in self.grids:
            places = grid.view(1, height, width, 2).expand(count, -1, -1, -1)
            seen = F.grid_sample(images, places, align_corners=False).contiguous(memory_format=torch.channels_last)
            said.append(torch.softmax(self.network(seen).float(), dim=1))
        return torch.log(torch.stack(said).mean(dim=0).clamp_min(SMALLEST_PROBABILITY))
