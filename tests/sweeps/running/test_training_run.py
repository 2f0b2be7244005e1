import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from digits_cli.printed.runs import run_lines
from digits_cli.printed.training import training_document, training_lines
from digits_core.data.digits import Digits
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.metrics import score
from digits_core.recipe import Scalar
from digits_core.records import EpochRow
from digits_core.runs.store import SweepStore
from reports.pages.report import render
from reports.rows.tables import collect
from sweeps.finishing.ensembling import build_ensemble
from sweeps.plans.config import EnsembleConfig, TrainingConfig
from sweeps.running.replay import replay
from sweeps.running.training_run import plan_training, run_training
from sweeps.view.run_state import RunState


def config(runs: Path, **overrides: Scalar) -> TrainingConfig:
    return TrainingConfig(
        runs=runs,
        name="run",
        recipe_name="kfold-cnn",
        dataset="sklearn-digits",
        device="cpu",
        folds=0,
        overrides={"training.epochs": 2, **{k.replace("__", "."): v for k, v in overrides.items()}},
    )


def test_a_training_run_is_a_sweep_of_one_with_the_test_set_opened_once(tmp_path: Path) -> None:
    rows: list[EpochRow] = []
    outcome = run_training(plan_training(config(tmp_path)), rows.append)
    store = SweepStore.open(tmp_path, "run")
    (record,) = store.records()
    assert (record.label, record.status, record.recipe.training.epochs) == ("kfold-cnn", "finished", 2)
    assert [row.epoch for row in rows] == [row.epoch for row in record.curve] == [1, 2]
    assert record.best_epoch == 2  # the recipe says that the last epoch counts
    assert record.validation == score(store.validation_labels(), store.validation_probabilities(0))
    assert outcome.test == score(store.test_labels(), store.opened_test_probabilities(0))
    (opening,) = store.ledger()
    assert (opening.purpose, opening.trials) == ("end of training kfold-cnn", (0,))
    summary = store.summary()
    assert summary is not None
    assert not summary.interrupted
    assert 0 < summary.training_share <= 1


def test_ctrl_c_keeps_the_finished_epochs_and_the_test_set_sealed(tmp_path: Path) -> None:
    def interrupt(row: EpochRow) -> None:
        raise KeyboardInterrupt

    outcome = run_training(plan_training(config(tmp_path)), interrupt)
    store = SweepStore.open(tmp_path, "run")
    (record,) = store.records()
    assert (record.status, len(record.curve)) == ("stopped", 1)
    assert store.validation_probabilities(0).shape == (360, 10)
    assert outcome.test is None
    assert store.ledger() == []
    summary = store.summary()
    assert summary is not None
    assert summary.interrupted


def test_ctrl_c_before_the_first_epoch_leaves_a_complete_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = SweepStore.create

    def pressed(*arguments: Any) -> SweepStore:
        store = create(*arguments)
        signal.raise_signal(signal.SIGINT)
        return store

    monkeypatch.setattr(SweepStore, "create", pressed)
    outcome = run_training(plan_training(config(tmp_path)), lambda row: None)
    (record,) = outcome.store.records()
    assert (record.status, record.curve, outcome.test) == ("stopped", (), None)
    summary = outcome.store.summary()
    assert summary is not None
    assert summary.interrupted


def test_divergence_is_a_failed_record_and_one_line(tmp_path: Path) -> None:
    overrides = config(tmp_path, optimizer__name="sgd", optimizer__learning_rate=100.0)
    with pytest.raises(EnvironmentFailure, match=r"the training loss is .* in epoch 1; .*; the record is in "):
        run_training(plan_training(overrides), lambda row: None)
    (record,) = SweepStore.open(tmp_path, "run").records()
    assert record.status == "failed"
    assert record.error is not None
    assert "Diverged" in record.error
    state = RunState.of(SweepStore.open(tmp_path, "run"))
    lines = dict(run_lines(state))
    assert state.state == "over"  # nothing is left to resume
    assert re.match(r"Diverged: the training loss is \w+ in epoch 1; ", lines["failed"])


def test_a_network_that_cannot_be_built_leaves_a_complete_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    plan = plan_training(config(tmp_path))
    monkeypatch.setattr("digits_core.training.engine.fit_preprocessing", full)
    with pytest.raises(EnvironmentFailure, match="the GPU's memory is too small for this network of "):
        run_training(plan, lambda row: None)
    state = RunState.of(SweepStore.open(tmp_path, "run"))
    assert state.state == "over"
    assert dict(run_lines(state))["failed"].startswith("EnvironmentFailure: the GPU's memory is too small for this")


def test_nothing_is_written_for_a_recipe_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="larger than the 1078 training images"):
        plan_training(config(tmp_path, training__batch_size=5_000))
    assert not list(tmp_path.iterdir())


def test_another_seed_and_the_same_seed(tmp_path: Path) -> None:
    def answers(name: str, seed: int) -> np.ndarray:
        settings = TrainingConfig(
            runs=tmp_path,
            name=name,
            recipe_name="kfold-cnn",
            dataset="sklearn-digits",
            overrides={"training.epochs": 1, "training.seed": seed},
            device="cpu",
            folds=0,
        )
        return run_training(plan_training(settings), lambda row: None).store.validation_probabilities(0)

    first, again, other = answers("a", 0), answers("b", 0), answers("c", 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_folds_are_as_published_by_default_and_the_test_set_stays_sealed(tmp_path: Path, digits: Digits) -> None:
    plan = plan_training(replace(config(tmp_path), folds=None))
    assert plan.line == "training kfold-cnn on sklearn-digits (4 folds of 1,438 images) on cpu, at most 2 epochs"
    outcome = run_training(plan, lambda row: None)
    store, record = outcome.store, outcome.record
    assert outcome.test is None
    assert store.ledger() == []
    assert store.header.fold_count == 4
    assert record.validation == score(store.validation_labels(), store.validation_probabilities(0))
    assert sum(fold.error_count for fold in record.fold_scores) == record.validation.error_count
    assert store.records() == [record]  # fold scores survive a round trip to disk
    with pytest.raises(UsageError, match="'run' is a cross-validation: it has one network per fold"):
        build_ensemble(store, EnsembleConfig(top=1))
    assert store.ledger() == []
    lines = dict(training_lines(outcome, None))
    assert lines["out of fold"].endswith("(epoch 2)")
    assert lines["by fold"].endswith("(n = 4)")
    assert len(training_document(outcome, None)["folds"]) == 4
    assert replay(store, record, lambda row: None).same_bits
    page = render(collect(store))
    assert "4 folds over 1,438 images" in page
    assert "No sealed test set: the figure covers all folds." in page


@pytest.mark.parametrize("folds", [-1, 1])
def test_nonsensical_numbers_of_folds_are_refused(tmp_path: Path, folds: int) -> None:
    with pytest.raises(UsageError, match="--folds must be at least 2, or 0 for a single split"):
        replace(config(tmp_path), folds=folds)
