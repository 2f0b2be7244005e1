"""One trial's files. digits_core.runs.run lists them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.records import Bundle, RunRecord
from digits_core.runs.durable import (
    Content,
    array_bytes,
    checksum,
    json_bytes,
    read_json,
    read_vouched,
    sync,
    unusable,
    write_atomically,
)

PREDICTIONS = "validation.npy"
WEIGHTS = "weights.safetensors"
STATE = "state.safetensors"
INSIDE = "inside.safetensors"
RECORD = "record.json"


def folder_name(trial: int) -> str:
    """The trial's folder name: `00017` for trial 17."""
    return f"{trial:05d}"


def record_in(path: Path) -> RunRecord:
    """The record in a file. Raises EnvironmentFailure if it is damaged, or names another trial than its folder."""
    record = read_json(path, RunRecord, besides=("recipe_id",))
    if folder_name(record.trial) != path.parent.name:
        raise unusable(path, f"it is the record of trial {record.trial}")
    return record


@dataclass(frozen=True, kw_only=True, repr=False)  # Ray puts every result into the text of debug messages
class Progress:
    """A trial after an epoch, as a worker sends it to the driver."""

    record: RunRecord  # as if the trial ended here
    best: Mapping[str, Content]  # see `best_files`; empty if the driver has them already
    state: Content | None = None  # what training resumes from: see digits_core.training.state; None if it is not due


def best_files(
    validation_probabilities: npt.NDArray[np.float32], weights: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Content]:
    """The files of a best epoch, by name: its validation probabilities, (N, 10), and weights."""
    from safetensors.numpy import save

    content = save({name: np.asarray(value, order="C") for name, value in weights.items()})
    files = {PREDICTIONS: array_bytes(validation_probabilities), WEIGHTS: content}
    return {name: np.frombuffer(content, np.uint8) for name, content in files.items()}


def bundle_file(bundle: Bundle) -> Content:
    """The content of a file that holds the bundle."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(value, order="C") for name, value in bundle.arrays.items()}
    return np.frombuffer(save(arrays, metadata={"facts": json.dumps(bundle.facts)}), np.uint8)


class TrialFolder:
    """One trial's files, read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def has_weights(self) -> bool:
        """Whether the best epoch's weights are still stored."""
        return (self.folder / WEIGHTS).is_file()

    def read_record(self) -> RunRecord | None:
        """The record; None if the trial has not ended."""
        path = self.folder / RECORD
        return record_in(path) if os.path.lexists(path) else None

    def read_state(self) -> Bundle | None:
        """What training resumes from; None if it is missing or incomplete (it is not synced)."""
        return self._read_bundle(STATE)

    def read_inside(self) -> Bundle | None:
        """What the report shows of the network's inside; None if it is missing or incomplete."""
        return self._read_bundle(INSIDE)

    def _read_bundle(self, name: str) -> Bundle | None:
        from safetensors import SafetensorError, safe_open

        path = self.folder / name
        if path.is_symlink() or not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as stream:
                facts = json.loads(stream.metadata()["facts"])
                names = stream.keys()
                return Bundle(arrays={name: stream.get_tensor(name) for name in names}, facts=facts)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None

    def weights(self, record: RunRecord) -> dict[str, npt.NDArray[Any]]:
        """The best epoch's weights. Raises EnvironmentFailure if they are not what the record vouches for."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = self.folder / WEIGHTS
        content = read_vouched(path, record.files.get(WEIGHTS))
        try:
            loaded: dict[str, npt.NDArray[Any]] = dict(sorted(load(content).items()))  # it comes in any order
        except SafetensorError as error:
            raise unusable(path, error) from error
        return loaded


class TrialWriter(TrialFolder):
    """Writes one trial's files. Only the driver of its run does."""

    def write_state(self, content: Content) -> None:
        """Keep what training resumes from: see digits_core.training.state."""
        self.folder.mkdir(exist_ok=True)
        write_atomically(self.folder / STATE, content, durable=False)

    def write_inside(self, inside: Bundle) -> None:
        """Keep what the report shows of the network's inside: see sweeps.finishing.insight."""
        write_atomically(self.folder / INSIDE, bundle_file(inside), durable=False)

    def complete(self, record: RunRecord, best: Mapping[str, Content]) -> None:
        """Write the best epoch's files, then the record: the trial has ended. Deletes what the record does not need."""
        self.folder.mkdir(exist_ok=True)  # its parent must be there: a run's folder that was moved is not made again
        for name, content in best.items():
            write_atomically(self.folder / name, content)
        record = replace(record, files={name: checksum(content) for name, content in best.items()})
        if record.keeps_state:
            sync(self.folder / STATE)
        write_atomically(self.folder / RECORD, json_bytes(record.to_dict()))
        kept = {PREDICTIONS, WEIGHTS, RECORD, *([STATE] if record.keeps_state else [])}
        for path in self.folder.iterdir():
            if path.name not in kept and path.is_file():  # a state; what a killed process left half written
                path.unlink()

    def drop_weights(self) -> None:
        """Delete the weights to save disk space."""
        (self.folder / WEIGHTS).unlink(missing_ok=True)

    def drop_state(self) -> None:
        """Delete what training would resume from."""
        (self.folder / STATE).unlink(missing_ok=True)
