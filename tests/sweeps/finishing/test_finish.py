"""What happens once the trials of a run have ended. Training runs: tests/sweeps/running/test_training_run.py."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from digits_core.data.digits import Digits, Split
from digits_core.errors import UsageError
from digits_core.judging.candidates import leader
from digits_core.metrics import score
from digits_core.recipe import Recipe
from digits_core.records import RunKind, RunSummary
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.finishing.finish import finish
from tests.helpers.runs import make_header, opened_for, train_into
from tests.helpers.sweeps import Killed


def ended(run: Run, **changes: Any) -> Run:
    """The run after its search has ended."""
    summary = RunSummary(seconds=1.0, training_share=0.5, interrupted=False)
    RunWriter(run.folder).write_summary(replace(summary, **changes))
    return Run(run.folder)


def best_parameters(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "best_parameters.json").read_text())
    return document


def confirmed(sweep: Run, split: Split, **changes: object) -> Run:
    """A confirmation of the sweep's second recipe alone, which leads it from then on; its search has ended."""
    header = replace(sweep.header, name="confirmed", kind=RunKind.CONFIRMATION, trial_count=1, **changes)  # type: ignore[arg-type]
    second = sweep.ranked[1]
    writer = RunWriter.create(sweep.folder, header, split)
    train_into(writer, split, 0, second.recipe.with_overrides({"training.seed": 50}), 1, f"trial {second.trial}")
    return ended(writer.run)


def test_the_leader_is_chosen_on_validation_and_tested_once(sweep_store: Run) -> None:
    best = sweep_store.ranked[0]
    run = finish(ended(sweep_store))
    leads = leader(run)
    assert leads is not None
    assert leads.trial == best.trial
    assert leads.test is not None
    assert leads.test.scores == (score(run.test_labels, run.test_probabilities(best.trial)),)
    assert leads.test.n == 359
    assert [(one.purpose, one.trials, one.run) for one in run.ledger] == [("leader of the sweep", (best.trial,), "")]
    assert [run.has_opened_test(record.trial) for record in run.ranked[1:]] == [False] * 3
    assert best_parameters(run.folder)["name"] == f"tiny, trial {best.trial}"
    assert Recipe.from_dict(best_parameters(run.folder)["recipe"]) == best.recipe
    assert run.trial(best.trial).read_inside() is not None

    assert finish(run).ledger == run.ledger


def test_what_was_opened_for_it_before_is_not_opened_again(sweep_store: Run) -> None:
    run = opened_for(ended(sweep_store), purpose="an ensemble")
    assert [one.purpose for one in finish(run).ledger] == ["an ensemble"]


def test_it_does_not_matter_what_was_known_of_the_run_before(sweep_store: Run) -> None:
    assert sweep_store.summary is None
    ended(sweep_store)
    assert sweep_store.summary is None  # a run is as it was when it was first asked
    assert len(finish(sweep_store).ledger) == 1


@pytest.mark.parametrize("summary", [None, {"interrupted": True}, {"interrupted": True, "error": "the disk is full"}])
def test_a_run_that_can_be_resumed_stays_sealed_but_its_leader_s_recipe_is_kept(
    sweep_store: Run, summary: dict[str, Any] | None
) -> None:
    if summary is not None:
        ended(sweep_store, **summary)
    run = finish(sweep_store)
    best = run.ranked[0]
    assert run.ledger == ()
    assert not any(run.has_opened_test(record.trial) for record in run.records)
    assert best_parameters(run.folder)["name"] == f"tiny, trial {best.trial}"
    assert run.trial(best.trial).read_inside() is None


@pytest.mark.parametrize(("limit", "openings"), [("", 0), ("the time budget is used up", 1)])
def test_fewer_trials_than_planned_are_enough_if_a_limit_ended_them(
    sweep_store: Run, limit: str, openings: int
) -> None:
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, trial_count=99_999))
    assert len(finish(ended(sweep_store, limit=limit)).ledger) == openings


def test_after_an_error_the_result_does_not_depend_on_a_file_more(
    sweep_store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunWriter, "write_best_parameters", full)
    run = finish(ended(sweep_store, interrupted=True, error="the disk is full"))
    assert not (run.folder / "best_parameters.json").exists()
    with pytest.raises(OSError, match="No space left"):
        finish(ended(sweep_store))


def test_an_empty_sweep_has_no_leader(sweep_store: Run, digits: Digits, split: Split) -> None:
    writer = RunWriter.create(sweep_store.folder.parent, make_header(digits, split, "empty"), split)
    run = finish(ended(writer.run, limit="the time budget is used up"))
    assert leader(run) is None
    assert run.ledger == ()
    assert not (run.folder / "best_parameters.json").exists()


@pytest.fixture
def comparison(tmp_path: Path, digits: Digits, split: Split) -> Run:
    """Two recipes on two seeds each, of which the second leads."""
    header = replace(make_header(digits, split, "versus"), kind=RunKind.COMPARISON, trial_count=4)
    writer = RunWriter.create(tmp_path / "runs", header, split)
    recipe = Recipe().with_overrides({"model.name": "mlp", "training.epochs": 2})
    for trial in range(4):
        label, epochs = ("short", 1) if trial % 2 == 0 else ("long", 2)
        train_into(writer, split, trial, recipe.with_overrides({"training.seed": trial // 2}), epochs, label)
    return ended(writer.run)


def test_of_a_comparison_all_runs_are_tested_at_once(comparison: Run) -> None:
    run = finish(comparison)
    assert [(one.purpose, one.trials) for one in run.ledger] == [("comparison of 4 runs", (0, 1, 2, 3))]
    leads = leader(run)
    assert leads is not None
    assert (leads.name, [record.trial for record in leads.runs]) == ("long", [1, 3])
    assert leads.test is not None
    assert len(leads.test.scores) == 2
    assert best_parameters(run.folder)["name"] == "versus, trial 1"
    assert run.trial(1).read_inside() is not None
    assert finish(run).ledger == run.ledger


def test_of_a_comparison_only_what_is_sealed_is_opened(comparison: Run) -> None:
    run = finish(opened_for(comparison, [comparison.record(3), comparison.record(0)], "a first look"))
    assert [(one.purpose, one.trials) for one in run.ledger] == [
        ("a first look", (3, 0)), ("comparison of 4 runs", (1, 2)),
    ]  # fmt: skip


def test_a_comparison_that_was_interrupted_stays_sealed(comparison: Run) -> None:
    run = finish(ended(comparison, interrupted=True))
    assert run.ledger == ()
    assert best_parameters(run.folder)["name"] == "versus, trial 1"


def test_a_confirmation_tests_its_runs_and_its_sweep_s_best_parameters_are_those_that_lead_then(
    sweep_store: Run, split: Split
) -> None:
    first, second, *_ = sweep_store.ranked
    finish(ended(sweep_store))
    assert best_parameters(sweep_store.folder)["name"] == f"tiny, trial {first.trial}"
    run = finish(confirmed(Run(sweep_store.folder), split))
    assert [(one.purpose, one.trials, one.run) for one in run.ledger] == [
        ("leader of the sweep", (first.trial,), ""), ("confirmation of 1 recipe", (0,), "confirmed"),
    ]  # fmt: skip
    assert run.has_opened_test(0)
    assert best_parameters(sweep_store.folder)["name"] == f"tiny, trial {second.trial}"
    assert Recipe.from_dict(best_parameters(sweep_store.folder)["recipe"]) == second.recipe
    assert not (run.folder / "best_parameters.json").exists()
    assert run.trial(0).read_inside() is not None
    assert finish(run).ledger == run.ledger


def test_a_sweep_that_is_led_by_a_confirmed_recipe_opens_nothing_of_its_own(sweep_store: Run, split: Split) -> None:
    confirmed(sweep_store, split)
    run = finish(ended(sweep_store))
    assert run.ledger == ()
    assert best_parameters(run.folder)["name"] == f"tiny, trial {sweep_store.ranked[1].trial}"


def test_final_models_are_tested_and_the_sweep_s_leader_stays(sweep_store: Run, split: Split) -> None:
    first = sweep_store.ranked[0]
    header = replace(sweep_store.header, name="refitted", kind=RunKind.REFIT, trial_count=1)
    writer = RunWriter.create(sweep_store.folder, header, split)
    train_into(writer, split, 0, first.recipe, 1, f"trial {first.trial}")
    run = finish(ended(writer.run))
    assert [(one.purpose, one.trials, one.run) for one in run.ledger] == [
        ("final models of 1 recipe", (0,), "refitted")
    ]
    assert best_parameters(sweep_store.folder)["name"] == f"tiny, trial {first.trial}"
    assert not (run.folder / "best_parameters.json").exists()


def test_a_cross_validation_has_nothing_to_open(sweep_store: Run) -> None:
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, fold_count=4))
    run = finish(ended(sweep_store))
    assert run.ledger == ()
    assert (run.folder / "best_parameters.json").is_file()


def test_a_run_that_another_process_drives_is_left_alone(sweep_store: Run) -> None:
    run = ended(sweep_store)
    with sole_driver(run.folder), pytest.raises(UsageError, match=r"'tiny' is running: process \d+ on"):
        finish(run)
    assert Run(run.folder).ledger == ()
    assert not (run.folder / "best_parameters.json").exists()


@pytest.mark.parametrize(
    ("moment", "openings"),
    [
        ("sweeps.finishing.finish.open_test", 1),
        ("digits_core.runs.writer.RunWriter.write_test", 2),  # every opening is in the ledger, whatever came of it
        ("sweeps.finishing.finish.keep_best_parameters", 1),
        ("sweeps.finishing.finish.keep_inside", 1),
    ],
)
def test_whoever_is_killed_in_the_middle_of_it_makes_up_for_the_rest(
    sweep_store: Run, monkeypatch: pytest.MonkeyPatch, moment: str, openings: int
) -> None:
    def kill(*arguments: object, **named: object) -> None:
        raise Killed

    run = ended(sweep_store)
    with monkeypatch.context() as patch:
        patch.setattr(moment, kill)
        with pytest.raises(Killed):
            finish(run)
    run = finish(run)
    best = run.ranked[0].trial
    assert run.has_opened_test(best)
    assert len(run.ledger) == openings
    assert (run.folder / "best_parameters.json").is_file()
    assert run.trial(best).read_inside() is not None
