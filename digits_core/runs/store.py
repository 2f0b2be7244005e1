"""A run's folder on disk. Every file in it is either complete or absent.

RUNS/NAME/sweep.json               SweepHeader, written before the first trial
         /journal.jsonl            what `digits resume` reads: see digits_core.runs.journal
         /driver.lock              who drives it: see digits_core.runs.ownership
         /.pushed.json             what a push or pull last agreed on: see digits_core.remote.copies
         /study.db                 the trials as an Optuna study, for optuna-dashboard: see sweeps.search.study_copy
         /summary.json             SweepSummary, written after the last trial
         /best_parameters.json     the leader's recipe, for `digits train FILE`; written with the summary
         /validation_labels.npy, validation_indices.npy
         /trials/00007/validation.npy       (N, 10) probabilities of the best epoch
                      /weights.safetensors  weights of the best epoch; with --keep only the best trials keep theirs
                      /state.safetensors    what the trial resumes from if interrupted; deleted once it has ended
                      /record.json          RunRecord; written last, so its presence means that the trial has ended
                      /inside.safetensors   filters, feature maps and embedding of the network; leader only
                      /test.npy             only after the sealed test set was opened for this trial
         /ledger.jsonl             one line for every opening of the test set
         /test_labels.npy, test_indices.npy   once the test set was opened
         /transfer.json            how its models do on other data sets: see digits_core.runs.transfer_records
         /ensemble.json, ensemble_validation-*.npy, ensemble_test-*.npy   the names hold the checksums
         /report.html, leaderboard.csv
         /confirmed/               a run of its own with the same layout: the best recipes again, on fresh seeds;
                                   confirmed-5-folds/ if they were cross-validated
         /refitted/                the same, trained on the validation set as well
"""

import dataclasses
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import Split
from digits_core.data.folds import Folds
from digits_core.errors import EnvironmentFailure, UsageError, unknown_name
from digits_core.recipes import best_parameters
from digits_core.records import Opening, RunRecord, SweepHeader, SweepSummary, rank
from digits_core.runs.durable import (
    array_bytes,
    checksum,
    json_bytes,
    read_indices,
    read_json,
    read_json_if_any,
    read_labels,
    read_probabilities,
    unusable,
    write_array,
    write_atomically,
)
from digits_core.runs.ensemble_records import EnsembleRecord, Part
from digits_core.runs.ledger import append_to_ledger, read_ledger
from digits_core.runs.trial_folder import TrialFolder, folder_name, record_in

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_name(name: str) -> str:
    """Return the name if it is safe as a folder's name, else raise UsageError."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a run's name; use up to 80 letters, digits, dots, dashes and underscores,"
            " starting with a letter or digit"
        )
    return name


class SweepStore:
    """Reads and writes one run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def create(
        runs: Path, header: SweepHeader, split: Split | Folds, begin: Callable[[Path], None] | None = None
    ) -> "SweepStore":
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
                new = SweepStore(Path(place) / "run")
                (new.folder / "trials").mkdir(parents=True)
                write_array(new.folder / "validation_labels.npy", split.validation.labels)
                write_array(new.folder / "validation_indices.npy", split.validation_indices)
                new.write_header(header)
                if begin is not None:
                    begin(new.folder)
                new.folder.rename(folder)
        except OSError as error:
            raise EnvironmentFailure(f"cannot write to {runs}: {error.strerror}; choose another --runs") from error
        return SweepStore(folder)

    def cannot_write(self, error: OSError) -> str:
        """Why the run cannot go on, in words."""
        if not self.folder.is_dir():
            return f"{self.folder} was moved or removed while the run was going on; put it back"
        return f"cannot write to {self.folder}: {error.strerror}; make room or grant access"

    def write_header(self, header: SweepHeader) -> None:
        """Write what the run is to do: when it starts, and again if more trials are requested."""
        write_atomically(self.folder / "sweep.json", json_bytes(dataclasses.asdict(header)))

    @staticmethod
    def open(runs: Path, name: str | None = None) -> "SweepStore":
        """Open a run by name, or the latest one. Raises UsageError if there isn't one."""
        if runs.exists() and not runs.is_dir():
            raise UsageError(f"{runs} is not a folder; --runs must name the folder that holds the runs")
        names = sweep_names(runs)
        if name is None:
            if not names:
                raise UsageError(f"there is no run in {runs} yet; start one with: digits sweep --trials 100")
            return SweepStore(runs / names[-1])
        if check_name(name) not in names:
            raise unknown_name("run", name, names)
        return SweepStore(runs / name)

    @property
    def header(self) -> SweepHeader:
        """What the run was asked to do."""
        header = read_json(self.folder / "sweep.json", SweepHeader)
        return dataclasses.replace(header, name=self.folder.name)  # the folder may have been renamed

    def write_summary(self, summary: SweepSummary) -> None:
        write_atomically(self.folder / "summary.json", json_bytes(dataclasses.asdict(summary)))

    def write_best_parameters(self, leader: RunRecord) -> None:
        """Write the leader's recipe as a file that `digits train` takes."""
        header = self.header
        best = best_parameters(
            leader.recipe,
            name=f"{header.name}, trial {leader.trial}",
            dataset=header.dataset,
            validation=dataclasses.asdict(leader.validation) if leader.validation else {},
        )
        write_atomically(self.folder / "best_parameters.json", json_bytes(best))

    def summary(self) -> SweepSummary | None:
        """How the search went; None while it runs or if its driver was killed."""
        return read_json_if_any(self.folder / "summary.json", SweepSummary)

    def trial(self, trial: int) -> TrialFolder:
        """One trial's folder, which need not exist yet."""
        return TrialFolder(self.folder / "trials" / folder_name(trial))

    def records(self) -> list[RunRecord]:
        """All trials that have ended, by number."""
        paths = sorted((self.folder / "trials").glob("*/record.json"))
        return [record_in(path) for path in paths]

    def ranked(self) -> list[RunRecord]:
        """The trials that count, best first: see `digits_core.records.rank`."""
        return rank(self.records())

    def validation_labels(self) -> npt.NDArray[np.int64]:
        """Labels of the validation set, (N,)."""
        path, expected = self.folder / "validation_labels.npy", self.header.validation_n
        labels = read_labels(path)
        if len(labels) != expected:
            raise unusable(path, f"it should hold {expected:,} labels, not {len(labels):,}")
        return labels

    def validation_indices(self) -> npt.NDArray[np.int64]:
        """Positions of the validation images in the data set, (N,)."""
        return read_indices(self.folder / "validation_indices.npy", len(self.validation_labels()))

    def validation_probabilities(self, trial: int) -> npt.NDArray[np.float32]:
        """Probabilities at the trial's best epoch, (N, 10)."""
        return self.trial(trial).validation_probabilities(len(self.validation_labels()))

    # --- the sealed test set: only digits_core.inference.sealed writes these ---

    @property
    def sealed_by(self) -> "SweepStore":
        """The run that keeps the ledger: this one, or the sweep that this one confirms."""
        return SweepStore(self.folder.parent) if (self.folder.parent / "sweep.json").is_file() else self

    def ledger(self) -> list[Opening]:
        """Every opening of the test set so far, for the sweep and the runs inside its folder."""
        sealed_by = self.sealed_by
        return read_ledger(sealed_by.folder, sealed_by._covered)

    @property
    def _covered(self) -> list[str]:
        return ["", *(inner.name for inner in self.inner_folders)]

    def append_to_ledger(self, purpose: str, trials: tuple[int, ...]) -> None:
        """Record that the test set is about to be opened for these trials."""
        sealed_by = self.sealed_by
        within = "" if sealed_by is self else self.folder.name
        append_to_ledger(sealed_by.folder, purpose, trials, within, sealed_by._covered)

    def write_test(self, trial: int, probabilities: npt.NDArray[np.float32]) -> None:
        """Keep a trial's test probabilities, (N, 10)."""
        write_array(self.trial(trial).folder / "test.npy", probabilities)

    def write_test_part(self, labels: npt.NDArray[np.uint8], indices: npt.NDArray[np.int64]) -> None:
        """Keep the test set's labels and the positions of its images in the data set, both (N,)."""
        write_array(self.folder / "test_labels.npy", labels)
        write_array(self.folder / "test_indices.npy", indices)

    def test_labels(self) -> npt.NDArray[np.int64]:
        """Labels of the test set, (N,). Stored only once it has been opened."""
        return read_labels(self.folder / "test_labels.npy")

    def test_indices(self) -> npt.NDArray[np.int64]:
        """Positions of the test images in the data set, (N,)."""
        return read_indices(self.folder / "test_indices.npy", len(self.test_labels()))

    def can_be_tested(self, trial: int) -> bool:
        """Whether the trial has kept its weights or has its test probabilities already."""
        return self.trial(trial).has_weights or self.has_opened_test(trial)

    def has_opened_test(self, trial: int) -> bool:
        """Whether the test set was opened for this trial."""
        return os.path.lexists(self.trial(trial).folder / "test.npy")

    def test_probabilities(self, trial: int) -> npt.NDArray[np.float32] | None:
        """Test probabilities, (N, 10); None if the test set was never opened for this trial."""
        return self.opened_test_probabilities(trial) if self.has_opened_test(trial) else None

    def opened_test_probabilities(self, trial: int) -> npt.NDArray[np.float32]:
        """Test probabilities, (N, 10). Raises EnvironmentFailure if the test set was never opened for this trial."""
        return read_probabilities(self.trial(trial).folder / "test.npy", len(self.test_labels()))

    @property
    def inner_folders(self) -> list[Path]:
        """Folders of the runs inside this one's folder."""
        return sorted(header.parent for header in self.folder.glob("*/sweep.json"))

    # --- confirmation: the best recipes again on fresh seeds ---

    def confirmation(self, fold_count: int = 0) -> "SweepStore | None":
        """The run of `digits confirm`, the one over that many folds if `fold_count` is given; None if there isn't one.

        Raises EnvironmentFailure if it does not use this sweep's data and split.
        """
        store = SweepStore(self.folder / confirmation_name(fold_count))
        if not (store.folder / "sweep.json").is_file():
            return None
        ours, theirs = self.header, store.header
        if theirs.data_checksum != ours.data_checksum or (not fold_count and theirs.split_id != ours.split_id):
            raise unusable(
                store.folder / "sweep.json",
                f"it uses data {theirs.data_checksum[:12]} and split {theirs.split_id}, but the sweep uses data"
                f" {ours.data_checksum[:12]} and split {ours.split_id}",
            )
        if not fold_count and not np.array_equal(store.validation_indices(), self.validation_indices()):
            raise unusable(store.folder / "validation_indices.npy", "these are not the sweep's validation images")
        return store

    def refitted(self) -> "SweepStore | None":
        """The run of `digits confirm --refit`; None if there isn't one."""
        store = SweepStore(self.folder / REFITTED)
        return store if (store.folder / "sweep.json").is_file() else None

    # --- the ensemble ---

    def write_ensemble(
        self, record: EnsembleRecord, validation: npt.NDArray[np.floating], test: npt.NDArray[np.floating]
    ) -> None:
        """Keep an ensemble. Its record names its arrays: until that is replaced, the old ensemble is whole."""
        parts: dict[Part, npt.NDArray[np.floating]] = {"validation": validation, "test": test}
        arrays = {part: array_bytes(array.astype(np.float32)) for part, array in parts.items()}
        record = dataclasses.replace(record, files={part: checksum(content) for part, content in arrays.items()})
        for part, content in arrays.items():
            write_atomically(self._ensemble_array(record, part), content)
        write_atomically(self.folder / "ensemble.json", json_bytes(dataclasses.asdict(record)))
        for path in self.folder.glob("ensemble_*.npy"):
            if path not in {self._ensemble_array(record, part) for part in arrays}:
                path.unlink()

    def _ensemble_array(self, record: EnsembleRecord, part: Part) -> Path:
        named = f"-{record.files[part][:12]}" if part in record.files else ""
        return self.folder / f"ensemble_{part}{named}.npy"

    def ensemble(self) -> EnsembleRecord | None:
        """The stored ensemble; None if there isn't one."""
        return read_json_if_any(self.folder / "ensemble.json", EnsembleRecord)

    def ensemble_validation_probabilities(self) -> npt.NDArray[np.float32]:
        """Shape (N, 10)."""
        return self._ensemble_probabilities("validation", len(self.validation_labels()))

    def ensemble_test_probabilities(self) -> npt.NDArray[np.float32]:
        """Shape (N, 10)."""
        return self._ensemble_probabilities("test", len(self.test_labels()))

    def _ensemble_probabilities(self, part: Part, count: int) -> npt.NDArray[np.float32]:
        record = read_json(self.folder / "ensemble.json", EnsembleRecord)
        return read_probabilities(self._ensemble_array(record, part), count, record.files.get(part))


UNFINISHED = ".new-"
"""Prefix of folders in which a run's first files are written."""
SECONDS_TO_START = 3600.0


def _remove_unfinished(runs: Path) -> None:
    """Remove what a process left that was killed while it started a run."""
    for place in runs.glob(f"{UNFINISHED}*"):
        if not place.is_symlink() and time.time() - place.stat().st_mtime > SECONDS_TO_START:
            shutil.rmtree(place, ignore_errors=True)


REFITTED = "refitted"
"""Folder, inside the sweep's, of its best recipes trained on the validation set as well; the test set judges them."""


def confirmation_name(fold_count: int) -> str:
    """Folder, inside the sweep's, of its best recipes on fresh seeds; `fold_count` is 0 without cross-validation."""
    return f"confirmed-{fold_count}-folds" if fold_count else "confirmed"


def sweep_names(runs: Path) -> list[str]:
    """The runs in a runs folder, oldest first. A damaged one is included: opening it says what is wrong."""
    headers = [path for path in runs.glob("*/sweep.json") if NAME_PATTERN.fullmatch(path.parent.name)]
    return [path.parent.name for path in sorted(headers, key=_created_at)]


def _created_at(header: Path) -> tuple[float, str]:
    try:
        return read_json(header, SweepHeader).created_at, header.parent.name
    except EnvironmentFailure:
        return header.lstat().st_mtime, header.parent.name


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
