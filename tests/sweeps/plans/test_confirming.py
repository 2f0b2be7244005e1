import time
from dataclasses import replace
from pathlib import Path

import pytest

from digits_cli.printed.leaderboard import (
    ConfirmationOutcome,
    confirmation_document,
    confirmation_lines,
    refit_document,
    refit_lines,
    row_lines,
)
from digits_core.data.digits import Digits, Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.judging.candidates import candidates
from digits_core.judging.leaderboard import leaderboard
from digits_core.judging.leaderboard_document import leaderboard_document
from digits_core.recipes import named_recipe
from digits_core.records import Assignment
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.finishing.finish import finish
from sweeps.plans.config import ConfirmConfig
from sweeps.plans.confirming import FIRST_FRESH_SEED, Confirmation, best_recipes, fresh_seeds, plan_confirmation
from sweeps.plans.ending import Ending
from sweeps.space.assignments import Given
from sweeps.view.run_state import RunState, check_removable
from tests.helpers.executors import run_here
from tests.helpers.runs import make_header, train_into
from tests.helpers.sweeps import Recorder
from tests.sweeps.plans.test_timing import timed

TINY_EPOCHS = 3  # of a trial of the sweep


def config(run: Run, **changes: object) -> ConfirmConfig:
    base = {"runs": run.folder.parent, "sweep": run.folder.name, "top": 2, "seeds": 2, "concurrency": 2}
    return ConfirmConfig(**{**base, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top": 0}, "--top must be between 1 and"),
        ({"seeds": 0}, "--seeds must be between 1 and"),
        ({"epochs": 0}, "--epochs must be between 1 and"),
        ({"folds": 1}, "--folds must be at least 2, or 0"),
        ({"folds": 400}, "--folds 400 is too many"),
        ({"folds": 2, "refit": True}, "--refit trains final models, --folds cross-validates"),
        ({"sweep": "tinny"}, "did you mean 'tiny'"),
        ({"per_architecture": 0}, "--per-architecture must be between 1 and"),
        (
            {"time_budget_seconds": 5.0},
            "no time to confirm: a run takes about",
        ),
    ],
)
def test_bad_input(sweep_store: Run, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_confirmation(config(sweep_store, **changes))


def test_nothing_to_confirm(sweep_store: Run, digits: Digits, split: Split) -> None:
    RunWriter.create(sweep_store.folder.parent, make_header(digits, split, "empty"), split)
    with pytest.raises(UsageError, match="'empty' has no validated trial to confirm"):
        plan_confirmation(config(sweep_store, sweep="empty"))
    compared = replace(make_header(digits, split, "versus"), kind="comparison")
    RunWriter.create(sweep_store.folder.parent, compared, split)
    with pytest.raises(UsageError, match="'versus' is not a sweep; `digits compare`"):
        plan_confirmation(config(sweep_store, sweep="versus"))


def test_data_that_has_changed_is_refused(sweep_store: Run) -> None:
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, data_checksum="0" * 64))
    with pytest.raises(EnvironmentFailure, match="are not those that 'tiny' was trained on"):
        plan_confirmation(config(sweep_store))


def test_a_recipe_is_confirmed_once_and_one_with_inherited_weights_is_refused(sweep_store: Run) -> None:
    first, second, *_ = sweep_store.ranked
    twin = second.recipe.with_overrides({"training.seed": 99})
    RunWriter(sweep_store.folder).trial(second.trial).complete(
        replace(second, recipe=replace(first.recipe, training=twin.training)), {}
    )
    assert [record.trial for record in best_recipes(Run(sweep_store.folder), 4)].count(second.trial) <= 1
    RunWriter(sweep_store.folder).trial(first.trial).complete(replace(first, inherited_epochs=1, parent=3), {})
    with pytest.raises(UsageError, match=f"trial {first.trial} continued from another trial's weights"):
        best_recipes(Run(sweep_store.folder), 1)


def test_fresh_seeds_for_the_best_and_the_first_seed_of_all_first(sweep_store: Run) -> None:
    planned = plan_confirmation(config(sweep_store))
    assert isinstance(planned.plan.recipes, Given)
    labels = [f"trial {record.trial}" for record in sweep_store.ranked[:2]]
    found = [(one.trial, one.label, one.recipe.training.seed) for one in planned.plan.recipes.assignments]
    first = FIRST_FRESH_SEED
    assert found == [(0, labels[0], first), (1, labels[1], first), (2, labels[0], first + 1), (3, labels[1], first + 1)]
    assert planned.left == 4
    assert planned.folder == sweep_store.folder / "confirmed"
    assert not planned.folder.exists()
    assert planned.plan.line == (
        "confirming the best 2 recipes of tiny on 2 fresh seeds: 4 runs left, 2 at a time on cpu"
    )


def test_fewer_seeds_than_asked_for_are_told_in_the_plan(sweep_store: Run) -> None:
    for record in timed(sweep_store, [10.0, 10.0]):
        RunWriter(sweep_store.folder).trial(record.trial).complete(record, {})
    planned = plan_confirmation(config(Run(sweep_store.folder), seeds=50, time_budget_seconds=100.0))
    assert planned.plan.ending.deadline is not None
    assert "the best 2 recipes of tiny on 7 fresh seeds (no time for 50 seeds): 14 runs left" in planned.plan.line
    ten = plan_confirmation(config(Run(sweep_store.folder), seeds=10, time_budget_seconds=100.0))
    assert "on 7 fresh seeds (no time for 10 seeds)" in ten.plan.line
    as_fit = config(Run(sweep_store.folder), seeds=10, as_fit=True, time_budget_seconds=100.0)
    assert "on 7 fresh seeds: 14 runs left" in plan_confirmation(as_fit).plan.line


def test_recipes_are_trained_for_as_many_epochs_as_asked_for_also_when_runs_are_added(sweep_store: Run) -> None:
    first = sweep_store.ranked[0]
    planned = plan_confirmation(config(sweep_store, top=1, epochs=4))
    assert planned.plan.line == (
        f"confirming the best 1 recipe of tiny on 2 fresh seeds for 4 epochs instead of {TINY_EPOCHS}:"
        " 2 runs left, 2 at a time on cpu"
    )
    run = finish(run_here(planned.plan))
    assert [len(record.curve) for record in run.ranked] == [4, 4]
    sweep = Run(sweep_store.folder)
    assert named_recipe(str(sweep.folder / "best_parameters.json")).build().training.epochs == 4
    board = leaderboard(sweep, draws=50)
    leader = board.rows[0].candidate
    assert (leader.trial, leader.confirmed, leader.record.recipe.training.epochs) == (first.trial, True, TINY_EPOCHS)
    assert leader.recipe == first.recipe.with_overrides({"training.epochs": 4})
    row = leaderboard_document(sweep, board)["rows"][0]
    assert (row["recipe"]["training"]["epochs"], row["searched_epochs"]) == (4, TINY_EPOCHS)
    assert f" for 4 epochs ({TINY_EPOCHS} in the search); rank" in row_lines(row)[0][1]
    assert board.rows[1].candidate.searched_epochs is None
    lines = dict(confirmation_lines(ConfirmationOutcome(run=run), board, None))
    assert lines["unequal"].startswith("3 of 3 others, trained for another number of epochs than the leader: ")

    for more in (plan_confirmation(config(sweep, seeds=3)), plan_confirmation(config(sweep, seeds=3, epochs=4))):
        assert (more.left, {one.recipe.training.epochs for one in assignments(more)}) == (4, {4})
    for others in ({"folds": 2}, {"refit": True}):  # what was confirmed is what is judged and delivered
        (epochs,) = {
            one.recipe.training.epochs for one in assignments(plan_confirmation(config(sweep, top=1, **others)))
        }
        assert epochs == 4
    with pytest.raises(
        UsageError, match=r"has been confirmed with runs of 4 epochs, .*: leave out --epochs, or delete .*confirmed"
    ):
        plan_confirmation(config(sweep, epochs=5))


def test_folds_keep_the_epochs_that_they_began_with(sweep_store: Run) -> None:
    run_here(plan_confirmation(config(sweep_store, top=1, seeds=1, folds=2)).plan)
    run_here(plan_confirmation(config(Run(sweep_store.folder), top=1, epochs=4)).plan)
    sweep = Run(sweep_store.folder)
    more = plan_confirmation(config(sweep, top=2, folds=2))
    assert [one.recipe.training.epochs for one in assignments(more)] == [TINY_EPOCHS] * 4  # not 4 epochs for some
    all_longer = plan_confirmation(config(sweep, top=3, refit=True))
    assert [one.recipe.training.epochs for one in assignments(all_longer)] == [4] * 6  # also those not confirmed yet


def test_with_time_left_the_best_recipes_train_longer(sweep_store: Run) -> None:
    for record in timed(sweep_store, [10.0, 10.0]):
        RunWriter(sweep_store.folder).trial(record.trial).complete(record, {})
    slow, budget = Run(sweep_store.folder), {"as_fit": True, "epochs": 6, "time_budget_seconds": 65.0}
    planned = plan_confirmation(config(slow, **budget))
    # 42 s, beside 10 s to begin and 8 s for the end.
    assert [one.recipe.training.epochs for one in assignments(planned)] == [6] * 4
    assert " on 2 fresh seeds for 6 epochs instead of 3: 4 runs left" in planned.plan.line
    shorter = plan_confirmation(config(slow, **{**budget, "time_budget_seconds": 34.0}))
    (epochs,) = {one.recipe.training.epochs for one in assignments(shorter)}
    assert epochs == 4
    begun = replace(shorter.plan, ending=Ending(deadline=time.monotonic() - 1.0))
    run_here(begun)
    again = plan_confirmation(config(slow, **budget))
    assert [one.recipe.training.epochs for one in assignments(again)] == [4] * 4  # all runs train as long


def assignments(planned: Confirmation) -> tuple[Assignment, ...]:
    """What it trains."""
    assert isinstance(planned.plan.recipes, Given)
    return planned.plan.recipes.assignments


def test_runs_that_do_not_end_in_time_are_left_to_be_resumed(sweep_store: Run) -> None:
    planned = plan_confirmation(config(sweep_store, time_budget_seconds=600.0))
    over = replace(planned.plan, ending=Ending(deadline=time.monotonic() - 1.0))
    run = run_here(over)
    assert run.records == ()
    assert run.summary is not None
    assert (run.summary.limit, run.summary.interrupted) == ("the time budget is used up", False)
    ended = dict(confirmation_lines(ConfirmationOutcome(run=run), None, None))["ended"]
    assert "4 runs did not end in time; to go on: digits confirm --sweep tiny --top 2 --seeds 2 --runs" in ended
    in_folds = run_here(replace(plan_confirmation(config(sweep_store, folds=2)).plan, ending=over.ending))
    ended = dict(confirmation_lines(ConfirmationOutcome(run=in_folds), None, None))["ended"]
    assert "digits confirm --sweep tiny --top 2 --seeds 2 --folds 2 --runs" in ended
    again = plan_confirmation(config(sweep_store))
    assert again.left == 4
    assert len(run_here(again.plan).ranked) == 4


def test_a_cut_confirmation_compares_on_the_seeds_that_all_recipes_have(sweep_store: Run) -> None:
    planned = plan_confirmation(config(sweep_store, seeds=2))
    run = run_here(planned.plan)
    last = max(run.records, key=lambda record: record.trial)  # of the second recipe, on the second seed
    (RunWriter(run.folder).trial(last.trial).folder / "record.json").unlink()
    first, second = sweep_store.ranked[:2]
    assert run.summary is not None

    def confirmed() -> list[tuple[int, int]]:
        return [(one.trial, len(one.runs)) for one in candidates(Run(sweep_store.folder)) if one.confirmed]

    assert (first.trial, 2) in confirmed()  # interrupted or failed: the one with fewer runs comes later
    assert (second.trial, 1) in confirmed()
    RunWriter(run.folder).write_summary(replace(run.summary, limit="the time budget is used up"))
    assert sorted(confirmed()) == sorted([(first.trial, 1), (second.trial, 1)])


def test_times_of_another_kind_of_device_say_nothing(sweep_store: Run) -> None:
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, device="cuda"))
    with pytest.raises(UsageError, match=r"searched on cuda and this machine has cpu.*leave out --time-budget"):
        plan_confirmation(config(Run(sweep_store.folder), time_budget_seconds=600.0))
    assert plan_confirmation(config(Run(sweep_store.folder))).left == 4


def test_what_is_there_already_takes_no_time(sweep_store: Run) -> None:
    for record in timed(sweep_store, [10.0, 10.0]):
        RunWriter(sweep_store.folder).trial(record.trial).complete(record, {})
    slow = Run(sweep_store.folder)
    run_here(plan_confirmation(config(slow)).plan)
    short = {"time_budget_seconds": 1_000.0, "begun_at": time.monotonic() - 967.0}  # some 25 s are left
    with_more = plan_confirmation(config(Run(sweep_store.folder), seeds=9, **short))
    assert with_more.left == 2  # a third seed of both
    nothing = plan_confirmation(config(Run(sweep_store.folder), time_budget_seconds=1.0))
    assert nothing.left == 0
    assert nothing.plan.line.endswith("; nothing is trained")


def test_at_most_so_many_of_one_architecture(sweep_store: Run) -> None:
    best = best_recipes(sweep_store, 4)
    names = [record.recipe.model.name for record in best]
    once = best_recipes(sweep_store, 4, per_architecture=1)
    assert [record.recipe.model.name for record in once] == list(dict.fromkeys(names))
    assert once[0].trial == best[0].trial


def test_seeds_that_the_sweep_used_are_not_fresh(sweep_store: Run) -> None:
    _, second, *_ = sweep_store.ranked
    recipe = second.recipe.with_overrides({"training.seed": FIRST_FRESH_SEED + 1})
    RunWriter(sweep_store.folder).trial(second.trial).complete(replace(second, recipe=recipe), {})
    assert fresh_seeds(Run(sweep_store.folder), 3) == [FIRST_FRESH_SEED, FIRST_FRESH_SEED + 2, FIRST_FRESH_SEED + 3]


def test_another_recipe_of_the_same_number_is_not_credited(sweep_store: Run, split: Split) -> None:
    header = replace(sweep_store.header, name="confirmed", kind="confirmation")
    confirmed = RunWriter.create(sweep_store.folder, header, split)
    first, second, *_ = sweep_store.ranked
    train_into(confirmed, split, 0, second.recipe.with_overrides({"training.seed": 9}), 3, f"trial {first.trial}")
    with pytest.raises(EnvironmentFailure, match=f"its trial {first.trial} has a different recipe"):
        leaderboard(Run(sweep_store.folder))


def test_a_sweep_is_not_removed_while_it_is_being_confirmed(sweep_store: Run, split: Split) -> None:
    header = replace(sweep_store.header, name="confirmed", kind="confirmation")
    confirmed = RunWriter.create(sweep_store.folder, header, split)
    with sole_driver(confirmed.folder):
        assert RunState.of(Run(sweep_store.folder)).state == "running"
        with pytest.raises(UsageError, match="'confirmed' is running"):
            check_removable(sweep_store.folder.parent, "tiny")
    check_removable(sweep_store.folder.parent, "tiny")


def test_confirming_for_real_and_then_more_of_it(sweep_store: Run) -> None:
    planned = plan_confirmation(config(sweep_store))
    run_here(planned.plan)
    confirmation = finish(Run(planned.folder))
    sweep = confirmation.outer
    board = leaderboard(sweep, draws=100)
    confirmed = [row.candidate for row in board.rows if row.candidate.confirmed]
    assert [row.candidate for row in board.rows[:2]] == confirmed
    assert {one.record.trial for one in confirmed} == {record.trial for record in sweep.ranked[:2]}
    assert all(one.seeds == (FIRST_FRESH_SEED, FIRST_FRESH_SEED + 1) for one in confirmed)
    assert all(one.test is not None and len(one.test.error_counts) == 2 for one in confirmed)
    assert [(opening.run, opening.trials) for opening in sweep.ledger] == [("confirmed", (0, 1, 2, 3))]
    assert Run.open(sweep_store.folder.parent).folder == sweep_store.folder  # a confirmation does not count as a sweep

    again = plan_confirmation(config(sweep_store))
    assert again.left == 0
    assert len(finish(Run(again.folder)).ledger) == 1
    more = plan_confirmation(config(sweep_store, top=3, seeds=1))
    assert more.left == 1
    view = Recorder()
    run_here(more.plan, view)
    outcome = ConfirmationOutcome(run=finish(Run(more.folder)))
    sweep = outcome.run.outer
    assert [(opening.run, opening.trials) for opening in sweep.ledger][1:] == [("confirmed", (4,))]
    board = leaderboard(sweep, draws=100)
    assert [row.candidate.confirmed for row in board.rows] == [True, True, True, False]
    assert len(board.rows[2].candidate.runs) == 1  # fewer seeds do not lead
    document = confirmation_document(outcome, board, None)
    assert document["runs"] == {"finished": 5, "stopped": 0, "failed": 0}
    assert document["leaderboard"]["test_openings"] == 2
    assert dict(confirmation_lines(outcome, board, None))["runs"] == "5 finished, 0 failed, of 5"


def test_confirming_with_folds(sweep_store: Run) -> None:
    planned = plan_confirmation(config(sweep_store, folds=2, seeds=1))
    run_here(planned.plan)
    finish(Run(planned.folder))
    sweep = Run(sweep_store.folder)
    assert sweep.ledger == ()
    run = sweep.confirmation(2)
    assert run is not None
    board = leaderboard(run, draws=100)
    assert (board.part, board.n) == ("out of fold", 1797 - 359)
    assert board.rows[1].to_leader is not None
    assert board.rows[1].to_leader.method == "folds"
    assert sweep.confirmation() is None
    row = leaderboard_document(run, board)["rows"][1]
    assert row["trial"] == board.rows[1].candidate.trial == int(row["label"].removeprefix("trial "))
    assert f"replay tiny --trial {row['trial']}" in row["reproduce"]
    lines = confirmation_lines(ConfirmationOutcome(run=run), board, Path("report.html"))
    assert lines[-1][0] == "next"


def test_final_models_train_on_validation_and_only_the_test_set_judges_them(
    sweep_store: Run, ray_session: None
) -> None:
    planned = plan_confirmation(config(sweep_store, refit=True, top=1))
    assert isinstance(planned.plan.split, Split)
    assert planned.plan.split.train_count == 1078 + 360
    run_here(planned.plan)
    finish(Run(planned.folder))
    sweep = Run(sweep_store.folder)
    run = sweep.refitted()
    assert run is not None
    assert [record.recipe.training.keep for record in run.records] == ["last", "last"]
    assert [(opening.run, opening.purpose) for opening in sweep.ledger] == [("refitted", "final models of 1 recipe")]
    with pytest.raises(UsageError, match="'refitted' was trained on the validation images, so they cannot rank it"):
        leaderboard(run)
    assert leaderboard(sweep, draws=50).rows[0].candidate.confirmed is False
    outcome = ConfirmationOutcome(run=run)
    (row,) = refit_document(outcome, None)["rows"]
    assert row["test"]["error_counts"] == [
        int((run.test_probabilities(trial).argmax(axis=1) != run.test_labels).sum()) for trial in (0, 1)
    ]
    assert row["to_confirmed"] is None
    assert dict(refit_lines(outcome, None))["trained on"].startswith("1,438 images")


def test_a_training_run_s_recipe_becomes_a_final_model_too(sweep_store: Run) -> None:
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, kind="training"))
    planned = plan_confirmation(config(sweep_store, refit=True, top=1))
    assert planned.left == 2
    with pytest.raises(UsageError, match="--refit makes final models of a training run as well"):
        plan_confirmation(config(sweep_store))
