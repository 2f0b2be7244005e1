import time
from dataclasses import replace
from pathlib import Path

import pytest

from digits_core.errors import UsageError
from digits_core.recipe import Recipe
from digits_core.records import SearchPlan
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from digits_core.training.device import default_device
from sweeps.plans.config import ResumeConfig, SweepConfig
from sweeps.plans.ending import START_SECONDS, Ending
from sweeps.plans.following import Following, parse_then
from sweeps.plans.planning import RunPlan, plan_sweep
from sweeps.space.known_good import default_max_epochs, final_epochs
from tests.helpers.sweeps import config


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (None, ()),
        ("confirm", ("confirm",)),
        ("ensemble", ("ensemble",)),
        ("confirm, ensemble", ("confirm", "ensemble")),
    ],
)
def test_steps(text: str | None, steps: tuple[str, ...]) -> None:
    assert parse_then(text) == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("confrm", "did you mean 'confirm'"),
        ("", "unknown step after a search"),
        ("ensemble,confirm", "--then takes confirm, ensemble or confirm,ensemble, got 'ensemble,confirm'"),
        ("confirm,confirm", "--then takes confirm"),
    ],
)
def test_bad_steps(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_then(text)


def test_a_population_cannot_be_confirmed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--then confirm cannot be used with .* use --then ensemble or another"):
        config(tmp_path, scheduler="pbt", then=("confirm",))


def test_the_search_leaves_time_for_a_confirmation(tmp_path: Path) -> None:
    begun = time.monotonic()

    def seconds(budget: float, *then: str) -> float:
        plan = plan_sweep(config(tmp_path, time_budget_seconds=budget, then=then, begun_at=begun))
        assert plan.ending.deadline is not None
        return plan.ending.deadline - begun - START_SECONDS  # the start of the workers is not part of the share

    assert seconds(600.0, "ensemble") == pytest.approx(seconds(600.0))
    assert seconds(600.0, "confirm", "ensemble") == pytest.approx(0.4 * seconds(600.0))
    assert Ending.of(begun, 600.0, None, 0).seconds_left == pytest.approx(592.0, abs=5.0)
    assert Ending.of(begun - 700.0, 600.0, None, 0).seconds_left == 0.0


@pytest.mark.mnist
def test_the_search_is_short_and_what_follows_it_is_long(tmp_path: Path) -> None:
    def planned(**changes: object) -> RunPlan:
        return plan_sweep(config(tmp_path, dataset="mnist", **changes))

    def epochs(**changes: object) -> tuple[int, int | None]:
        header = planned(**changes).header
        return header.max_epochs, header.plan.final_epochs if header.plan else None

    def deadline(*then: str) -> float:
        found = planned(
            max_epochs=None, time_budget_seconds=2_000.0, begun_at=-START_SECONDS, then=then
        ).ending.deadline
        assert found is not None
        return found

    assert deadline("confirm") == pytest.approx(0.2 * deadline())
    device = default_device().type
    last = final_epochs(device, 28)
    assert epochs(max_epochs=None) == (default_max_epochs(device, 28), last)
    assert epochs(max_epochs=None, then=("confirm",)) == (default_max_epochs(device, 28, is_confirmed=True), last)
    assert epochs(max_epochs=4, then=("confirm",)) == (4, None)  # who sets it means all networks
    listed = tmp_path / "recipes.jsonl"
    listed.write_text('{"model.name": "mlp"}\n')
    assert epochs(max_epochs=None, configs=listed, then=("confirm",)) == (default_max_epochs(device, 28), None)


def test_what_is_confirmed_and_combined(tmp_path: Path, sweep_store: Run) -> None:
    asked: SweepConfig = config(tmp_path, then=("confirm", "ensemble"), concurrency=2)
    without_budget = Following.of(asked).confirmation(sweep_store)
    assert (without_budget.top, without_budget.per_architecture, without_budget.seeds) == (3, 2, 3)
    assert (without_budget.sweep, without_budget.runs) == ("tiny", sweep_store.folder.parent)
    timed = Following.of(config(tmp_path, then=("confirm",), time_budget_seconds=60.0)).confirmation(sweep_store)
    assert (timed.seeds, timed.time_budget_seconds) == (10, 60.0)
    assert (timed.epochs, without_budget.epochs) == (None, None)  # no such thing was planned
    plan = SearchPlan(search="random", scheduler="none", space={}, base=Recipe(), first=(), final_epochs=9)
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, plan=plan))
    planned_so = Following.of(asked).confirmation(Run(sweep_store.folder))
    assert (planned_so.epochs, planned_so.as_fit) == (9, True)
    confirmed, own = (Following.of(asked).ensemble(confirmed=confirmed) for confirmed in (True, False))
    assert (confirmed.pool, confirmed.top) == ("confirmed", 3)
    assert (own.pool, own.top) == ("all", 10)
    assert (confirmed.tta, own.tta) == (False, False)
    in_poses = Following.of(config(tmp_path, then=("ensemble",), tta=True))
    assert in_poses.ensemble(confirmed=True).tta
    assert in_poses.ensemble(confirmed=False).tta


@pytest.mark.parametrize("then", [(), ("confirm",)])
def test_poses_are_for_an_ensemble(tmp_path: Path, then: tuple[str, ...]) -> None:
    message = "--tta is for the ensemble that follows a search: add --then ensemble or confirm,ensemble"
    with pytest.raises(UsageError, match=message):
        config(tmp_path, then=then, tta=True)
    with pytest.raises(UsageError, match=message):
        ResumeConfig(runs=tmp_path, name="first", then=then, tta=True)
