import os
import re
import signal
from collections.abc import Callable, Mapping
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
from digits_core.inference.ensembling import build_ensemble
from digits_core.judging.candidates import leader
from digits_core.metrics import Score, score
from digits_core.recipe import Scalar
from digits_core.records import Bundle, EpochRow, RunRecord
from digits_core.runs.durable import Content
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.trial_folder import TrialWriter, bundle_file
from digits_core.runs.writer import RunWriter
from reports.pages.report import render
from reports.rows.tables import collect
from sweeps.finishing.finish import finish
from sweeps.plans.config import TrainingConfig
from sweeps.plans.recovery import known_history
from sweeps.running.replay import replay
from sweeps.running.training_run import TrainingPlan, plan_resumed_training, plan_training, run_training
from sweeps.view.run_state import RunState
from tests.helpers.sweeps import Killed


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


def trained(plan: TrainingPlan, on_epoch: Callable[[EpochRow], None] = lambda row: None) -> Run:
    """Train and finish the run, as `digits train` does."""
    return finish(run_training(plan, on_epoch))


def on_test(run: Run) -> Score | None:
    """The score on the sealed test set; None if it was not opened."""
    leads = leader(run)
    return leads.test.scores[0] if leads and leads.test else None


def test_a_training_run_is_a_sweep_of_one_with_the_test_set_opened_once(tmp_path: Path) -> None:
    rows: list[EpochRow] = []
    returned = trained(plan_training(config(tmp_path)), rows.append)
    run = Run.open(tmp_path, "run")
    (record,) = run.records
    assert (record.label, record.status, record.recipe.training.epochs) == ("kfold-cnn", "finished", 2)
    assert [row.epoch for row in rows] == [row.epoch for row in record.curve] == [1, 2]
    assert record.best_epoch == 2  # the recipe says that the last epoch counts
    assert record.validation == score(run.validation_labels, run.validation_probabilities(0))
    assert on_test(returned) == score(run.test_labels, run.test_probabilities(0))
    (opening,) = run.ledger
    assert (opening.purpose, opening.trials) == ("end of training kfold-cnn", (0,))
    summary = run.summary
    assert summary is not None
    assert not summary.interrupted
    assert 0 < summary.training_share <= 1


def test_ctrl_c_keeps_the_finished_epochs_and_the_test_set_sealed(tmp_path: Path) -> None:
    def interrupt(row: EpochRow) -> None:
        raise KeyboardInterrupt

    returned = trained(plan_training(config(tmp_path)), interrupt)
    run = Run.open(tmp_path, "run")
    (record,) = run.records
    assert (record.status, len(record.curve)) == ("stopped", 1)
    assert run.validation_probabilities(0).shape == (360, 10)
    assert on_test(returned) is None
    assert run.ledger == ()
    assert (run.folder / "best_parameters.json").is_file()
    summary = run.summary
    assert summary is not None
    assert summary.interrupted


def test_ctrl_c_before_the_first_epoch_leaves_a_complete_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = RunWriter.create

    def pressed(*arguments: Any) -> RunWriter:
        writer = create(*arguments)
        signal.raise_signal(signal.SIGINT)
        return writer

    monkeypatch.setattr(RunWriter, "create", pressed)
    run = trained(plan_training(config(tmp_path)))
    (record,) = run.records
    assert (record.status, record.curve, on_test(run)) == ("stopped", (), None)
    assert not run.has_opened_test(0)
    summary = run.summary
    assert summary is not None
    assert summary.interrupted


@pytest.mark.parametrize("folds", [0, 4])
def test_a_killed_training_run_continues_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int
) -> None:
    monkeypatch.setattr("sweeps.running.objective.SECONDS_BETWEEN_STATES", 0.0)
    settings = replace(config(tmp_path, training__epochs=4), folds=folds)
    whole = trained(plan_training(replace(settings, name="whole")))
    epochs: list[int] = []

    def kill_in_the_middle(row: EpochRow) -> None:
        epochs.append(row.epoch)
        if row.epoch == 2 and len(epochs) == 2:
            raise Killed

    with pytest.raises(Killed):
        run_training(plan_training(settings), kill_in_the_middle)
    state = RunState.of(Run.open(tmp_path, "run"))
    assert (state.state, len(state.run.records)) == ("interrupted", 0)
    resumed = trained(plan_resumed_training(tmp_path, "run"), kill_in_the_middle)
    assert epochs == [1, 2, 2, 3, 4]  # the restored epoch is told again, not trained again
    losses, expected = ([row.train_loss for row in run.record(0).curve] for run in (resumed, whole))
    assert losses == expected
    assert np.array_equal(resumed.validation_probabilities(0), whole.validation_probabilities(0))
    assert on_test(resumed) == on_test(whole)
    assert (on_test(whole) is None) == bool(folds)
    assert len(resumed.ledger) == (0 if folds else 1)
    with pytest.raises(UsageError, match="'run' has nothing left to resume; train again under another name"):
        plan_resumed_training(tmp_path, "run")


KILLED_AT = (
    "sweeps.running.training_run._train",  # once the folder is there
    "digits_core.runs.journal.Journal.over",  # after the record
    "sweeps.finishing.finish.open_test",
    "digits_core.runs.writer.RunWriter.write_test",
    "sweeps.finishing.finish.keep_best_parameters",
)


@pytest.mark.parametrize("moment", KILLED_AT)
def test_whatever_a_killed_training_run_still_lacked_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def kill(*arguments: object, **named: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(moment, kill)
        with pytest.raises(Killed):
            trained(plan_training(config(tmp_path)))
    run = trained(plan_resumed_training(tmp_path, "run"))
    (record,) = run.records
    assert (record.status, len(record.curve)) == ("finished", 2)
    assert on_test(run) == score(run.test_labels, run.test_probabilities(0))
    assert run.summary is not None
    assert (run.folder / "best_parameters.json").is_file()
    assert known_history(run).unfinished == []
    with pytest.raises(UsageError, match="nothing left to resume"):
        plan_resumed_training(tmp_path, "run")


def test_of_two_that_resume_a_training_run_one_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*arguments: object, **named: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("sweeps.running.training_run._train", kill)
        with pytest.raises(Killed):
            run_training(plan_training(config(tmp_path)), lambda row: None)
    first, second = plan_resumed_training(tmp_path, "run"), plan_resumed_training(tmp_path, "run")
    once = trained(first)
    again = trained(second, lambda row: pytest.fail("it was trained already"))
    assert (again.records, on_test(again)) == (once.records, on_test(once))
    assert on_test(again) is not None
    assert len(again.ledger) == 1


@pytest.mark.parametrize("facts", [[1], 5, {}, {"trial": 1}, {"trial": {"recipe": 3}}])
def test_a_state_that_does_not_fit_means_starting_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: Any
) -> None:
    def kill(row: EpochRow) -> None:
        raise Killed

    monkeypatch.setattr("sweeps.running.objective.SECONDS_BETWEEN_STATES", 0.0)
    with pytest.raises(Killed):
        run_training(plan_training(config(tmp_path)), kill)
    folder = RunWriter(tmp_path / "run").trial(0)
    state = folder.read_state()
    assert state is not None
    if facts == 5:
        (folder.folder / "state.safetensors").unlink()
        os.mkfifo(folder.folder / "state.safetensors")
    else:
        kept = {**state.facts, "curve": [{"x": 1}]} if facts == {} else facts
        folder.write_state(bundle_file(Bundle(arrays=state.arrays, facts=kept)))
    (record,) = run_training(plan_resumed_training(tmp_path, "run"), lambda row: None).records
    assert (record.status, len(record.curve)) == ("finished", 2)


def test_a_run_s_folder_that_is_moved_ends_the_training(tmp_path: Path) -> None:
    def move(row: EpochRow) -> None:
        (tmp_path / "run").rename(tmp_path / "elsewhere")

    with pytest.raises(EnvironmentFailure, match=r"run was moved or removed .*; put it back; then: digits resume run"):
        run_training(plan_training(config(tmp_path, training__epochs=1)), move)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_a_full_disk_leaves_a_run_that_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    plan = plan_training(config(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("digits_core.runs.writer.write_atomically", full)
        with pytest.raises(EnvironmentFailure, match=r"cannot write to .*: No space left on device; choose"):
            run_training(plan, lambda row: None)
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr("digits_core.runs.trial_folder.write_atomically", full)
        with pytest.raises(EnvironmentFailure, match=r"No space left on device; make room .*; then: digits resume run"):
            run_training(plan, lambda row: None)
    assert run_training(plan_resumed_training(tmp_path, "run"), lambda row: None).record(0).status == "finished"


def test_divergence_is_a_failed_record_and_one_line(tmp_path: Path) -> None:
    overrides = config(tmp_path, optimizer__name="sgd", optimizer__learning_rate=100.0)
    with pytest.raises(EnvironmentFailure, match=r"the training loss is .* in epoch 1; .*; the record is in "):
        run_training(plan_training(overrides), lambda row: None)
    (record,) = Run.open(tmp_path, "run").records
    assert record.status == "failed"
    assert record.error is not None
    assert "Diverged" in record.error
    state = RunState.of(Run.open(tmp_path, "run"))
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
    state = RunState.of(Run.open(tmp_path, "run"))
    assert state.state == "over"
    assert dict(run_lines(state))["failed"].startswith("OutOfMemory: the GPU's memory is too small for this")


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
        return run_training(plan_training(settings), lambda row: None).validation_probabilities(0)

    first, again, other = answers("a", 0), answers("b", 0), answers("c", 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_folds_are_as_published_by_default_and_the_test_set_stays_sealed(
    tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, written = TrialWriter.complete, list[RunRecord]()

    def told(self: TrialWriter, record: RunRecord, best: Mapping[str, Content]) -> None:
        written.append(record)
        complete(self, record, best)

    monkeypatch.setattr(TrialWriter, "complete", told)
    plan = plan_training(replace(config(tmp_path), folds=None))
    assert plan.line == "training kfold-cnn on sklearn-digits (4 folds of 1,438 images) on cpu, at most 2 epochs"
    run = trained(plan)
    (record,) = run.records
    assert on_test(run) is None
    assert run.ledger == ()
    assert run.header.fold_count == 4
    assert record.validation == score(run.validation_labels, run.validation_probabilities(0))
    assert sum(fold.error_count for fold in record.fold_scores) == record.validation.error_count
    assert [record] == written  # fold scores survive a round trip to disk
    with pytest.raises(UsageError, match="'run' is a cross-validation: it has one network per fold"):
        build_ensemble(run, EnsembleConfig(top=1))
    assert Run(run.folder).ledger == ()
    lines = dict(training_lines(run, None))
    assert lines["out of fold"].endswith("(epoch 2)")
    assert lines["by fold"].endswith("(n = 4)")
    assert len(training_document(run, None)["folds"]) == 4
    assert replay(run, record, lambda row: None).same_bits
    page = render(collect(run))
    assert "4 folds over 1,438 images" in page
    assert "There is no sealed test set: the figures cover all folds." in page


@pytest.mark.parametrize("folds", [-1, 1])
def test_nonsensical_numbers_of_folds_are_refused(tmp_path: Path, folds: int) -> None:
    with pytest.raises(UsageError, match="--folds must be at least 2, or 0 for a single split"):
        replace(config(tmp_path), folds=folds)
