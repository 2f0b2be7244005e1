import numpy as np
import pytest

from digits_core.runs.run import Run
from reports.charts.search import (
    by_importance,
    contour_chart,
    cost_chart,
    importance_chart,
    optimisation_history,
    rung_chart,
    slice_chart,
    time_line,
)
from reports.rows.importance import Importance, Importances
from reports.rows.search import Dimension, LaneBar, Rung, costs, history
from tests.helpers.records import record

RATE = Dimension(name="optimizer.learning_rate", numeric=True, log=True, values=(0.1, 0.01, 0.001))
NAME = Dimension(name="optimizer.name", numeric=False, log=False, values=("sgd", "adam", "sgd"))
NLLS = (0.4, 0.5, 0.6)
MOMENTUM = Dimension(name="optimizer.momentum", numeric=True, log=False, values=(0.9, None, 0.8))


def test_history_shows_every_trial_once_and_the_best_so_far(sweep_store: Run) -> None:
    points = history(sweep_store.records)
    figure = optimisation_history(points)
    series = {trace.name: trace for trace in figure.data}
    assert set(series) == {"finished", "stopped", "best so far"}
    shown = [trial for name in ("finished", "stopped") for trial in series[name].customdata]
    assert sorted(shown) == [point.trial for point in points]
    assert np.array_equal(series["best so far"].y, [point.incumbent_nll for point in points])


def test_time_line_has_a_bar_for_every_trial() -> None:
    bars = [
        LaneBar(trial=0, status="finished", lane=0, start_seconds=0.0, seconds=5.0),
        LaneBar(trial=1, status="stopped", lane=1, start_seconds=1.0, seconds=2.0),
        LaneBar(trial=2, status="failed", lane=1, start_seconds=3.0, seconds=1.0),
    ]
    found = {
        trace.name: (trace.customdata.tolist(), list(trace.base), list(trace.x), list(trace.y))
        for trace in time_line(bars).data
    }
    assert found == {
        "finished": ([[0, 5.0]], [0.0], [5.0], [1]),
        "stopped": ([[1, 2.0]], [1.0], [2.0], [2]),
        "failed": ([[2, 1.0]], [3.0], [1.0], [2]),
    }


def test_rungs_are_stacked() -> None:
    continued, stopped = rung_chart(
        [Rung(epoch=1, reached_n=9, stopped_n=6), Rung(epoch=3, reached_n=3, stopped_n=1)]
    ).data
    assert (list(continued.y), list(stopped.y), list(stopped.x)) == ([3, 2], [6, 1], ["1", "3"])


def test_importances_are_drawn_with_their_uncertainty() -> None:
    rows = (
        Importance(name="a", mean=0.7, standard_deviation=0.1), Importance(name="b", mean=0.2, standard_deviation=0.05),
    )  # fmt: skip
    (bars,) = importance_chart(Importances(rows=rows, skill=0.9, trial_n=50)).data
    assert (list(bars.y), list(bars.x), list(bars.error_x.array)) == (["b", "a"], [0.2, 0.7], [0.05, 0.1])


def test_fields_are_ordered_by_importance_if_it_is_known() -> None:
    found = Importances(
        rows=tuple(Importance(name=d.name, mean=0.1, standard_deviation=0.1) for d in (NAME, MOMENTUM, RATE)),
        skill=0.5, trial_n=30,
    )  # fmt: skip
    assert by_importance([RATE, NAME, MOMENTUM], found) == [NAME, MOMENTUM, RATE]
    assert by_importance([RATE, NAME], "too few") == [RATE, NAME]


def test_a_slice_leaves_out_trials_to_which_the_field_does_not_apply() -> None:
    records = [record(0, (0.1,)), record(1, (0.2,), "stopped"), record(2, (0.3,), "stopped")]
    finished, stopped = slice_chart(MOMENTUM, records, NLLS).data
    assert (list(finished.x), list(finished.y)) == ([0.9], [0.4])
    assert (list(stopped.x), list(stopped.y), list(stopped.customdata)) == ([0.8], [0.6], [2])
    assert slice_chart(NAME, records, NLLS).layout.xaxis.type == "category"
    assert slice_chart(RATE, records, NLLS).layout.xaxis.type == "log"


def test_the_contour_interpolates_the_trials() -> None:
    stream = np.random.default_rng(0)
    rates, others = 10 ** stream.uniform(-3, -1, 60), stream.uniform(0, 1, 60)
    first = Dimension(name="a", numeric=True, log=True, values=tuple(rates.tolist()))
    second = Dimension(name="b", numeric=True, log=False, values=tuple(others.tolist()))
    nlls = 10 ** (np.log10(rates) + others)  # a plane: linear between the trials is exact
    figure = contour_chart(first, second, nlls.tolist(), range(100, 160))
    assert figure is not None
    surface, points = figure.data
    x, y = np.meshgrid(np.array(surface.x), np.array(surface.y))
    inside = ~np.isnan(np.array(surface.z, dtype=float))
    assert 0.5 < inside.mean() < 1
    assert np.allclose(np.array(surface.z, dtype=float)[inside], (np.log10(x) + y)[inside], atol=2e-3)
    assert (len(points.x), list(points.customdata)) == (60, list(range(100, 160)))
    assert surface.reversescale  # the scale begins light, so that darker is better
    assert surface.colorscale[0][1] == "#F4F7FB"
    few = Dimension(name="a", numeric=True, log=False, values=(1, 2, 3))
    assert contour_chart(few, few, [0.1, 0.2, 0.3], [1, 2, 3]) is None


def test_costs_are_shown_in_four_ways(sweep_store: Run) -> None:
    points = costs(sweep_store.records)
    figure = cost_chart(points)
    models = {point.model for point in points}
    assert len(figure.data) == 4 * len(models)
    by_epochs = [trace for trace in figure.data if trace.xaxis == "x4"]
    assert sum(trace.y.sum() for trace in by_epochs) == pytest.approx(sum(point.seconds for point in points))
