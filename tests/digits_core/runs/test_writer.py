"""Writing a run's folder: what is there is whole, and every opening is counted."""

import dataclasses
import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_core.data.digits import Digits, Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.ensembling import build_ensemble
from digits_core.records import Bundle
from digits_core.runs.durable import write_atomically
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.ledger import UNRECORDED
from digits_core.runs.run import Run
from digits_core.runs.trial_folder import best_files, bundle_file
from digits_core.runs.writer import RunWriter, check_new
from tests.helpers.runs import HOSTILE, make_header, reread


def test_completing_a_trial_leaves_only_what_the_record_stands_for(sweep_store: Run) -> None:
    folder = RunWriter(sweep_store.folder).trial(9)
    record = replace(reread(sweep_store).records[0], trial=9)
    best = best_files(np.full((2, 10), 0.1, dtype=np.float32), {"w": np.zeros(1)})
    state = bundle_file(Bundle(arrays={"a": np.zeros(2)}, facts={"epoch": 1}))
    folder.write_state(state)
    for leftover in ("progress.json", ".validation.npy.torn", "test.npy"):  # an older version's, torn, an earlier try's
        (folder.folder / leftover).write_bytes(b"")
    assert 9 not in [r.trial for r in reread(sweep_store).records]
    folder.complete(record, best)
    assert reread(sweep_store).records[-1] == record
    assert {path.name for path in folder.folder.iterdir()} == {"record.json", *best}
    folder.write_state(state)
    continued = record.recipe.with_overrides({"training.epochs": 9})
    folder.complete(replace(record, last_epoch=1, recipe=continued), best)
    assert folder.read_state() is not None  # others continue from it


def test_weights_round_trip_bit_for_bit(sweep_store: Run) -> None:
    weights = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.array(3, dtype=np.int64)}
    folder = RunWriter(sweep_store.folder).trial(9)
    record = replace(reread(sweep_store).records[0], trial=9)
    folder.complete(record, best_files(np.full((2, 10), 0.1, dtype=np.float32), weights))
    loaded = folder.weights(reread(sweep_store).record(9))
    assert {key: value.tolist() for key, value in loaded.items()} == {k: v.tolist() for k, v in weights.items()}


def test_test_predictions_that_no_ledger_line_names_are_an_opening(sweep_store: Run) -> None:
    RunWriter(sweep_store.folder).append_to_ledger("x", (1,))
    for trial in (1, 2, 4):
        (sweep_store.trial(trial).folder / "test.npy").write_bytes(b"")
    expected = [("x", (1,)), (UNRECORDED, (2, 4))]
    assert [(opening.purpose, opening.trials) for opening in reread(sweep_store).ledger] == expected
    RunWriter(sweep_store.folder).append_to_ledger("y", (2,))  # writes the line that was lost
    lines = (sweep_store.folder / "ledger.jsonl").read_text().splitlines()
    assert [(json.loads(line)["number"], json.loads(line)["trials"]) for line in lines] == [
        (1, [1]), (2, [2, 4]), (3, [2]),
    ]  # fmt: skip
    assert len(reread(sweep_store).ledger) == 3


def test_a_torn_last_ledger_line_is_not_an_opening(sweep_store: Run) -> None:
    RunWriter(sweep_store.folder).append_to_ledger("first", (1,))
    ledger = sweep_store.folder / "ledger.jsonl"
    ledger.write_text(ledger.read_text() + '{"number": 2, "at"')  # what a full disk leaves behind
    assert [opening.purpose for opening in reread(sweep_store).ledger] == ["first"]
    RunWriter(sweep_store.folder).append_to_ledger("second", (1,))
    assert [(opening.number, opening.purpose) for opening in reread(sweep_store).ledger] == [
        (1, "first"),
        (2, "second"),
    ]


def test_a_confirmation_is_counted_in_its_sweeps_ledger(sweep_store: Run, split: Split) -> None:
    header = dataclasses.replace(reread(sweep_store).header, name="confirmed", kind="confirmation")
    confirmed = RunWriter.create(sweep_store.folder, header, split)
    assert reread(sweep_store).confirmation() is not None
    assert reread(sweep_store).confirmation(5) is None
    RunWriter(sweep_store.folder).append_to_ledger("winner", (0,))
    RunWriter(confirmed.folder).append_to_ledger("confirmation", (0, 1))
    openings = [(opening.number, opening.run, opening.trials) for opening in reread(sweep_store).ledger]
    assert openings == [(1, "", (0,)), (2, "confirmed", (0, 1))]
    assert reread(confirmed).ledger == reread(sweep_store).ledger
    assert not (confirmed.folder / "ledger.jsonl").exists()
    (confirmed.folder / "trials" / "00002").mkdir()
    (confirmed.folder / "trials" / "00002" / "test.npy").write_bytes(b"")
    assert [(opening.run, opening.trials) for opening in reread(sweep_store).ledger][2:] == [("confirmed", (2,))]


def test_an_ensemble_is_replaced_whole_or_not_at_all(sweep_store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    record = build_ensemble(reread(sweep_store), EnsembleConfig(top=2))
    assert reread(sweep_store).ensemble is not None
    replace_file, done = os.replace, []

    def fill_up_after_one(source: str, target: Path) -> None:
        if done:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(target.name)
        replace_file(source, target)

    before = reread(sweep_store).ensemble_validation_probabilities, reread(sweep_store).ensemble_test_probabilities
    other = np.full((360, 10), 0.1), np.full((359, 10), 0.1)
    with monkeypatch.context() as patch:
        patch.setattr("digits_core.runs.durable.os.replace", fill_up_after_one)
        with pytest.raises(OSError, match=r"No space left on device: .*ensemble_test-[0-9a-f]{12}\.npy"):
            RunWriter(sweep_store.folder).write_ensemble(record, *other)
    assert len(done) == 1
    assert reread(sweep_store).ensemble == record
    assert np.array_equal(reread(sweep_store).ensemble_validation_probabilities, before[0])
    assert np.array_equal(reread(sweep_store).ensemble_test_probabilities, before[1])
    RunWriter(sweep_store.folder).write_ensemble(record, *other)
    assert reread(sweep_store).ensemble_test_probabilities.max() < 0.2
    assert len(list(sweep_store.folder.glob("ensemble*"))) == 3


def test_a_name_cannot_be_used_twice(tmp_path: Path, digits: Digits, tiny_split: Split) -> None:
    header = make_header(digits, tiny_split)
    RunWriter.create(tmp_path, header, tiny_split)
    with pytest.raises(UsageError, match="already a run 'tiny'"):
        RunWriter.create(tmp_path, header, tiny_split)


def test_an_unwritable_runs_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EnvironmentFailure, match="choose another --runs"):
        check_new(tmp_path / "file", "x")


def test_ledger_keeps_every_opening(sweep_store: Run) -> None:
    assert reread(sweep_store).ledger == ()
    for count in (1, 2):
        RunWriter(sweep_store.folder).append_to_ledger(HOSTILE, (count, 2))
    openings = reread(sweep_store).ledger
    assert [(opening.number, opening.purpose, opening.trials) for opening in openings] == [
        (1, HOSTILE, (1, 2)),
        (2, HOSTILE, (2, 2)),
    ]
    assert openings[0].at <= openings[1].at


def test_readers_see_the_old_file_or_all_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "value"
    contents = [bytes([i]) * 200_000 for i in range(2)]
    write_atomically(path, contents[0])
    stop = threading.Event()

    def write() -> None:
        for i in range(200):
            write_atomically(path, contents[i % 2], durable=False)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not stop.is_set():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= set(contents)
    assert [p.name for p in tmp_path.iterdir()] == ["value"]


def test_checking_a_name_creates_no_folder(tmp_path: Path) -> None:
    check_new(tmp_path / "not" / "there" / "yet", "x")
    assert list(tmp_path.iterdir()) == []
