from dataclasses import replace

import numpy as np
import pytest

from digits_core.inference.ensembling import build_ensemble
from digits_core.judging.stats import Interval
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from reports.rows.glance import Axis, _cells, curve_of, glance_at
from reports.rows.tables import collect


def test_leader_and_ensemble_are_on_one_axis(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    data = collect(sweep_store)
    found = glance_at(data)
    leader, ensemble = found.accuracies.spans
    assert (leader.name, ensemble.name) == (f"Leader, trial {sweep_store.ranked[0].trial}", "Ensemble of 3")
    for span, view in zip((leader, ensemble), data.answered.featured, strict=True):
        assert (span.wrong, span.n) == (str(view.result.score.error_count), 359)
        assert span.interval == view.result.interval
        assert (
            0 < found.accuracies.axis.place(span.interval.low) < found.accuracies.axis.place(span.interval.high) <= 100
        )
    assert found.accuracies.part == "sealed test"
    assert found.view.key == "ensemble"
    assert [one.picture.index for one in found.mistakes] == found.view.mistakes.images[:8].tolist()


def test_without_an_ensemble_the_leader_s_mistakes_are_shown(sweep_store: Run) -> None:
    found = glance_at(collect(sweep_store))
    assert found.view.key == "leader"
    assert found.accuracies.part == "validation"
    assert len(found.accuracies.spans) == 1


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.96, 0.99, (0.96, 0.97, 0.98, 0.99)),
        (0.9970, 0.9978, (0.997, 0.9972, 0.9974, 0.9976, 0.9978)),
        (0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (1.0, 1.0, None),
    ],
)
def test_an_axis_holds_all_intervals_and_has_round_ticks(
    low: float, high: float, ticks: tuple[float, ...] | None
) -> None:
    axis = Axis.over([Interval(low=low, high=high), Interval(low=high, high=high)])
    assert 0 <= axis.low <= low <= high <= axis.high <= 1
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert (axis.place(axis.low), axis.place(axis.high)) == (0, 100)
    assert len(axis.ticks) >= 2
    if ticks:
        assert axis.ticks == ticks


def test_a_curve_falls_in_the_unit_square_and_leaves_out_what_is_no_number() -> None:
    found = curve_of("#search", "a", [1, 2, 3, 4], [1.0, float("nan"), 0.1, 0.01], passed="4", steps=True)
    assert found is not None
    assert found.points == ((0.0, 1.0), (0.6667, 0.5), (1.0, 0.0))
    assert (found.first, found.last) == ("1.00", "0.0100")
    assert found.path == "M0.0 4.0H200.0V50.0H300.0V96.0"
    assert replace(found, steps=False).path == "M0.0 4.0L200.0 50.0L300.0 96.0"
    assert curve_of("#search", "a", [1], [1.0], passed="", steps=True) is None


def test_the_most_frequent_confusions_come_first(sweep_store: Run) -> None:
    view = collect(sweep_store).answered.featured[0]
    confusion = np.diag(np.full(10, 30))
    confusion[4, 9], confusion[9, 4], confusion[1, 7] = 5, 2, 3
    assert _cells(replace(view, confusion=confusion)) == [(4, 9, 5), (1, 7, 3), (9, 4, 2)]
