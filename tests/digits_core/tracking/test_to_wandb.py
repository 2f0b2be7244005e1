"""Weights & Biases in its offline mode: the files that `wandb sync` sends, read back."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from wandb.proto.wandb_internal_pb2 import Record

from digits_core.runs.run import Run
from digits_core.tracking.story import story
from digits_core.tracking.to_wandb import WandB

BLOCK, HEAD, CHUNK_HEAD = 32_768, 7, 7  # bytes: a log as LevelDB writes it, after four letters and a version


def send(run: Run, folder: Path) -> list[bool]:
    tracker, entries = WandB(folder), list(story(run))[:3]
    return [tracker.send(entry, entries[0]) for entry in entries]


def records(path: Path) -> Iterator[Record]:
    content, at, gathered = path.read_bytes(), HEAD, b""
    assert content.startswith(b":W&B")
    while at + CHUNK_HEAD <= len(content):
        left = BLOCK - at % BLOCK
        if left < CHUNK_HEAD:
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + CHUNK_HEAD])
        gathered += content[at + CHUNK_HEAD : at + CHUNK_HEAD + length]
        at += CHUNK_HEAD + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(gathered)
            yield record
            gathered = b""


def values(items: object) -> dict[str, object]:
    return {one.key or ".".join(one.nested_key): json.loads(one.value_json) for one in items}


def test_a_run_and_its_trials_are_written_once(
    sweep_store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    assert send(sweep_store, tmp_path) == [True] * 3
    assert send(Run(sweep_store.folder), tmp_path) == [False] * 3
    first, entry, _ = list(story(sweep_store))[:3]
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 3
    (path,) = (tmp_path / "wandb").glob(f"offline-run-*-{entry.identifier}/*.wandb")
    found = list(records(path))
    (run,) = (one.run for one in found if one.WhichOneof("record_type") == "run")
    assert (run.run_id, run.run_group, run.job_type) == (entry.identifier, "tiny", "trial")
    config = values(run.config.update)
    assert config["optimizer.learning_rate"] == entry.parameters["optimizer.learning_rate"]
    history = [values(one.history.item) for one in found if one.WhichOneof("record_type") == "history"]
    curve = {row["epoch"]: row["validation nll"] for row in history}
    assert curve == pytest.approx({row.epoch: row.validation_nll for row in entry.curve})
    summary = {
        name: value
        for one in found
        if one.WhichOneof("record_type") == "summary"
        for name, value in values(one.summary.update).items()
    }
    assert summary["validation accuracy"] == entry.figures["validation accuracy"]
    assert {one.artifact.name for one in found if one.WhichOneof("record_type") == "artifact"} == {
        f"tiny-{entry.key.partition('/')[2]}-weights.safetensors"
    }
    assert not any(one.WhichOneof("record_type") == "files" for one in found)  # nothing about this machine's packages
    assert first.identifier in (tmp_path / "wandb/digits-sent.json").read_text()
