import time
from pathlib import Path

import pytest

from digits_core.errors import UsageError
from digits_core.runs.run import Run
from sweeps.plans.config import SweepConfig
from sweeps.plans.ending import START_SECONDS, Ending
from sweeps.plans.following import SEARCH_SHARE, Following, parse_then
from sweeps.plans.planning import plan_sweep
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

    def seconds(then: tuple[str, ...]) -> float:
        plan = plan_sweep(config(tmp_path, time_budget_seconds=600.0, then=then, begun_at=begun))
        assert plan.ending.deadline is not None
        return plan.ending.deadline - begun

    alone = seconds(())
    assert seconds(("ensemble",)) == pytest.approx(alone)
    searching = seconds(("confirm", "ensemble")) - START_SECONDS  # the start of the workers is not part of the share
    assert searching == pytest.approx(SEARCH_SHARE * (alone - START_SECONDS))
    assert Ending.of(begun, 600.0, None, 0).seconds_left == pytest.approx(592.0, abs=5.0)
    assert Ending.of(begun - 700.0, 600.0, None, 0).seconds_left == 0.0


def test_what_is_confirmed_and_combined(tmp_path: Path, sweep_store: Run) -> None:
    asked: SweepConfig = config(tmp_path, then=("confirm", "ensemble"), concurrency=2)
    without_budget = Following.of(asked).confirmation(sweep_store)
    assert (without_budget.top, without_budget.per_architecture, without_budget.seeds) == (3, 2, 3)
    assert (without_budget.sweep, without_budget.runs) == ("tiny", sweep_store.folder.parent)
    timed = Following.of(config(tmp_path, then=("confirm",), time_budget_seconds=60.0)).confirmation(sweep_store)
    assert (timed.seeds, timed.time_budget_seconds) == (10, 60.0)
    confirmed, own = (Following.of(asked).ensemble(confirmed=confirmed) for confirmed in (True, False))
    assert (confirmed.pool, confirmed.top) == ("confirmed", 3)
    assert (own.pool, own.top) == ("all", 10)
