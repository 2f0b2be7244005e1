"""Loads a trained network as it was stored."""

import torch
from torch import nn

from digits_core.records import RunRecord
from digits_core.runs.durable import unusable
from digits_core.runs.run import Run
from digits_core.training.evaluate import load_weights
from digits_core.training.models import build_model


def stored_model(run: Run, record: RunRecord, side: int) -> nn.Module:
    """The trial's network for images of `side` pixels, with the weights of its best epoch.

    Raises EnvironmentFailure if they are missing or belong to another network.
    """
    folder = run.trial(record.trial)
    model, weights = build_model(record.recipe, side), folder.weights(record)
    try:
        load_weights(model, weights)
    except (RuntimeError, TypeError) as error:  # what torch raises if names, shapes or types do not fit
        raise unusable(folder.folder / "weights.safetensors", "these are not this recipe's weights") from error
    return model


def stored_precision(record: RunRecord, device: torch.device) -> torch.dtype:
    """The dtype the model was validated with, if this device is of the same kind; else float32."""
    same_kind = record.device.split(":")[0] == device.type
    return torch.bfloat16 if same_kind and record.precision == "bfloat16" else torch.float32
