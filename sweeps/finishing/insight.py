"""Stores the leader's filters, feature maps and embeddings when a run has ended, so that the report needs no torch."""

import numpy as np
import numpy.typing as npt

from digits_core.data.datasets import load_digits
from digits_core.errors import EnvironmentFailure, shortened
from digits_core.inference.inside import Inside, look_inside
from digits_core.inference.projection import Projection, project
from digits_core.inference.stored_model import stored_model
from digits_core.judging.candidates import leader
from digits_core.metrics import wrong_margin
from digits_core.records import Bundle
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from digits_core.training.evaluate import as_tensor

POINTS = 600  # validation images in the embedding plot; t-SNE takes 1.5 s for them


def keep_inside(run: Run) -> str:
    """Store what the leader's network looks like inside. Returns why that was not possible, or an empty string.

    A decoration must not cost a run its result, so whatever fails is returned as text, not raised.
    """
    try:
        return _keep_inside(run)
    except OSError as error:
        return f"cannot write to {run.folder}: {error.strerror}"
    except Exception as error:  # noqa: BLE001 - projections use compiled libraries that fail in ways of their own
        return shortened(f"{type(error).__name__}: {error}")


def _keep_inside(run: Run) -> str:
    leads = leader(run)
    if leads is None:
        return ""
    home, record, header = leads.home, leads.runs[0], leads.home.header
    if header.fold_count:
        return "a cross-validation has one network per fold, not a single one to show"
    if home.trial(record.trial).read_inside() is not None:
        return ""
    try:
        digits = load_digits(header.dataset)
        model = stored_model(home, record, digits.side)
    except EnvironmentFailure as error:
        return str(error)
    if digits.checksum != header.data_checksum:
        return f"the data set {header.dataset!r} on this machine is not the one this run was trained on"
    said, indices = home.validation_probabilities(record.trial), home.validation_indices
    chosen = np.unique(np.linspace(0, len(indices) - 1, POINTS).astype(int))
    worst = int(wrong_margin(home.validation_labels, said).argmax())
    seen = look_inside(model, as_tensor(digits.images[indices[[worst]]]), as_tensor(digits.images[indices[chosen]]))
    flat = digits.images[indices[chosen]].reshape(len(chosen), -1).astype(np.float32) / 255
    projections = {"pixels": project(flat), "embedding": project(seen.embedding)}
    RunWriter(home.folder).trial(record.trial).write_inside(
        _bundle(
            seen, projections, shown=int(indices[worst]), points=indices[chosen], answers=said[chosen].argmax(axis=1)
        )
    )
    return ""


def _bundle(
    seen: Inside,
    projections: dict[str, Projection | None],
    *,
    shown: int,
    points: npt.NDArray[np.int64],
    answers: npt.NDArray[np.int64],
) -> Bundle:
    """The arrays and facts that reports.rows.inside reads."""
    arrays: dict[str, npt.NDArray[np.generic]] = {"points": points, "answers": answers, "filters": seen.filters}
    for number, layer in enumerate(seen.layers):
        arrays[f"maps-{number}"] = layer.maps.astype(np.float16)
    explained = {}
    for name, projection in projections.items():
        if projection is not None:
            arrays[f"{name}-components"] = projection.components
            arrays[f"{name}-neighbours"] = projection.neighbours
            explained[name] = projection.explained
    layers = [{"name": layer.layer, "channel_count": layer.channel_count} for layer in seen.layers]
    facts = {"shown": shown, "layers": layers, "explained": explained, "width": int(seen.embedding.shape[1])}
    return Bundle(arrays=arrays, facts=facts)
