"""Trials that are trained as one network: each stays a trial of its own, whatever happens to the others."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from digits_core.errors import UsageError
from digits_core.recipe import Scalar
from digits_core.records import RunRecord
from digits_core.runs.journal import read_journal
from digits_core.runs.run import Run
from sweeps.plans.comparing import plan_comparison
from sweeps.plans.config import ComparisonConfig, ResumeConfig
from sweeps.plans.planning import RunPlan, plan_resumption
from sweeps.running.replay import choose_trial, replay
from sweeps.running.runner import run_trials
from tests.helpers.executors import InThisProcess, loses, run_here
from tests.helpers.sweeps import Interrupter, Killed, Recorder, outcomes


def plan(runs: Path, seeds: int = 4, **overrides: Scalar) -> RunPlan:
    settings: dict[str, Scalar] = {name.replace("__", "."): value for name, value in overrides.items()}
    return plan_comparison(
        ComparisonConfig(
            runs=runs,
            name="test",
            recipe_names=("lenet-bn-dropout",),
            dataset="sklearn-digits",
            seeds=seeds,
            concurrency=2,
            overrides={"training.epochs": 3, **settings},
        )
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_here(plan(tmp_path_factory.mktemp("companies")))


def test_each_is_a_trial_of_its_own(undisturbed: Run) -> None:
    records, history = undisturbed.records, read_journal(undisturbed.folder)
    assert [(record.trial, record.recipe.training.seed, record.company) for record in records] == [
        (0, 0, (0, 1)), (1, 1, (0, 1)), (2, 2, (2, 3)), (3, 3, (2, 3)),
    ]  # fmt: skip
    assert {record.execution for record in records} == {"eager, 2 networks as one"}
    assert {record.status for record in records} == {"finished"}
    assert len({record.nll for record in records}) == 4
    assert [sorted(trial.nlls) for trial in history.trials.values()] == [[1, 2, 3]] * 4
    assert 0 < undisturbed.summary.training_share <= 1  # type: ignore[union-attr]


@pytest.mark.usefixtures("every_state")
@pytest.mark.parametrize("how", [KeyboardInterrupt, Killed])
def test_an_interrupted_company_resumes_to_the_same_bits(
    undisturbed: Run, tmp_path: Path, how: type[BaseException]
) -> None:
    cut, cuts = plan(tmp_path), 0
    while True:
        with contextlib.suppress(Killed):
            run_here(cut, Interrupter(3 + 2 * cuts, how))
        run = Run(tmp_path / "test")
        if run.summary is not None and not run.summary.interrupted:
            break
        cut, cuts = plan_resumption(ResumeConfig(runs=tmp_path, name="test")), cuts + 1
    assert cuts > 1
    assert outcomes(run) == outcomes(undisturbed)
    assert [record.company for record in run.records] == [record.company for record in undisturbed.records]


class KilledAtTheFirstEnd(Recorder):
    """Dies as soon as a trial has its record."""

    def trial_over(self, record: RunRecord) -> None:
        raise Killed


def test_what_is_left_of_a_company_resumes_to_the_same_bits(tmp_path: Path) -> None:
    settings: dict[str, Scalar] = {
        "training__patience_epochs": 1, "training__epochs": 12, "training__keep": "last", "training__batch_size": 8,
        "optimizer__learning_rate": 0.2,
    }  # fmt: skip
    whole, cut = (plan(tmp_path / name, seeds=4, **settings) for name in ("whole", "cut"))
    expected = run_here(whole)
    assert len({len(record.curve) for record in expected.records}) > 1  # they left at different epochs
    with contextlib.suppress(Killed):
        run_here(cut, KilledAtTheFirstEnd())
    run = run_here(plan_resumption(ResumeConfig(runs=tmp_path / "cut", name="test")))
    assert outcomes(run) == outcomes(expected)
    assert [record.execution for record in run.records] == [record.execution for record in expected.records]
    assert {record.stack_size for record in run.records} == {2}


@pytest.mark.usefixtures("every_state")
def test_a_company_whose_process_dies_goes_on_in_another(undisturbed: Run, tmp_path: Path) -> None:
    view = Recorder()
    run = run_trials(plan(tmp_path), view, InThisProcess(loses((0, 2), (2, 1))))
    assert sorted(view.retried) == [0, 1, 2, 3]
    assert outcomes(run) == outcomes(undisturbed)


def test_all_trials_of_a_company_fail_if_its_process_dies_too_often(tmp_path: Path) -> None:
    asked = plan(tmp_path)
    asked = replace(asked, header=replace(asked.header, policy=replace(asked.header.policy, max_failures=0)))
    run = run_trials(asked, Recorder(), InThisProcess(loses((0, 2))))
    assert [record.status for record in run.records] == ["failed", "failed", "finished", "finished"]
    assert run.records[1].error == "OSError: the process was lost"


def test_one_that_diverges_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from digits_core.training.engine import Stack

    train_epoch = Stack._train_epoch

    def poisoned(stack: Stack, epoch: int) -> tuple[list[float], list[int]]:
        losses, error_counts = train_epoch(stack, epoch)
        seeds = [one.recipe.training.seed for one in stack.copies]
        losses = [torch.nan if (seed, epoch) == (1, 2) else loss for seed, loss in zip(seeds, losses, strict=True)]
        return losses, error_counts

    monkeypatch.setattr(Stack, "_train_epoch", poisoned)
    run = run_here(plan(tmp_path))
    assert [(record.status, len(record.curve)) for record in run.records] == [
        ("finished", 3), ("failed", 1), ("finished", 3), ("finished", 3),
    ]  # fmt: skip
    assert run.records[1].failure == "Diverged: the training loss is nan in epoch 2; a lower learning rate may help"
    assert read_journal(run.folder).trials[1].status == "failed"


@pytest.mark.usefixtures("threads_kept")
def test_a_trial_is_replayed_in_the_company_it_had(undisturbed: Run) -> None:
    assert replay(*choose_trial(undisturbed, 3), lambda row: None).same_bits


@pytest.mark.usefixtures("threads_kept")
def test_what_was_not_stacked_is_replayed_one_by_one(undisturbed: Run) -> None:
    """As records of earlier versions, whose folds were trained one after another."""
    run, record = choose_trial(undisturbed, 3)
    assert not replay(run, replace(record, company=(), stack_size=1), lambda row: None).same_bits


@pytest.mark.usefixtures("threads_kept")
def test_a_company_that_is_not_known_cannot_be_replayed(undisturbed: Run) -> None:
    run, record = choose_trial(undisturbed, 3)
    with pytest.raises(UsageError, match="trial 3 was trained with trial 7, which this run does not know"):
        replay(run, replace(record, company=(3, 7)), lambda row: None)


def test_recipes_that_cannot_be_stacked_say_so(tmp_path: Path) -> None:
    run = run_here(plan(tmp_path, training__gradient_clip=1.0, training__epochs=1))
    assert [record.company for record in run.records] == [(0,), (1,), (2,), (3,)]
    assert {record.execution for record in run.records} == {
        "eager, one by one: gradient_clip takes the norm of one network's gradient"
    }
