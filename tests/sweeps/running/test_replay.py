import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from digits_core.data.digits import Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.plans.config import TrainingConfig
from sweeps.running.replay import choose_trial, replay
from sweeps.running.training_run import plan_training, run_training
from tests.helpers.runs import spoil, train_into

pytestmark = pytest.mark.usefixtures("threads_kept")


@pytest.fixture
def run(tmp_path: object) -> Run:
    settings = TrainingConfig(
        runs=tmp_path,  # type: ignore[arg-type]
        name="run",
        recipe_name="kfold-cnn",
        dataset="sklearn-digits",
        device="cpu",
        folds=0,
        overrides={"training.epochs": 2},
    )
    return run_training(plan_training(settings), lambda row: None)


def test_the_same_recipe_gives_the_same_bits_whatever_the_threads_are_now(run: Run) -> None:
    torch.set_num_threads(torch.get_num_threads() + 1)
    outcome = replay(*choose_trial(run, None), lambda row: None)
    assert (outcome.n, outcome.differing_count, outcome.largest_difference) == (360, 0, 0.0)
    assert outcome.same_bits
    assert outcome.changes == ()


def test_differences_are_counted(run: Run) -> None:
    path = run.trial(0).folder / "validation.npy"
    changed = np.load(path, allow_pickle=False)
    changed[:3] = np.roll(changed[:3], 1, axis=1)
    np.save(path, changed, allow_pickle=False)
    spoil(run.trial(0).folder / "record.json", files={})
    outcome = replay(*choose_trial(run, 0), lambda row: None)
    assert outcome.differing_count == 3
    assert 0 < outcome.largest_difference <= 1


def test_what_has_changed_is_named(run: Run) -> None:
    path = run.folder / "sweep.json"
    header = json.loads(path.read_text())
    header["versions"]["torch"] = "1.0"
    header["hardware"] = "an abacus"
    path.write_text(json.dumps(header))
    changes = replay(*choose_trial(run, 0), lambda row: None).changes
    assert len(changes) == 2
    assert changes[0].startswith("hardware an abacus -> ")
    assert changes[1].startswith("torch 1.0 -> ")


def test_a_stopped_trial_is_trained_for_as_long_as_it_was(sweep_store: Run) -> None:
    with pytest.raises(UsageError, match="no trial 4 with predictions; it has 0, 1, 2, 3"):  # 4 failed
        choose_trial(sweep_store, 4)
    home, record = choose_trial(sweep_store, 3)
    assert (home, record.trial, len(record.curve)) == (sweep_store, 3, 1)


def test_of_a_confirmed_sweep_the_leader_s_first_fresh_run_is_trained_again(sweep_store: Run, split: Split) -> None:
    header = replace(sweep_store.header, name="confirmed", kind="confirmation")
    confirmed = RunWriter.create(sweep_store.folder, header, split)
    second = sweep_store.ranked[1]
    train_into(confirmed, split, 0, second.recipe.with_overrides({"training.seed": 50}), 1, f"trial {second.trial}")
    home, record = choose_trial(Run(sweep_store.folder), None)
    assert (home.folder, record) == (confirmed.folder, confirmed.run.records[0])
    assert replay(home, record, lambda row: None).same_bits
    home, record = choose_trial(Run(sweep_store.folder), second.trial)
    assert (home.folder, record) == (sweep_store.folder, second)


def test_another_split_is_refused(run: Run) -> None:
    path = run.folder / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split_id": "other"}))
    with pytest.raises(EnvironmentFailure, match="are not those that 'run' was trained on"):
        replay(*choose_trial(run, None), lambda row: None)
