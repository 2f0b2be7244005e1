"""The inside of a network, as sweeps.finishing.insight stored it: filters, feature maps, embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.judging.candidates import Candidate

Plane = npt.NDArray[np.float32]  # (N, 2)


@dataclass(frozen=True, kw_only=True)
class LayerPicture:
    """One convolution's feature maps for the shown image."""

    name: str
    channel_count: int  # of these the first few are shown
    pixels: npt.NDArray[np.uint8]  # (H, W): the maps side by side


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """The images as points in the plane."""

    title: str
    points: Plane


@dataclass(frozen=True, kw_only=True)
class InsideModel:
    """Everything that the page shows of a network's inside."""

    trial: int
    shown_index: int  # number in the data set of the image whose maps are shown
    shown_label: int
    shown_answer: int
    filters: npt.NDArray[np.uint8] | None  # (H, W, 3): blue below zero, orange above; None without convolutions
    filter_count: int
    layers: tuple[LayerPicture, ...]
    images: npt.NDArray[np.int64]  # (N,): the points' image numbers in the data set
    labels: npt.NDArray[np.int64]  # (N,)
    answers: npt.NDArray[np.int64]  # (N,): predicted digits
    scatters: tuple[Scatter, ...]


def read_inside(leader: Candidate) -> InsideModel | None:
    """Read what was stored of the first of the leader's runs; None if nothing was, or if it is incomplete."""
    run, trial = leader.home, leader.runs[0].trial
    bundle = run.trial(trial).read_inside()
    if bundle is None:
        return None
    arrays, facts = bundle.arrays, bundle.facts
    count = len(arrays.get("points", ()))
    flat = [arrays[name] for name in arrays if name.endswith(("-components", "-neighbours"))]
    if len(arrays.get("answers", ())) != count or any(plane.shape != (count, 2) for plane in flat):
        return None
    if not all(np.isfinite(array).all() for array in arrays.values()):
        return None
    try:
        position = {index: place for place, index in enumerate(run.validation_indices.tolist())}
        places = [position[index] for index in arrays["points"].tolist()]
        shown = position[int(facts["shown"])]
        return InsideModel(
            trial=leader.trial,
            shown_index=int(facts["shown"]),
            shown_label=int(run.validation_labels[shown]),
            shown_answer=int(run.validation_probabilities(trial)[shown].argmax()),
            filters=filter_picture(arrays["filters"]) if len(arrays["filters"]) else None,
            filter_count=len(arrays["filters"]),
            layers=tuple(
                LayerPicture(
                    name=str(layer["name"]),
                    channel_count=int(layer["channel_count"]),
                    pixels=_side_by_side(arrays[f"maps-{number}"]),
                )
                for number, layer in enumerate(facts["layers"])
            ),
            images=arrays["points"],
            labels=run.validation_labels[places],
            answers=arrays["answers"],
            scatters=tuple(_scatters(arrays, facts["explained"], int(facts["width"]))),
        )
    except (KeyError, TypeError, ValueError, IndexError):  # written by another version, or not by digits
        return None


def _scatters(arrays: Mapping[str, npt.NDArray[Any]], explained: Mapping[str, float], width: int) -> list[Scatter]:
    names = {"pixels": "pixels", "embedding": f"the {width} inputs to the last layer"}
    found = []
    for key, what in names.items():
        if key in explained:
            share = f"{100 * explained[key]:.0f} % of the variance"
            found.append(Scatter(title=f"Principal components of {what} ({share})", points=arrays[f"{key}-components"]))
            found.append(Scatter(title=f"t-SNE of {what}", points=arrays[f"{key}-neighbours"]))
    return found


def filter_picture(filters: npt.NDArray[np.float32], columns: int = 16) -> npt.NDArray[np.uint8]:
    """(H, W, 3): filters (N, h, w) in a grid, all on one scale; zero is white, positive orange, negative blue."""
    largest = float(np.abs(filters).max()) or 1.0
    strength = filters / largest
    blue, orange = np.array([0, 114, 178]), np.array([213, 94, 0])
    share = np.abs(strength)[..., None]
    coloured = 255 * (1 - share) + np.where(strength[..., None] < 0, blue, orange) * share
    padded = np.pad(coloured, ((0, -len(filters) % columns), (0, 1), (0, 1), (0, 0)), constant_values=255)
    count, height, width, _ = padded.shape
    grid = padded.reshape(count // columns, columns, height, width, 3).swapaxes(1, 2)
    return grid.reshape(count // columns * height, columns * width, 3).round().astype(np.uint8)


def _side_by_side(maps: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """(H, W): maps (C, h, w) of 0..1 in one row, with one grey pixel between them."""
    grey = (np.clip(maps.astype(np.float32), 0, 1) * 255).round().astype(np.uint8)
    return np.concatenate(list(np.pad(grey, ((0, 0), (0, 0), (0, 1)), constant_values=128)), axis=1)[:, :-1]
