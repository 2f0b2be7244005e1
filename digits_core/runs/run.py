"""A run's folder, read. Every file in it is either complete or absent.

RUNS/NAME/sweep.json               RunHeader, written before the first trial
         /journal.jsonl            what `digits resume` reads: see digits_core.runs.journal
         /driver.lock              who drives it: see digits_core.runs.ownership
         /.pushed.json             what a push or pull last agreed on: see digits_core.remote.copies
         /study.db                 the trials as an Optuna study, for optuna-dashboard: see sweeps.search.study_copy
         /summary.json             RunSummary, written after the last trial
         /best_parameters.json     the leader's recipe, for `digits train FILE`; written by whatever finishes the run
         /validation_labels.npy, validation_indices.npy
         /trials/00007/validation.npy       (N, 10) probabilities of the best epoch
                      /weights.safetensors  weights of the best epoch; with --keep only the best trials keep theirs
                      /state.safetensors    what the trial resumes from if interrupted; deleted once it has ended
                      /record.json          RunRecord; written last, so its presence means that the trial has ended
                      /inside.safetensors   filters, feature maps and embedding of the network; leader only
                      /test.npy             only after the sealed test set was opened for this trial
                      /validation-poses.npy, test-poses.npy   the same with test-time augmentation, where asked for
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
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from digits_core.errors import EnvironmentFailure, UsageError, unknown_name
from digits_core.records import Opening, RunHeader, RunRecord, RunSummary, rank
from digits_core.runs.durable import (
    read_indices,
    read_json,
    read_json_if_any,
    read_labels,
    read_probabilities,
    unusable,
)
from digits_core.runs.ensemble_records import EnsembleRecord, Part
from digits_core.runs.journal import History, read_journal
from digits_core.runs.ledger import read_ledger
from digits_core.runs.transfer_records import Transfer, read_transfer
from digits_core.runs.trial_folder import PREDICTIONS, RECORD, TrialFolder, folder_name, record_in

T = TypeVar("T")
HEADER = "sweep.json"
TEST, POSED_TEST = "test.npy", "test-poses.npy"
POSED_PREDICTIONS = "validation-poses.npy"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
Labels = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]  # (N, 10)


def check_name(name: str) -> str:
    """Return the name if it is safe as a folder's name, else raise UsageError."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a run's name; use up to 80 letters, digits, dots, dashes and underscores,"
            " starting with a letter or digit"
        )
    return name


@dataclass(frozen=True)
class Run:
    """A run's folder, read: each file on first use, and then kept. Make a new `Run` to see what was written later.

    Damaged files raise EnvironmentFailure when they are read. `digits_core.runs.writer` writes.
    """

    folder: Path
    within: "Run | None" = field(default=None, compare=False, repr=False)  # the sweep whose folder it lies in
    _known: dict[Path, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @staticmethod
    def open(runs: Path, name: str | None = None) -> "Run":
        """Open a run by name, or the latest one. Raises UsageError if there isn't one."""
        if name is not None and os.path.lexists(runs / check_name(name) / HEADER):
            return Run(runs / name)
        found = runs_in(runs)
        if name is not None:
            raise unknown_name("run", name, [run.name for run in found])
        if not found:
            raise UsageError(f"there is no run in {runs} yet; start one with: digits sweep --trials 100")
        return found[-1]

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    @cached_property
    def header(self) -> RunHeader:
        """What the run was asked to do."""
        header = read_json(self.folder / HEADER, RunHeader)
        return dataclasses.replace(header, name=self.name)  # the folder may have been renamed

    @cached_property
    def summary(self) -> RunSummary | None:
        """How the run went; None while it goes on or if its driver was killed."""
        return read_json_if_any(self.folder / "summary.json", RunSummary)

    @cached_property
    def history(self) -> History:
        """What its journal tells."""
        return read_journal(self.folder)

    # --- its trials ---

    def trial(self, trial: int) -> TrialFolder:
        """One trial's folder, which need not exist yet."""
        return TrialFolder(self.folder / "trials" / folder_name(trial))

    @cached_property
    def records(self) -> tuple[RunRecord, ...]:
        """All trials that have ended, by number."""
        return tuple(map(self._record_in, sorted((self.folder / "trials").glob(f"*/{RECORD}"))))

    @cached_property
    def ranked(self) -> tuple[RunRecord, ...]:
        """The trials that count, best first: see `digits_core.records.rank`."""
        return tuple(rank(self.records))

    def record(self, trial: int) -> RunRecord:
        """A trial's record. Raises UsageError if there isn't one."""
        path = self.trial(trial).folder / RECORD
        if path not in self._known and not os.path.lexists(path):
            raise unknown_name("trial", str(trial), [str(record.trial) for record in self.records])
        return self._record_in(path)

    def _record_in(self, path: Path) -> RunRecord:
        return self._once(path, lambda: record_in(path))

    @cached_property
    def validation_labels(self) -> Labels:
        """Labels of the validation set, (N,)."""
        path, expected = self.folder / "validation_labels.npy", self.header.validation_n
        labels = read_labels(path)
        if len(labels) != expected:
            raise unusable(path, f"it should hold {expected:,} labels, not {len(labels):,}")
        return labels

    @cached_property
    def validation_indices(self) -> Indices:
        """Positions of the validation images in the data set, (N,)."""
        return read_indices(self.folder / "validation_indices.npy", len(self.validation_labels))

    def validation_probabilities(self, trial: int, *, in_poses: bool = False) -> Probabilities:
        """Probabilities at the trial's best epoch, (N, 10); with test-time augmentation, if asked for."""
        path, expected = self.trial(trial).folder / PREDICTIONS, self.record(trial).files.get(PREDICTIONS)
        if in_poses:
            path, expected = self.trial(trial).folder / POSED_PREDICTIONS, None
        return self._once(path, lambda: read_probabilities(path, len(self.validation_labels), expected))

    def has_validation_in_poses(self, trial: int) -> bool:
        """Whether its validation probabilities with test-time augmentation were computed."""
        return os.path.lexists(self.trial(trial).folder / POSED_PREDICTIONS)

    def _once(self, path: Path, read: Callable[[], T]) -> T:
        if path not in self._known:
            self._known[path] = read()
        found: T = self._known[path]
        return found

    # --- the sealed test set ---

    @cached_property
    def outer(self) -> "Run":
        """The run that keeps the ledger: this one, or the sweep whose folder it lies in."""
        if self.within is not None:
            return self.within
        return Run(self.folder.parent) if (self.folder.parent / HEADER).is_file() else self

    @cached_property
    def ledger(self) -> tuple[Opening, ...]:
        """Every opening of the test set so far, for the sweep and the runs inside its folder."""
        return tuple(read_ledger(self.outer.folder, self.outer.covered))

    @property
    def covered(self) -> list[str]:
        """The folders that its ledger covers: "" for itself, and those of its inner runs."""
        return ["", *(folder.name for folder in self.inner_folders)]

    @cached_property
    def test_labels(self) -> Labels:
        """Labels of the test set, (N,). Stored only once it has been opened."""
        return read_labels(self.folder / "test_labels.npy")

    @cached_property
    def test_indices(self) -> Indices:
        """Positions of the test images in the data set, (N,)."""
        return read_indices(self.folder / "test_indices.npy", len(self.test_labels))

    def can_be_tested(self, trial: int, *, in_poses: bool = False) -> bool:
        """Whether the trial has kept its weights or has its test probabilities already."""
        return self.trial(trial).has_weights or self.has_opened_test(trial, in_poses=in_poses)

    def has_opened_test(self, trial: int, *, in_poses: bool = False) -> bool:
        """Whether the test set was opened for this trial, with test-time augmentation if asked for."""
        return os.path.lexists(self.trial(trial).folder / (POSED_TEST if in_poses else TEST))

    def test_probabilities(self, trial: int, *, in_poses: bool = False) -> Probabilities:
        """Test probabilities, (N, 10). Raises EnvironmentFailure if the test set was never opened for this trial."""
        path = self.trial(trial).folder / (POSED_TEST if in_poses else TEST)
        return self._once(path, lambda: read_probabilities(path, len(self.test_labels)))

    # --- runs inside its folder ---

    @property
    def inner_folders(self) -> list[Path]:
        """Folders of the runs inside this one's folder."""
        return sorted(header.parent for header in self.folder.glob(f"*/{HEADER}"))

    def inner(self, name: str) -> "Run | None":
        """The run in this folder of its own; None if there isn't one."""
        folder = self.folder / name
        return self._once(folder, lambda: Run(folder, within=self) if (folder / HEADER).is_file() else None)

    def confirmation(self, fold_count: int = 0) -> "Run | None":
        """The run of `digits confirm`, the one over that many folds if `fold_count` is given; None if there isn't one.

        Raises EnvironmentFailure if it does not use this sweep's data and split.
        """
        inner = self.inner(confirmation_name(fold_count))
        if inner is None:
            return None
        ours, theirs = self.header, inner.header
        if theirs.data_checksum != ours.data_checksum or (not fold_count and theirs.split_id != ours.split_id):
            raise unusable(
                inner.folder / HEADER,
                f"it uses data {theirs.data_checksum[:12]} and split {theirs.split_id}, but the sweep uses data"
                f" {ours.data_checksum[:12]} and split {ours.split_id}",
            )
        if not fold_count and not np.array_equal(inner.validation_indices, self.validation_indices):
            raise unusable(inner.folder / "validation_indices.npy", "these are not the sweep's validation images")
        return inner

    def refitted(self) -> "Run | None":
        """The run of `digits confirm --refit`; None if there isn't one."""
        return self.inner(REFITTED)

    # --- what was made of its models ---

    @cached_property
    def ensemble(self) -> EnsembleRecord | None:
        """The stored ensemble; None if there isn't one."""
        return read_json_if_any(self.folder / "ensemble.json", EnsembleRecord)

    @cached_property
    def ensemble_validation_probabilities(self) -> Probabilities:
        """Shape (N, 10)."""
        return self._ensemble_probabilities("validation", len(self.validation_labels))

    @cached_property
    def ensemble_test_probabilities(self) -> Probabilities:
        """Shape (N, 10)."""
        return self._ensemble_probabilities("test", len(self.test_labels))

    def _ensemble_probabilities(self, part: Part, count: int) -> Probabilities:
        record = self.ensemble
        if record is None:
            raise UsageError(f"{self.name!r} has no ensemble yet; run: digits ensemble --sweep {self.name}")
        return read_probabilities(ensemble_array(self.folder, record, part), count, record.files.get(part))

    @cached_property
    def transfer(self) -> Transfer | None:
        """How its models do on other data sets; None if `digits transfer` was not run."""
        return read_transfer(self.folder)


REFITTED = "refitted"
"""Folder, inside the sweep's, of its best recipes trained on the validation set as well; the test set judges them."""


def ensemble_array(folder: Path, record: EnsembleRecord, part: Part) -> Path:
    """The file of an ensemble's probabilities."""
    named = f"-{record.files[part][:12]}" if part in record.files else ""
    return folder / f"ensemble_{part}{named}.npy"


def confirmation_name(fold_count: int) -> str:
    """Folder, inside the sweep's, of its best recipes on fresh seeds; `fold_count` is 0 without cross-validation."""
    return f"confirmed-{fold_count}-folds" if fold_count else "confirmed"


def runs_in(runs: Path) -> list[Run]:
    """The runs in a runs folder, oldest first. A damaged one is included: asking it says what is wrong.

    Raises UsageError if it is no folder.
    """
    if runs.exists() and not runs.is_dir():
        raise UsageError(f"{runs} is not a folder; --runs must name the folder that holds the runs")
    found = [Run(path.parent) for path in runs.glob(f"*/{HEADER}") if NAME_PATTERN.fullmatch(path.parent.name)]
    return sorted(found, key=_created_at)


def _created_at(run: Run) -> tuple[float, str]:
    try:
        return run.header.created_at, run.name
    except EnvironmentFailure:
        return (run.folder / HEADER).lstat().st_mtime, run.name
