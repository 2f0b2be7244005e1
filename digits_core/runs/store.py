"""A run's folder on disk. Whatever is read back is either complete or absent.

RUNS/NAME/sweep.json               SweepHeader, written before the first trial
         /journal.jsonl            what `digits resume` goes by: see digits_core.runs.journal
         /driver.lock              who runs it: see ownership.py; in a bucket driver.json, see claims.py
         /study.db                 the trials as an Optuna study, for optuna-dashboard: see sweeps.search.study_copy
         /summary.json             SweepSummary, written after the last one
         /best_parameters.json     the leader's recipe, for `digits train FILE`; written beside the summary
         /validation_labels.npy, validation_indices.npy
         /trials/00007/validation.npy       (N, 10) probabilities of the best epoch
                      /weights.safetensors  weights of the best epoch; only the best trials keep theirs
                      /progress.json        the record so far, rewritten after every epoch
                      /state.safetensors    what the trial goes on from if it is cut off; gone once it is over
                      /record.json          RunRecord; written last, so it means "this trial is over"
                      /inside.safetensors   pictures of the network's inside, of the leader alone
                      /test.npy             only after the sealed test part was opened for this trial
         /ledger.jsonl             one line for every opening of the test part
         /confirmed/               a run of its own, laid out like this one: the best recipes again, on fresh seeds;
                                   confirmed-5-folds/ where they were cross-validated
         /refitted/                the same, trained on validation as well
         /test_labels.npy, test_indices.npy
         /transfer.json            what models of it do on other data sets: see digits_core.runs.transfer_records
         /ensemble.json, ensemble_validation.npy, ensemble_test.npy
         /report.html, leaderboard.csv
"""

import dataclasses
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import Split
from digits_core.data.folds import Folds
from digits_core.errors import EnvironmentFailure, UsageError, unknown_name
from digits_core.recipes import best_parameters
from digits_core.records import Opening, RunRecord, SweepHeader, SweepSummary, rank
from digits_core.runs.durable import (
    json_bytes,
    read_array,
    read_json,
    read_labels,
    read_probabilities,
    unusable,
    write_array,
    write_atomically,
)
from digits_core.runs.ensemble_records import EnsembleRecord
from digits_core.runs.ledger import append_to_ledger, read_ledger
from digits_core.runs.trial_folder import TrialFolder, folder_name

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_name(name: str) -> str:
    """Return a sweep's name if it can safely be a folder's name, else raise UsageError."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a sweep's name; use up to 80 letters, digits, dots, dashes and underscores,"
            " beginning with a letter or digit"
        )
    return name


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
        write_array(folder / "validation_labels.npy", split.validation.labels)
        write_array(folder / "validation_indices.npy", split.validation_indices)
        store.write_header(header)
        return store

    def write_header(self, header: SweepHeader) -> None:
        """Say what is to be done: once, and again where more trials are asked for."""
        write_atomically(self.folder / "sweep.json", json_bytes(dataclasses.asdict(header)))

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
        header = read_json(self.folder / "sweep.json", SweepHeader.from_dict)
        return dataclasses.replace(header, name=self.folder.name)  # which may have been renamed

    def write_summary(self, summary: SweepSummary) -> None:
        """Say how the search went."""
        write_atomically(self.folder / "summary.json", json_bytes(dataclasses.asdict(summary)))

    def write_best_parameters(self, leader: RunRecord) -> None:
        """Leave a leader's recipe as a file of its own, which `digits train` takes."""
        header = self.header
        best = best_parameters(
            leader.recipe,
            name=f"{header.name}, trial {leader.trial}",
            dataset=header.dataset,
            validation=dataclasses.asdict(leader.validation) if leader.validation else {},
        )
        write_atomically(self.folder / "best_parameters.json", json_bytes(best))

    def summary(self) -> SweepSummary | None:
        """How the search went; None while it runs or if it was killed."""
        path = self.folder / "summary.json"
        return read_json(path, lambda values: SweepSummary(**values)) if path.is_file() else None

    def trial(self, trial: int) -> TrialFolder:
        """The folder of one trial, which need not exist yet."""
        return TrialFolder(self.folder / "trials" / folder_name(trial))

    def records(self) -> list[RunRecord]:
        """All trials that are over, by number."""
        paths = sorted((self.folder / "trials").glob("*/record.json"))
        return [read_json(path, RunRecord.from_dict) for path in paths]

    def ranked(self) -> list[RunRecord]:
        """The trials that count, best first; see `digits_core.records.rank`."""
        return rank(self.records())

    def validation_labels(self) -> npt.NDArray[np.int64]:
        """(N,)."""
        path, expected = self.folder / "validation_labels.npy", self.header.validation_n
        labels = read_labels(path)
        if len(labels) != expected:
            raise unusable(path, f"it should hold {expected:,} labels, not {len(labels):,}")
        return labels

    def validation_indices(self) -> npt.NDArray[np.int64]:
        """(N,): the images' numbers in the data set."""
        return read_array(self.folder / "validation_indices.npy")

    def validation_probabilities(self, trial: int) -> npt.NDArray[np.float32]:
        """(N, 10) of the trial's best epoch."""
        return read_probabilities(self.trial(trial).folder / "validation.npy", len(self.validation_labels()))

    # --- the sealed test part: written by digits_core.inference.sealed alone ---

    @property
    def sealed_by(self) -> "SweepStore":
        """The run whose ledger counts: this one, or the sweep that this confirms."""
        return SweepStore(self.folder.parent) if (self.folder.parent / "sweep.json").is_file() else self

    def ledger(self) -> list[Opening]:
        """Every opening of the test part so far, of a sweep and of what confirms it."""
        folder = self.sealed_by.folder
        return read_ledger(folder, ["", *(inner.name for inner in SweepStore(folder).inner_folders)])

    def append_to_ledger(self, purpose: str, trials: tuple[int, ...]) -> None:
        """Say that the test part is about to be opened for these trials."""
        ledger, within = self.sealed_by.folder, "" if self.sealed_by is self else self.folder.name
        opening = Opening(number=len(self.ledger()) + 1, at=time.time(), purpose=purpose, trials=trials, run=within)
        append_to_ledger(ledger, opening)

    def write_test(self, trial: int, probabilities: npt.NDArray[np.float32]) -> None:
        """Keep a named candidate's test probabilities (N, 10)."""
        write_array(self.trial(trial).folder / "test.npy", probabilities)

    def write_test_part(self, labels: npt.NDArray[np.uint8], indices: npt.NDArray[np.int64]) -> None:
        """Keep the labels (N,) of the test part and its image numbers in the data set."""
        write_array(self.folder / "test_labels.npy", labels)
        write_array(self.folder / "test_indices.npy", indices)

    def test_labels(self) -> npt.NDArray[np.int64]:
        """(N,); only there once the test part was opened."""
        return read_labels(self.folder / "test_labels.npy")

    def test_indices(self) -> npt.NDArray[np.int64]:
        """(N,): the images' numbers in the data set."""
        return read_array(self.folder / "test_indices.npy")

    def can_be_tested(self, trial: int) -> bool:
        """Whether the trial has kept its weights, or needs them no more."""
        return self.trial(trial).has_weights or self.has_opened_test(trial)

    def has_opened_test(self, trial: int) -> bool:
        """Whether the test part was opened for this trial."""
        return (self.trial(trial).folder / "test.npy").is_file()

    def test_probabilities(self, trial: int) -> npt.NDArray[np.float32] | None:
        """(N, 10), or None for a trial for which the test part was never opened."""
        return self.opened_test_probabilities(trial) if self.has_opened_test(trial) else None

    def opened_test_probabilities(self, trial: int) -> npt.NDArray[np.float32]:
        """(N, 10) of a trial for which the test part was opened."""
        return read_probabilities(self.trial(trial).folder / "test.npy", len(self.test_labels()))

    @property
    def inner_folders(self) -> list[Path]:
        """Runs that lie inside this one's folder."""
        return sorted(header.parent for header in self.folder.glob("*/sweep.json"))

    # --- what confirms a sweep: its best recipes again on fresh seeds ---

    def confirmation(self, fold_count: int = 0) -> "SweepStore | None":
        """The runs of `digits confirm`, over folds if so many are asked for; None where there are none.

        Raises EnvironmentFailure where they are not of this sweep's data and split.
        """
        store = SweepStore(self.folder / confirmation_name(fold_count))
        if not (store.folder / "sweep.json").is_file():
            return None
        ours, theirs = self.header, store.header
        if theirs.data_checksum != ours.data_checksum or (not fold_count and theirs.split_id != ours.split_id):
            raise unusable(
                store.folder / "sweep.json",
                f"it is of data {theirs.data_checksum[:12]} and split {theirs.split_id}, the sweep of data"
                f" {ours.data_checksum[:12]} and split {ours.split_id}",
            )
        if not fold_count and not np.array_equal(store.validation_indices(), self.validation_indices()):
            raise unusable(store.folder / "validation_indices.npy", "these are not the sweep's validation images")
        return store

    def refitted(self) -> "SweepStore | None":
        """The runs of `digits confirm --refit`; None where there are none."""
        store = SweepStore(self.folder / REFITTED)
        return store if (store.folder / "sweep.json").is_file() else None

    # --- the ensemble ---

    def write_ensemble(
        self, record: EnsembleRecord, validation: npt.NDArray[np.floating], test: npt.NDArray[np.floating]
    ) -> None:
        """Keep the combination and its probabilities; the record last, and never beside another's arrays."""
        (self.folder / "ensemble.json").unlink(missing_ok=True)
        write_array(self.folder / "ensemble_validation.npy", validation.astype(np.float32))
        write_array(self.folder / "ensemble_test.npy", test.astype(np.float32))
        write_atomically(self.folder / "ensemble.json", json_bytes(dataclasses.asdict(record)))

    def ensemble(self) -> EnsembleRecord | None:
        """The stored combination, if one was made."""
        path = self.folder / "ensemble.json"
        return read_json(path, EnsembleRecord.from_dict) if path.is_file() else None

    def ensemble_validation_probabilities(self) -> npt.NDArray[np.float32]:
        """(N, 10)."""
        return read_probabilities(self.folder / "ensemble_validation.npy", len(self.validation_labels()))

    def ensemble_test_probabilities(self) -> npt.NDArray[np.float32]:
        """(N, 10)."""
        return read_probabilities(self.folder / "ensemble_test.npy", len(self.test_labels()))


REFITTED = "refitted"
"""The folder, inside a sweep's own, of its best recipes trained on validation as well: the test part judges them."""


def confirmation_name(fold_count: int) -> str:
    """The folder, inside the sweep's own, of its best recipes on fresh seeds."""
    return f"confirmed-{fold_count}-folds" if fold_count else "confirmed"


def sweep_names(runs: Path) -> list[str]:
    """The sweeps in a runs folder, oldest first. A damaged one keeps its place: opening it says what is wrong."""
    headers = [path for path in runs.glob("*/sweep.json") if NAME_PATTERN.fullmatch(path.parent.name)]
    return [path.parent.name for path in sorted(headers, key=_created_at)]


def _created_at(header: Path) -> tuple[float, str]:
    try:
        return read_json(header, lambda values: float(values["created_at"])), header.parent.name
    except EnvironmentFailure:
        return header.stat().st_mtime, header.parent.name


def check_new(runs: Path, name: str) -> None:
    """Raise unless a sweep of this name can be started: the name is free and the folder, made or not, takes files."""
    if (runs / check_name(name)).exists():
        raise UsageError(f"there is already a sweep {name!r} in {runs}; choose another --name")
    try:
        with tempfile.TemporaryFile(dir=next(folder for folder in (runs, *runs.absolute().parents) if folder.exists())):
            pass
    except OSError as error:
        raise EnvironmentFailure(f"cannot write to {runs}: {error.strerror}; choose another --runs") from error
