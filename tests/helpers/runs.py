"""Real runs, trained in this process."""

import json
from pathlib import Path

import torch

from digits_core.data.digits import Digits, Split
from digits_core.recipe import Recipe
from digits_core.records import Assignment, RunRecord, SweepHeader
from digits_core.runs.durable import Content
from digits_core.runs.store import SweepStore
from digits_core.training.engine import DeviceSplit
from sweeps.running.objective import TrialRun
from tests.helpers.object_stores import CREDENTIALS, s3_address, s3_url  # noqa: F401 - fixtures

HOSTILE = "</script><img src=x onerror=alert(1)>"


def make_header(digits: Digits, split: Split, name: str = "tiny", created_at: float = 1_000_000.0) -> SweepHeader:
    """The header of a small sweep."""
    return SweepHeader(
        name=name, created_at=created_at, dataset=digits.name, side=digits.side, data_checksum=digits.checksum,
        split_id=split.split_id, train_n=len(split.train), validation_n=len(split.validation), trial_count=5,
        max_epochs=3, seed=0, concurrency=1, device="cpu", space={"model.name": "cnn | mlp"},
        hardware="a test", versions={"python": "3"},
    )  # fmt: skip


def train_into(store: SweepStore, split: Split, trial: int, recipe: Recipe, epochs: int, label: str = "") -> RunRecord:
    """Train a real trial in this process for some epochs and store its record."""
    device = torch.device("cpu")
    folder, assignment = store.trial(trial), Assignment(trial=trial, recipe=recipe, label=label)
    run = TrialRun(assignment, DeviceSplit.from_split(split, device), device)
    best: dict[str, Content] = {}
    for _ in range(epochs):
        progress = run.advance()
        best.update(progress.best)
    folder.complete(progress.record, best)
    return progress.record


def spoil(path: Path, **changes: object) -> None:
    """Change fields of a stored JSON document."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
