from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.errors import UsageError
from digits_core.judging.objectives import OBJECTIVES, pareto_front, parse_objectives, values_of
from digits_core.metrics import Score
from digits_core.recipe import Recipe
from digits_core.records import EpochRow, RunRecord

ROW = EpochRow(
    epoch=1, train_loss=1.0, train_error_count=1, train_n=10, validation_nll=0.5, validation_error_count=1,
    validation_n=100, seconds=1.0, busy_seconds=1.0, validation_busy_seconds=0.01,
)  # fmt: skip


def record(trial: int, nll: float, parameter_count: int, errors: int = 0) -> RunRecord:
    validation = Score(n=100, error_count=errors, accuracy=1 - errors / 100, nll=nll, brier=0.0, ece=0.0)
    return RunRecord(
        trial=trial, status="finished", recipe=Recipe(), started_at=0.0, ended_at=1.0,
        parameter_count=parameter_count, validation=validation, curve=(ROW,),
    )  # fmt: skip


def test_values_are_those_of_the_record() -> None:
    assert values_of(record(0, 0.25, 1234, 3), ("nll", "accuracy", "params", "latency")) == pytest.approx(
        (0.25, 0.97, 1234.0, 100.0)
    )
    assert [OBJECTIVES[name].text(value) for name, value in zip(OBJECTIVES, (0.25, 0.97, 1234, 100), strict=True)] == [
        "0.2500",
        "97.00%",
        "1,234",
        "100.0",
    ]


def test_latency_is_that_of_the_fastest_epoch() -> None:
    slow = replace(ROW, epoch=2, validation_busy_seconds=0.5)
    assert replace(record(0, 1.0, 1), curve=(ROW, slow)).image_seconds == pytest.approx(1e-4)


def test_a_trial_without_a_measured_value_has_no_values() -> None:
    assert values_of(replace(record(0, 0.1, 1), status="failed"), ("nll",)) is None
    old = replace(record(0, 0.1, 1), curve=(replace(ROW, validation_busy_seconds=None),))
    assert values_of(old, ("nll", "latency")) is None
    assert pareto_front([old], ("nll", "latency")) == []


def test_front_by_hand() -> None:
    trials = [record(0, 0.1, 900), record(1, 0.2, 100), record(2, 0.2, 200), record(3, 0.3, 50), record(4, 0.1, 900)]
    assert [r.trial for r in pareto_front(trials, ("nll", "params"))] == [0, 4, 1, 3]
    assert [r.trial for r in pareto_front(trials, ("params", "nll"))] == [3, 1, 0, 4]
    better = [record(0, 0.1, 1, errors=5), record(1, 0.2, 1, errors=1), record(2, 0.3, 1, errors=5)]
    assert [r.trial for r in pareto_front(better, ("accuracy", "nll"))] == [1, 0]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=20))
def test_a_trial_is_on_the_front_unless_another_beats_it(pairs: list[tuple[int, int]]) -> None:
    trials = [record(number, nll / 10, size) for number, (nll, size) in enumerate(pairs)]
    front = {r.trial for r in pareto_front(trials, ("nll", "params"))}
    for number, (nll, size) in enumerate(pairs):
        beaten = any((n, s) != (nll, size) and n <= nll and s <= size for n, s in pairs)
        assert (number in front) != beaten


@pytest.mark.parametrize("text", ["nll", "nll,params", "accuracy, latency", "params,nll,latency"])
def test_parse_objectives(text: str) -> None:
    assert parse_objectives(text) == tuple(name.strip() for name in text.split(","))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss", "unknown objective 'loss'"),
        ("nll,", "unknown objective ''"),
        ("nll,nll", "has the same name twice"),
        ("params", "must be nll, or several that include nll or accuracy"),
        ("accuracy", "must be nll, or several"),
        ("params,latency", "must be nll, or several"),
    ],
)
def test_invalid_objectives_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_objectives(text)
