"""Writes a run's folder; digits_core.runs.run lists its files. One process at a time may: see ownership."""

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import Split
from digits_core.data.folds import Folds
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.records import RunHeader, RunSummary
from digits_core.runs.durable import array_bytes, checksum, json_bytes, write_array, write_atomically
from digits_core.runs.ensemble_records import EnsembleRecord, Part
from digits_core.runs.ledger import append_to_ledger
from digits_core.runs.run import HEADER, POSED_PREDICTIONS, POSED_TEST, TEST, Run, check_name, ensemble_array
from digits_core.runs.trial_folder import TrialWriter, folder_name

UNFINISHED = ".new-"
"""Prefix of folders in which a run's first files are written."""
SECONDS_TO_START = 3600.0


class RunWriter:
    """Writes one run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def create(
        runs: Path, header: RunHeader, split: Split | Folds, begin: Callable[[Path], None] | None = None
    ) -> "RunWriter":
        """Create a new run's folder. Raises UsageError if it exists, EnvironmentFailure if it cannot be written.

        begin: writes what else has to be there from the start, before the folder gets its name.
        """
        folder = runs / check_name(header.name)
        check_new(runs, header.name)
        try:
            runs.mkdir(parents=True, exist_ok=True)
            _remove_unfinished(runs)
            # Complete before it has its name: a full disk or a kill leaves no folder that no command knows.
            with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=runs, ignore_cleanup_errors=True) as place:
                new = RunWriter(Path(place) / "run")
                (new.folder / "trials").mkdir(parents=True)
                write_array(new.folder / "validation_labels.npy", split.validation.labels)
                write_array(new.folder / "validation_indices.npy", split.validation_indices)
                new.write_header(header)
                if begin is not None:
                    begin(new.folder)
                new.folder.rename(folder)
        except OSError as error:
            raise EnvironmentFailure(f"cannot write to {runs}: {error.strerror}; choose another --runs") from error
        return RunWriter(folder)

    @property
    def run(self) -> Run:
        """The run as it is now."""
        return Run(self.folder)

    def cannot_write(self, error: OSError) -> str:
        """Why the run cannot go on, in words."""
        if not self.folder.is_dir():
            return f"{self.folder} was moved or removed while the run was going on; put it back"
        return f"cannot write to {self.folder}: {error.strerror}; make room or grant access"

    def write_header(self, header: RunHeader) -> None:
        """Write what the run is to do: when it starts, and again if more trials are requested."""
        write_atomically(self.folder / HEADER, json_bytes(dataclasses.asdict(header)))

    def write_summary(self, summary: RunSummary) -> None:
        """Write how the run went, after its last trial."""
        write_atomically(self.folder / "summary.json", json_bytes(dataclasses.asdict(summary)))

    def write_best_parameters(self, best: dict[str, Any]) -> None:
        """Write what `digits_core.recipes.best_parameters` returns, for `digits train FILE`."""
        write_atomically(self.folder / "best_parameters.json", json_bytes(best))

    def trial(self, trial: int) -> TrialWriter:
        """One trial's folder, which need not exist yet."""
        return TrialWriter(self.folder / "trials" / folder_name(trial))

    # --- the sealed test set: only digits_core.inference.sealed writes these ---

    def append_to_ledger(self, purpose: str, trials: tuple[int, ...]) -> None:
        """Record that the test set is about to be opened for these trials."""
        run = self.run
        within = "" if run.outer is run else self.folder.name
        append_to_ledger(run.outer.folder, purpose, trials, within, run.outer.covered)

    def write_test(self, trial: int, probabilities: npt.NDArray[np.float32], *, in_poses: bool = False) -> None:
        """Keep a trial's test probabilities, (N, 10)."""
        write_array(self.trial(trial).folder / (POSED_TEST if in_poses else TEST), probabilities)

    def write_test_part(self, labels: npt.NDArray[np.uint8], indices: npt.NDArray[np.int64]) -> None:
        """Keep the test set's labels and the positions of its images in the data set, both (N,)."""
        write_array(self.folder / "test_labels.npy", labels)
        write_array(self.folder / "test_indices.npy", indices)

    # --- the ensemble ---

    def write_validation_in_poses(self, trial: int, probabilities: npt.NDArray[np.float32]) -> None:
        """Keep a trial's validation probabilities with test-time augmentation, (N, 10)."""
        write_array(self.trial(trial).folder / POSED_PREDICTIONS, probabilities)

    def write_ensemble(
        self, record: EnsembleRecord, validation: npt.NDArray[np.floating], test: npt.NDArray[np.floating]
    ) -> None:
        """Keep an ensemble. Its record names its arrays: until that is replaced, the old ensemble is whole."""
        parts: dict[Part, npt.NDArray[np.floating]] = {"validation": validation, "test": test}
        arrays = {part: array_bytes(array.astype(np.float32)) for part, array in parts.items()}
        record = dataclasses.replace(record, files={part: checksum(content) for part, content in arrays.items()})
        kept = {part: ensemble_array(self.folder, record, part) for part in arrays}
        for part, content in arrays.items():
            write_atomically(kept[part], content)
        write_atomically(self.folder / "ensemble.json", json_bytes(dataclasses.asdict(record)))
        for path in self.folder.glob("ensemble_*.npy"):
            if path not in kept.values():
                path.unlink()


def _remove_unfinished(runs: Path) -> None:
    """Remove what a process left that was killed while it started a run."""
    for place in runs.glob(f"{UNFINISHED}*"):
        if not place.is_symlink() and time.time() - place.stat().st_mtime > SECONDS_TO_START:
            shutil.rmtree(place, ignore_errors=True)


def check_new(runs: Path, name: str) -> None:
    """Raise unless a run of this name can be started: the name is free, and `runs` or its nearest parent is writable.

    Raises UsageError for the name, EnvironmentFailure for the folder. Creates nothing.
    """
    if (runs / check_name(name)).exists():
        raise UsageError(f"there is already a run {name!r} in {runs}; choose another --name")
    try:
        with tempfile.TemporaryFile(dir=next(folder for folder in (runs, *runs.absolute().parents) if folder.exists())):
            pass
    except OSError as error:
        raise EnvironmentFailure(f"cannot write to {runs}: {error.strerror}; choose another --runs") from error
