from pathlib import Path

import numpy as np
import pytest
import torch

from digits_core.data.digits import Split
from digits_core.errors import UsageError
from digits_core.recipe import Recipe
from digits_core.records import Assignment
from digits_core.runs.trial_folder import TrialFolder
from digits_core.training.engine import DeviceSplit, Diverged, train
from sweeps.running.objective import TrialRun

CPU = torch.device("cpu")
RECIPE = Recipe().with_overrides({"training.epochs": 4, "model.width": 4, "model.hidden_units": 16})


def start(recipe: Recipe, split: Split, folder: Path) -> TrialRun:
    data, trial_folder = DeviceSplit.from_split(split, CPU), TrialFolder(folder / "00007")
    return TrialRun(Assignment(trial=7, recipe=recipe), data, CPU, trial_folder)


def _run_to_the_end(run: TrialRun) -> None:
    while not run.finished:
        run.advance()


def test_after_every_epoch_the_folder_holds_what_counts(tiny_split: Split, tmp_path: Path) -> None:
    run = start(RECIPE, tiny_split, tmp_path)
    for epoch in range(1, 5):
        row = run.advance()
        record = run.folder.read_progress()
        assert record is not None
        assert record.curve[-1] == row
        assert (row.epoch, record.status) == (epoch, "finished" if epoch == 4 else "stopped")
        assert record.validation is not None
        assert record.validation.nll == run.best_nll == min(r.validation_nll for r in record.curve)
    stored = np.load(run.folder.folder / "validation.npy")
    expected = train(RECIPE, tiny_split, CPU)
    assert np.array_equal(stored, expected.best.validation_probabilities)
    assert set(run.folder.weights()) == set(expected.best.weights)
    assert not (run.folder.folder / "record.json").exists()  # only the driver completes records


def test_an_exception_is_stored_with_its_traceback_and_raised(tiny_split: Split, tmp_path: Path) -> None:
    recipe = RECIPE.with_overrides({"optimizer.name": "sgd", "optimizer.learning_rate": 100.0, "training.epochs": 50})
    run = start(recipe, tiny_split, tmp_path)
    with pytest.raises(Diverged):
        _run_to_the_end(run)
    record = run.folder.read_progress()
    assert record is not None
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.startswith("Traceback")
    assert "Diverged: the training" in record.error or "Diverged: the validation" in record.error


def test_the_exception_of_a_recipe_that_cannot_start_is_stored_too(tiny_split: Split, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        start(RECIPE.with_overrides({"training.batch_size": 5000}), tiny_split, tmp_path)
    record = TrialFolder(tmp_path / "00007").read_progress()
    assert record is not None
    assert (record.status, record.validation, record.curve) == ("failed", None, ())
    assert record.error is not None
    assert "larger than the 200 training images" in record.error


def test_an_interrupted_trial_resumes_and_reaches_the_same_bits(
    tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.running.objective.SECONDS_BETWEEN_STATES", 0.0)
    cut = start(RECIPE, tiny_split, tmp_path)
    for _ in range(2):
        cut.advance()
    started_at = cut.started_at
    (tmp_path / "00007" / "validation.npy").write_bytes(b"of a later epoch, or torn")
    del cut

    again = start(RECIPE, tiny_split, tmp_path)
    assert (again.epoch, again.started_at) == (2, started_at)
    again.advance()
    again = start(RECIPE, tiny_split, tmp_path)
    assert again.epoch == 3
    _run_to_the_end(again)
    expected = train(RECIPE, tiny_split, CPU)
    assert np.array_equal(np.load(tmp_path / "00007" / "validation.npy"), expected.best.validation_probabilities)
    assert [row.train_loss for row in again.trainer.curve] == [row.train_loss for row in expected.curve]


def test_resuming_leaves_the_predictions_of_the_last_record_until_the_next(
    tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = start(RECIPE, tiny_split, tmp_path)
    monkeypatch.setattr("sweeps.running.objective.SECONDS_BETWEEN_STATES", 0.0)
    cut.advance()  # keeps its state; what follows is not in it
    monkeypatch.setattr("sweeps.running.objective.SECONDS_BETWEEN_STATES", 1e9)
    for _ in range(2):
        cut.advance()
    record, stored = cut.folder.read_progress(), np.load(tmp_path / "00007" / "validation.npy")
    assert record is not None
    assert record.best_epoch is not None
    assert record.best_epoch > 1

    again = start(RECIPE, tiny_split, tmp_path)  # and is killed here
    assert again.epoch == 1
    assert again.folder.read_progress() == record
    assert np.array_equal(np.load(tmp_path / "00007" / "validation.npy"), stored)
    again.advance()
    resumed = again.folder.read_progress()
    assert resumed is not None
    best = again.trainer.best
    assert best is not None
    assert best.epoch == resumed.best_epoch
    assert np.array_equal(np.load(tmp_path / "00007" / "validation.npy"), best.validation_probabilities)


def test_a_state_that_does_not_fit_is_not_used(
    tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.running.objective.SECONDS_BETWEEN_STATES", 0.0)
    start(RECIPE, tiny_split, tmp_path).advance()
    assert start(RECIPE.with_overrides({"model.width": 5}), tiny_split, tmp_path).epoch == 0
    path = tmp_path / "00007" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert start(RECIPE, tiny_split, tmp_path).epoch == 0


def test_the_state_is_not_written_after_every_short_epoch(tiny_split: Split, tmp_path: Path) -> None:
    run = start(RECIPE, tiny_split, tmp_path)
    run.advance()
    assert not (tmp_path / "00007" / "state.safetensors").exists()
    run.state_kept_at -= 1.0
    run.advance()
    assert (tmp_path / "00007" / "state.safetensors").exists()
