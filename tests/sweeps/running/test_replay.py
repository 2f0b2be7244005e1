import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.runs.store import SweepStore
from sweeps.plans.config import TrainingConfig
from sweeps.running.replay import choose_trial, replay
from sweeps.running.training_run import plan_training, run_training
from tests.helpers.runs import spoil


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def store(tmp_path: object) -> SweepStore:
    settings = TrainingConfig(
        runs=tmp_path,  # type: ignore[arg-type]
        name="run",
        recipe_name="kfold-cnn",
        dataset="sklearn-digits",
        device="cpu",
        folds=0,
        overrides={"training.epochs": 2},
    )
    return run_training(plan_training(settings), lambda row: None).store


def test_the_same_recipe_gives_the_same_bits_whatever_the_threads_are_now(store: SweepStore) -> None:
    torch.set_num_threads(torch.get_num_threads() + 1)
    outcome = replay(store, choose_trial(store, None), lambda row: None)
    assert (outcome.n, outcome.differing_count, outcome.largest_difference) == (360, 0, 0.0)
    assert outcome.same_bits
    assert outcome.changes == ()


def test_differences_are_counted(store: SweepStore) -> None:
    path = store.trial(0).folder / "validation.npy"
    changed = np.load(path, allow_pickle=False)
    changed[:3] = np.roll(changed[:3], 1, axis=1)
    np.save(path, changed, allow_pickle=False)
    spoil(store.trial(0).folder / "record.json", files={})
    outcome = replay(store, choose_trial(store, 0), lambda row: None)
    assert outcome.differing_count == 3
    assert 0 < outcome.largest_difference <= 1


def test_what_has_changed_is_named(store: SweepStore) -> None:
    path = store.folder / "sweep.json"
    header = json.loads(path.read_text())
    header["versions"]["torch"] = "1.0"
    header["hardware"] = "an abacus"
    path.write_text(json.dumps(header))
    changes = replay(store, choose_trial(store, 0), lambda row: None).changes
    assert len(changes) == 2
    assert changes[0].startswith("hardware an abacus -> ")
    assert changes[1].startswith("torch 1.0 -> ")


def test_a_stopped_trial_is_trained_for_as_long_as_it_was(sweep_store: SweepStore) -> None:
    with pytest.raises(UsageError, match="no trial 4 with predictions; it has 0, 1, 2, 3"):  # 4 failed
        choose_trial(sweep_store, 4)
    assert len(choose_trial(sweep_store, 3).curve) == 1


def test_another_split_is_refused(store: SweepStore) -> None:
    path = store.folder / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split_id": "other"}))
    with pytest.raises(EnvironmentFailure, match="are not those that 'run' was trained on"):
        replay(store, choose_trial(store, None), lambda row: None)
