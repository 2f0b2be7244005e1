"""One trial's files: see digits_core.runs.store for what they are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.errors import EnvironmentFailure
from digits_core.records import Bundle, RunRecord
from digits_core.runs.durable import json_bytes, read_json, sync, unusable, write_array, write_atomically

MOST_TRIALS = 99_999  # of a run: their folders are numbered with five digits
STATE = "state.safetensors"
WEIGHTS = "weights.safetensors"
INSIDE = "inside.safetensors"
TIMEOUT_NOTE = "timeout.txt"  # where a trial's process stood when it was ended for taking too long


def folder_name(trial: int) -> str:
    """Of a trial's folder."""
    return f"{trial:05d}"


class TrialFolder:
    """One trial's files. The worker writes them as it goes, the driver seals the record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def beside(self, trial: int) -> "TrialFolder":
        """Another trial's folder of the same run."""
        return TrialFolder(self.folder.parent / folder_name(trial))

    def create(self) -> None:
        """Make the folder; an unfinished earlier try leaves its files to be overwritten."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def write_best(
        self, validation_probabilities: npt.NDArray[np.float32], weights: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Keep the best epoch so far."""
        from safetensors.numpy import save

        write_array(self.folder / "validation.npy", validation_probabilities, durable=False)
        content = save({name: np.asarray(value, order="C") for name, value in weights.items()})
        write_atomically(self.folder / WEIGHTS, content, durable=False)

    def write_progress(self, record: RunRecord) -> None:
        """Keep the record as it stands after an epoch."""
        write_atomically(self.folder / "progress.json", json_bytes(record.to_dict()), durable=False)

    def write_state(self, state: Bundle) -> None:
        """Keep what training goes on from after this epoch: see digits_core.training.state."""
        self._write_bundle(STATE, state)

    def read_state(self) -> Bundle | None:
        """What training goes on from; None where there is nothing, or nothing whole (it is not synced)."""
        return self._read_bundle(STATE)

    def write_inside(self, inside: Bundle) -> None:
        """Keep what the page shows of the network's inside: see sweeps.finishing.insight."""
        self._write_bundle(INSIDE, inside)

    def read_inside(self) -> Bundle | None:
        """What the page shows of the network's inside; None where that was not made, or is not whole."""
        return self._read_bundle(INSIDE)

    def _write_bundle(self, name: str, bundle: Bundle) -> None:
        from safetensors.numpy import save

        arrays = {name: np.asarray(value, order="C") for name, value in bundle.arrays.items()}
        content = save(arrays, metadata={"facts": json.dumps(bundle.facts)})
        write_atomically(self.folder / name, content, durable=False)

    def _read_bundle(self, name: str) -> Bundle | None:
        from safetensors import SafetensorError, safe_open

        path = self.folder / name
        try:
            with safe_open(path, framework="np") as stream:
                facts = json.loads(stream.metadata()["facts"])
                names = stream.keys()
                return Bundle(arrays={name: stream.get_tensor(name) for name in names}, facts=facts)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None

    def read_progress(self) -> RunRecord | None:
        """The last record that the worker wrote, if it wrote any and it reached the disk (it is not synced)."""
        path = self.folder / "progress.json"
        try:
            return read_json(path, RunRecord.from_dict) if path.is_file() else None
        except EnvironmentFailure:
            return None

    def read_record(self) -> RunRecord | None:
        """The sealed record; None for a trial that is not over."""
        path = self.folder / "record.json"
        return read_json(path, RunRecord.from_dict) if path.is_file() else None

    def latest_record(self) -> RunRecord | None:
        """The sealed record, or the one of the last epoch so far."""
        return self.read_record() or self.read_progress()

    def complete(self, record: RunRecord) -> None:
        """Write the final record: from now on the trial counts. What it vouches for reaches the disk first."""
        self.create()
        for name in ("validation.npy", WEIGHTS, STATE, "."):
            if (self.folder / name).exists():
                sync(self.folder / name)
        write_atomically(self.folder / "record.json", json_bytes(record.to_dict()))
        for name in ("progress.json", TIMEOUT_NOTE, *([] if record.may_be_gone_on_from else [STATE])):
            (self.folder / name).unlink(missing_ok=True)

    def drop_weights(self) -> None:
        """Give their room on the disk back."""
        (self.folder / WEIGHTS).unlink(missing_ok=True)

    def drop_state(self) -> None:
        """The same for what training would go on from."""
        (self.folder / STATE).unlink(missing_ok=True)

    @property
    def has_weights(self) -> bool:
        """Whether the best epoch's weights are still here."""
        return (self.folder / WEIGHTS).is_file()

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """The best epoch's weights."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.folder / WEIGHTS
        try:
            loaded: dict[str, npt.NDArray[Any]] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise unusable(path, error) from error
        return loaded
