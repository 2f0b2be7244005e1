from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from digits_core.recipe import Recipe
from digits_core.records import SearchPlan
from digits_core.runs.run import Run
from reports.rows.search import costs, dimensions, footing, history, lanes, rungs, search_clock
from tests.helpers.records import record


def test_history_tracks_the_best_so_far_and_counts_epochs(sweep_store: Run) -> None:
    records = sweep_store.records
    points = history(records)
    assert [point.trial for point in points] == [0, 1, 2, 3]  # the failed one never validated
    nll = [point.nll for point in points]
    assert [point.incumbent_nll for point in points] == [min(nll[: i + 1]) for i in range(4)]
    assert [point.epochs for point in points] == [3, 6, 9, 10]
    assert all(point.ended_seconds > 0 for point in points)
    assert history([records[4]]) == ()


def test_inherited_epochs_are_not_counted() -> None:
    heir = replace(record(1, (0.5, 0.4, 0.3), span=(2, 3)), parent=0, inherited_epochs=2)
    assert [point.epochs for point in history([record(0, (0.5, 0.4)), heir])] == [2, 3]


def test_breaks_between_sessions_do_not_count() -> None:
    first, second = record(0, span=(105.0, 110.0)), record(1, span=(1005.0, 1010.0))
    clock = search_clock([(100.0, 110.0), (1000.0, 1009.0)], [first, second])
    assert [clock(moment) for moment in (90, 105, 110, 500, 1000, 1005, 1009, 1010)] == [0, 0, 5, 5, 5, 10, 14, 15]
    without = search_clock([], [first, second])
    assert [without(moment) for moment in (90, 105, 1010)] == [0, 0, 905]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=25))
def test_trials_in_one_lane_never_overlap(spans: list[tuple[int, int]]) -> None:
    records = [record(number, span=(start, start + length)) for number, (start, length) in enumerate(spans)]
    bars = lanes(records, lambda moment: moment)
    assert sorted(bar.trial for bar in bars) == list(range(len(spans)))
    by_lane: dict[int, float] = {}
    for bar in sorted(bars, key=lambda bar: (bar.start_seconds, bar.trial)):
        assert by_lane.get(bar.lane, -1.0) <= bar.start_seconds
        by_lane[bar.lane] = bar.start_seconds + bar.seconds
    # There are no more lanes than trials that run at one moment.
    moments = [start for start, _ in spans]
    together = max((sum(s <= m <= s + length for s, length in spans) for m in moments), default=0)
    assert len(by_lane) <= together


def test_rungs_are_where_trials_were_stopped() -> None:
    records = [
        record(0, (3, 2, 1)), record(1, (3,), "stopped"), record(2, (3, 2), "stopped"), record(3, (4,), "stopped"),
        record(4, (), "failed"),
    ]  # fmt: skip
    found = rungs(records)
    assert [(rung.epoch, rung.reached_n, rung.stopped_n, rung.continued_count) for rung in found] == [
        (1, 4, 2, 2),
        (2, 2, 1, 1),
    ]


def test_dimensions_are_the_fields_that_varied_and_apply(sweep_store: Run) -> None:
    space = {
        "optimizer.name": {"choices": ["sgd", "adam"]},
        "optimizer.momentum": {"low": 0.1, "high": 0.9, "when": {"optimizer.name": ["sgd"]}},
        "optimizer.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        "training.batch_size": {"choices": [32, 64]},
        "model.gone": {"choices": [1, 2]},
    }
    plan = SearchPlan(search="tpe", scheduler="asha", space=space, base=Recipe(), first=())
    header = replace(sweep_store.header, plan=plan)
    overrides = [
        {"optimizer.name": "sgd", "optimizer.momentum": 0.5, "optimizer.learning_rate": 0.1},
        {"optimizer.name": "sgd", "optimizer.momentum": 0.7, "optimizer.learning_rate": 0.2},
        {"optimizer.name": "adam", "optimizer.momentum": 0.9, "optimizer.learning_rate": 0.3},
    ]
    records = [record(n, recipe=Recipe().with_overrides(values)) for n, values in enumerate(overrides)]
    found = {dimension.name: dimension for dimension in dimensions(header, records)}
    assert list(found) == ["optimizer.name", "optimizer.momentum", "optimizer.learning_rate"]
    assert found["optimizer.name"].values == ("sgd", "sgd", "adam")
    assert found["optimizer.momentum"].values == (0.5, 0.7, None)
    assert (found["optimizer.learning_rate"].numeric, found["optimizer.learning_rate"].log) == (True, True)


def test_trials_are_compared_up_to_the_epoch_that_all_reached() -> None:
    assert footing([record(0, (0.9, 0.5, 0.1)), record(1, (0.3, 0.2))]) == (2, (0.5, 0.2))


def test_costs_leave_out_inherited_epochs_and_trials_that_never_ran() -> None:
    heir = replace(record(1, (0.5, 0.4, 0.3)), parent=0, inherited_epochs=2)
    points = costs([record(0, (0.5, 0.4)), heir, record(2, (), "failed")])
    assert [(p.trial, p.epochs, p.seconds, p.epoch_seconds) for p in points] == [(0, 2, 4.0, 2.0), (1, 1, 2.0, 2.0)]
