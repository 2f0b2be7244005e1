"""One trial's files. digits_core.runs.store lists them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.errors import EnvironmentFailure
from digits_core.records import Bundle, RunRecord
from digits_core.runs.durable import json_bytes, read_json, sync, unusable, write_array, write_atomically

MOST_TRIALS = 99_999  # per run: trial folders are numbered with five digits
STATE = "state.safetensors"
WEIGHTS = "weights.safetensors"
INSIDE = "inside.safetensors"
PENDING = ".pending-"  # then an epoch, a dash and the name that the file will have
TIMEOUT_NOTE = "timeout.txt"  # what a trial's process was doing when it was killed for taking too long


def folder_name(trial: int) -> str:
    """The trial's folder name: `00017` for trial 17."""
    return f"{trial:05d}"


class TrialFolder:
    """One trial's files. The worker writes them during training; the driver completes the record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def beside(self, trial: int) -> "TrialFolder":
        """Another trial's folder of the same run."""
        return TrialFolder(self.folder.parent / folder_name(trial))

    def create(self) -> None:
        """Create the folder if need be. Files of an unfinished earlier attempt stay and are overwritten."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def write_best(
        self,
        validation_probabilities: npt.NDArray[np.float32],
        weights: Mapping[str, npt.NDArray[Any]],
        epoch: int,
    ) -> None:
        """Keep the best epoch so far: its validation probabilities, (N, 10), and weights.

        They take their place once a record names that epoch as the best (`write_progress`, `complete`), so that a
        process that is killed in between leaves predictions that belong to its last record.
        """
        from safetensors.numpy import save

        pending = f"{PENDING}{epoch}-"
        write_array(self.folder / f"{pending}validation.npy", validation_probabilities, durable=False)
        content = save({name: np.asarray(value, order="C") for name, value in weights.items()})
        write_atomically(self.folder / f"{pending}{WEIGHTS}", content, durable=False)

    def write_progress(self, record: RunRecord) -> None:
        """Keep the record so far, after an epoch."""
        write_atomically(self.folder / "progress.json", json_bytes(record.to_dict()), durable=False)
        self._settle_pending(record.best_epoch)

    def _settle_pending(self, best_epoch: int | None) -> None:
        """Let the pending files of the best epoch take their place, and delete those of other epochs."""
        for path in self.folder.glob(f"{PENDING}*"):
            epoch, _, name = path.name.removeprefix(PENDING).partition("-")
            if epoch == str(best_epoch):
                path.replace(self.folder / name)
            else:
                path.unlink(missing_ok=True)

    def write_state(self, state: Bundle) -> None:
        """Keep what training resumes from after this epoch: see digits_core.training.state."""
        self._write_bundle(STATE, state)

    def read_state(self) -> Bundle | None:
        """What training resumes from; None if it is missing or incomplete (it is not synced)."""
        return self._read_bundle(STATE)

    def write_inside(self, inside: Bundle) -> None:
        """Keep what the report shows of the network's inside: see sweeps.finishing.insight."""
        self._write_bundle(INSIDE, inside)

    def read_inside(self) -> Bundle | None:
        """What the report shows of the network's inside; None if it is missing or incomplete."""
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
        """The record so far, as the worker last wrote it; None if it is missing or incomplete (it is not synced)."""
        path = self.folder / "progress.json"
        try:
            return read_json(path, RunRecord.from_dict) if path.is_file() else None
        except EnvironmentFailure:
            return None

    def read_record(self) -> RunRecord | None:
        """The complete record; None if the trial has not ended."""
        path = self.folder / "record.json"
        return read_json(path, RunRecord.from_dict) if path.is_file() else None

    def latest_record(self) -> RunRecord | None:
        """The complete record, or else the record so far."""
        return self.read_record() or self.read_progress()

    def complete(self, record: RunRecord) -> None:
        """Write the complete record: the trial has ended. The files that it stands for are synced first."""
        self.create()
        self._settle_pending(record.best_epoch)
        for name in ("validation.npy", WEIGHTS, STATE, "."):
            if (self.folder / name).exists():
                sync(self.folder / name)
        write_atomically(self.folder / "record.json", json_bytes(record.to_dict()))
        for name in ("progress.json", TIMEOUT_NOTE, *([] if record.keeps_state else [STATE])):
            (self.folder / name).unlink(missing_ok=True)

    def drop_weights(self) -> None:
        """Delete the weights to save disk space."""
        (self.folder / WEIGHTS).unlink(missing_ok=True)

    def drop_state(self) -> None:
        """Delete what training would resume from."""
        (self.folder / STATE).unlink(missing_ok=True)

    @property
    def has_weights(self) -> bool:
        """Whether the best epoch's weights are still stored."""
        return (self.folder / WEIGHTS).is_file()

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """The best epoch's weights. Raises EnvironmentFailure if they are missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.folder / WEIGHTS
        try:
            loaded: dict[str, npt.NDArray[Any]] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise unusable(path, error) from error
        return loaded
