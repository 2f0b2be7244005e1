"""A sweep's folder on disk. Whatever is read back is either complete or absent.

RUNS/NAME/sweep.json               SweepHeader, written before the first trial
         /summary.json             SweepSummary, written after the last one
         /best_parameters.json     the winner's recipe, for `digits train FILE`; written beside the summary
         /validation_labels.npy, validation_indices.npy
         /trials/00007/validation.npy       (N, 10) probabilities of the best epoch
                      /weights.safetensors  weights of the best epoch
                      /progress.json        the record so far, rewritten after every epoch
                      /record.json          RunRecord; written last, so it means "this trial is over"
                      /test.npy             only after the sealed test part was opened for this trial
         /ledger.jsonl             one line for every opening of the test part
         /test_labels.npy, test_indices.npy
         /ensemble.json, ensemble_validation.npy, ensemble_test.npy
         /report.html, leaderboard.csv
"""

import contextlib
import dataclasses
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from digits_core.data import CLASS_COUNT, Split
from digits_core.errors import EnvironmentFailure, UsageError, unknown_name
from digits_core.folds import Folds
from digits_core.recipes import best_parameters
from digits_core.records import EnsembleRecord, Opening, RunRecord, SweepHeader, SweepSummary, rank

T = TypeVar("T")
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_name(name: str) -> str:
    """Return a sweep's name if it can safely be a folder's name, else raise UsageError."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a sweep's name; use up to 80 letters, digits, dots, dashes and underscores,"
            " beginning with a letter or digit"
        )
    return name


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write under a temporary name in the same folder, sync, rename: readers see all of it or none."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error  # names what could not be written
        raise


def _sync(path: Path) -> None:
    """Return once the file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _write_array(path: Path, array: npt.NDArray[Any], *, durable: bool = True) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomically(path, buffer.getvalue(), durable=durable)


def _read_array(path: Path) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as stream:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise unusable(path, error) from error
    return array


def _read_labels(path: Path) -> npt.NDArray[np.int64]:
    """(N,), checked to be digits."""
    array = _read_array(path)
    if array.ndim != 1 or array.dtype != np.uint8 or not array.size or int(array.max()) >= CLASS_COUNT:
        raise unusable(path, "it should hold the digits 0 to 9")
    return array.astype(np.int64)


def _read_probabilities(path: Path, count: int) -> npt.NDArray[np.float32]:
    """(count, 10), checked to be that."""
    array = _read_array(path)
    if array.shape != (count, CLASS_COUNT) or array.dtype != np.float32 or not np.isfinite(array).all():
        raise unusable(path, f"it should hold {count:,} x {CLASS_COUNT} probabilities")
    return array


def _read_json(path: Path, build: Callable[[Any], T]) -> T:
    """Read a JSON file and build a value from it; a half or foreign file is named in one line."""
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unusable(path, error) from error


def unusable(path: Path, reason: object) -> EnvironmentFailure:
    """Return (not raise) an error about a damaged file of a sweep that says how to go on without it."""
    if path.name == "test.npy":
        remedy = "delete it: it is computed again when the test part is next opened for that trial"
    elif path.parent.parent.name == "trials":
        remedy = f"delete the folder {path.parent} to go on without that trial"
    elif path.name.startswith("ensemble"):
        remedy = f"delete {path.with_name('ensemble.json')} and run `digits ensemble` again"
    elif path.name == "summary.json":
        remedy = "delete it: it only says how long the sweep took"
    else:
        remedy = f"restore it from a copy, or delete the folder {path.parent} and run the sweep again"
    return EnvironmentFailure(f"cannot use {path} ({reason}); {remedy}")


class TrialFolder:
    """One trial's files. The worker writes the first three kinds, the driver seals the record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> None:
        """Make the folder; an unfinished earlier try leaves its files to be overwritten."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def write_best(
        self, validation_probabilities: npt.NDArray[np.float32], weights: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Keep the best epoch so far."""
        from safetensors.numpy import save

        _write_array(self.folder / "validation.npy", validation_probabilities, durable=False)
        content = save({name: np.asarray(value, order="C") for name, value in weights.items()})
        write_atomically(self.folder / "weights.safetensors", content, durable=False)

    def write_progress(self, record: RunRecord) -> None:
        """Keep the record as it stands after an epoch."""
        write_atomically(self.folder / "progress.json", _json_bytes(record.to_dict()), durable=False)

    def read_progress(self) -> RunRecord | None:
        """The last record that the worker wrote, if it wrote any."""
        path = self.folder / "progress.json"
        return _read_json(path, RunRecord.from_dict) if path.is_file() else None

    def seal(self, record: RunRecord) -> None:
        """Write the final record: from now on the trial counts. What it vouches for reaches the disk first."""
        self.create()
        for path in (self.folder / "validation.npy", self.folder / "weights.safetensors", self.folder):
            if path.exists():
                _sync(path)
        write_atomically(self.folder / "record.json", _json_bytes(record.to_dict()))
        (self.folder / "progress.json").unlink(missing_ok=True)

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """The best epoch's weights."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.folder / "weights.safetensors"
        try:
            loaded: dict[str, npt.NDArray[Any]] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise unusable(path, error) from error
        return loaded


class SweepStore:
    """Reads and writes one sweep's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def create(runs: Path, header: SweepHeader, split: Split | Folds) -> "SweepStore":
        """Start a new sweep's folder. Raises if it exists or cannot be written."""
        folder = runs / check_name(header.name)
        check_new(runs, header.name)
        try:
            (folder / "trials").mkdir(parents=True)
        except OSError as error:
            raise EnvironmentFailure(f"cannot write to {runs}: {error.strerror}; choose another --runs") from error
        store = SweepStore(folder)
        _write_array(folder / "validation_labels.npy", split.validation.labels)
        _write_array(folder / "validation_indices.npy", split.validation_indices)
        write_atomically(folder / "sweep.json", _json_bytes(dataclasses.asdict(header)))
        return store

    @staticmethod
    def open(runs: Path, name: str | None = None) -> "SweepStore":
        """Open a sweep by name, or the latest one."""
        if runs.exists() and not runs.is_dir():
            raise UsageError(f"{runs} is not a folder; --runs names the folder that holds the sweeps")
        names = sweep_names(runs)
        if name is None:
            if not names:
                raise UsageError(f"there is no sweep in {runs} yet; start one with: digits sweep --trials 100")
            return SweepStore(runs / names[-1])
        if check_name(name) not in names:
            raise unknown_name("sweep", name, names)
        return SweepStore(runs / name)

    @property
    def header(self) -> SweepHeader:
        """What the sweep was asked to do."""
        return _read_json(self.folder / "sweep.json", lambda values: SweepHeader(**values))

    def write_summary(self, summary: SweepSummary) -> None:
        """Say how the search went."""
        write_atomically(self.folder / "summary.json", _json_bytes(dataclasses.asdict(summary)))

    def write_best_parameters(self, winner: RunRecord) -> None:
        """Leave a winner's recipe as a file of its own, which `digits train` takes."""
        header = self.header
        best = best_parameters(
            winner.recipe,
            name=f"{header.name}, trial {winner.trial}",
            dataset=header.dataset,
            validation=dataclasses.asdict(winner.validation) if winner.validation else {},
        )
        write_atomically(self.folder / "best_parameters.json", _json_bytes(best))

    def summary(self) -> SweepSummary | None:
        """How the search went; None while it runs or if it was killed."""
        path = self.folder / "summary.json"
        return _read_json(path, lambda values: SweepSummary(**values)) if path.is_file() else None

    def trial(self, trial: int) -> TrialFolder:
        """The folder of one trial, which need not exist yet."""
        return TrialFolder(self.folder / "trials" / f"{trial:05d}")

    def records(self) -> list[RunRecord]:
        """All trials that are over, by number."""
        paths = sorted((self.folder / "trials").glob("*/record.json"))
        return [_read_json(path, RunRecord.from_dict) for path in paths]

    def ranked(self) -> list[RunRecord]:
        """The trials that count, best first; see `digits_core.records.rank`."""
        return rank(self.records())

    def validation_labels(self) -> npt.NDArray[np.int64]:
        """(N,)."""
        path, expected = self.folder / "validation_labels.npy", self.header.validation_n
        labels = _read_labels(path)
        if len(labels) != expected:
            raise unusable(path, f"it should hold {expected:,} labels, not {len(labels):,}")
        return labels

    def validation_indices(self) -> npt.NDArray[np.int64]:
        """(N,): the images' numbers in the data set."""
        return _read_array(self.folder / "validation_indices.npy")

    def validation_probabilities(self, trial: int) -> npt.NDArray[np.float32]:
        """(N, 10) of the trial's best epoch."""
        return _read_probabilities(self.trial(trial).folder / "validation.npy", len(self.validation_labels()))

    # --- the sealed test part: written by digits_core.sealed alone ---

    def ledger(self) -> list[Opening]:
        """Every opening of the test part so far. Raises where test predictions lie here that no line names."""
        path = self.folder / "ledger.jsonl"
        openings = []
        if path.is_file():
            try:
                content = path.read_text(encoding="utf-8")
                whole = content[: content.rfind("\n") + 1]  # a torn last line was never an opening: see below
                openings = [Opening.from_dict(json.loads(line)) for line in whole.splitlines()]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise unusable(path, error) from error
        named = {f"{trial:05d}" for opening in openings for trial in opening.trials}
        unnamed = {found.parent.name for found in self.folder.glob("trials/*/test.npy")} - named
        if unnamed:
            raise unusable(path, f"it does not name trial {min(unnamed)}, for which the test part was opened")
        return openings

    def append_to_ledger(self, opening: Opening) -> None:
        """Add a line, on disk before this returns, and so before anything is opened. A torn last line is cut."""
        path = self.folder / "ledger.jsonl"
        try:
            with path.open("a+b") as stream:
                stream.seek(0)
                stream.truncate(stream.read().rfind(b"\n") + 1)
                stream.write((json.dumps(dataclasses.asdict(opening)) + "\n").encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error

    def write_test(self, trial: int, probabilities: npt.NDArray[np.float32]) -> None:
        """Keep a named finalist's test probabilities (N, 10)."""
        _write_array(self.trial(trial).folder / "test.npy", probabilities)

    def write_test_part(self, labels: npt.NDArray[np.uint8], indices: npt.NDArray[np.int64]) -> None:
        """Keep the labels (N,) of the test part and its image numbers in the data set."""
        _write_array(self.folder / "test_labels.npy", labels)
        _write_array(self.folder / "test_indices.npy", indices)

    def test_labels(self) -> npt.NDArray[np.int64]:
        """(N,); only there once the test part was opened."""
        return _read_labels(self.folder / "test_labels.npy")

    def test_indices(self) -> npt.NDArray[np.int64]:
        """(N,): the images' numbers in the data set."""
        return _read_array(self.folder / "test_indices.npy")

    def test_probabilities(self, trial: int) -> npt.NDArray[np.float32] | None:
        """(N, 10), or None for a trial for which the test part was never opened."""
        is_opened = (self.trial(trial).folder / "test.npy").is_file()
        return self.opened_test_probabilities(trial) if is_opened else None

    def opened_test_probabilities(self, trial: int) -> npt.NDArray[np.float32]:
        """(N, 10) of a trial for which the test part was opened."""
        return _read_probabilities(self.trial(trial).folder / "test.npy", len(self.test_labels()))

    # --- the ensemble ---

    def write_ensemble(
        self, record: EnsembleRecord, validation: npt.NDArray[np.floating], test: npt.NDArray[np.floating]
    ) -> None:
        """Keep the combination and its probabilities; the record last, and never beside another's arrays."""
        (self.folder / "ensemble.json").unlink(missing_ok=True)
        _write_array(self.folder / "ensemble_validation.npy", validation.astype(np.float32))
        _write_array(self.folder / "ensemble_test.npy", test.astype(np.float32))
        write_atomically(self.folder / "ensemble.json", _json_bytes(dataclasses.asdict(record)))

    def ensemble(self) -> EnsembleRecord | None:
        """The stored combination, if one was made."""
        path = self.folder / "ensemble.json"
        return _read_json(path, EnsembleRecord.from_dict) if path.is_file() else None

    def ensemble_validation_probabilities(self) -> npt.NDArray[np.float32]:
        """(N, 10)."""
        return _read_probabilities(self.folder / "ensemble_validation.npy", len(self.validation_labels()))

    def ensemble_test_probabilities(self) -> npt.NDArray[np.float32]:
        """(N, 10)."""
        return _read_probabilities(self.folder / "ensemble_test.npy", len(self.test_labels()))


def sweep_names(runs: Path) -> list[str]:
    """The sweeps in a runs folder, oldest first. A damaged one keeps its place: opening it says what is wrong."""
    return [path.parent.name for path in sorted(runs.glob("*/sweep.json"), key=_created_at)]


def _created_at(header: Path) -> tuple[float, str]:
    try:
        return _read_json(header, lambda values: float(values["created_at"])), header.parent.name
    except EnvironmentFailure:
        return header.stat().st_mtime, header.parent.name


def check_new(runs: Path, name: str) -> None:
    """Raise unless a sweep of this name can be started: the name is free and the folder takes files."""
    if (runs / check_name(name)).exists():
        raise UsageError(f"there is already a sweep {name!r} in {runs}; choose another --name")
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs):
            pass
    except OSError as error:
        raise EnvironmentFailure(f"cannot write to {runs}: {error.strerror}; choose another --runs") from error
