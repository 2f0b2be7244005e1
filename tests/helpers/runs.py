"""Real runs, trained in this process."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from digits_core.data.digits import Digits, Split
from digits_core.inference.sealed import open_test
from digits_core.recipe import Recipe
from digits_core.records import Assignment, RunHeader, RunRecord
from digits_core.runs.durable import Content
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from digits_core.training.copies import DeviceSplit
from sweeps.running.objective import Company
from tests.helpers.object_stores import CREDENTIALS, s3_address, s3_url  # noqa: F401 - fixtures

HOSTILE = "</script><img src=x onerror=alert(1)>"


def make_header(digits: Digits, split: Split, name: str = "tiny", created_at: float = 1_000_000.0) -> RunHeader:
    """The header of a small sweep."""
    return RunHeader(
        name=name, created_at=created_at, dataset=digits.name, side=digits.side, data_checksum=digits.checksum,
        split_id=split.split_id, train_n=len(split.train), validation_n=len(split.validation), trial_count=5,
        max_epochs=3, seed=0, concurrency=1, device="cpu", space={"model.name": "cnn | mlp"},
        hardware="a test", versions={"python": "3"},
    )  # fmt: skip


def train_into(
    store: Run | RunWriter, split: Split, trial: int, recipe: Recipe, epochs: int, label: str = ""
) -> RunRecord:
    """Train a real trial in this process for some epochs and store its record."""
    device = torch.device("cpu")
    folder, assignment = RunWriter(store.folder).trial(trial), Assignment(trial=trial, recipe=recipe, label=label)
    company = Company([assignment], DeviceSplit.from_split(split, device), device)
    best: dict[str, Content] = {}
    for _ in range(epochs):
        (progress,) = company.advance()
        best.update(progress.best)
    folder.complete(progress.record, best)
    return progress.record


def reread(run: Run | RunWriter) -> Run:
    """The run as it is now."""
    return Run(run.folder)


def opened_for(run: Run | RunWriter, records: Sequence[RunRecord] = (), purpose: str = "leader of the sweep") -> Run:
    """The run after its sealed test set was opened, for the trial with the lowest NLL unless others are named."""
    now = reread(run)
    open_test(now, list(records) or now.ranked[:1], purpose)
    return reread(run)


def spoil(path: Path, **changes: object) -> None:
    """Change fields of a stored JSON document."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
