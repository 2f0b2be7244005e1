from dataclasses import replace

import numpy as np

from digits_core.inference.ensembling import build_ensemble
from digits_core.runs.ensemble_records import EnsembleConfig, PairOfMembers
from digits_core.runs.run import Run
from reports.charts.models import (
    ShownRun,
    accuracy_curves,
    calibration_chart,
    disagreement_chart,
    embedding_chart,
    learning_curves,
)
from reports.rows.inside import InsideModel, Scatter
from reports.rows.views import view_of


def test_curves_mark_the_epoch_that_counts(sweep_store: Run) -> None:
    records = sweep_store.ranked
    runs = [ShownRun(trial=record.trial, title=f"trial {record.trial}", record=record) for record in records]
    for figure, of_row in (
        (learning_curves(runs), lambda row: (row.validation_nll, row.train_loss)),
        (
            accuracy_curves(runs),
            lambda row: (
                100 * row.validation_error_count / row.validation_n,
                100 * row.train_error_count / row.train_n,
            ),
        ),
    ):
        assert len(figure.data) == 3 * len(records)
        for record, validation, training, chosen in zip(
            records, figure.data[::3], figure.data[1::3], figure.data[2::3], strict=True
        ):
            assert validation.name == f"trial {record.trial}"
            assert set(validation.customdata) == set(chosen.customdata) == {record.trial}  # a click opens its panel
            assert list(zip(validation.y, training.y, strict=True)) == [of_row(row) for row in record.curve]
            assert list(chosen.x) == [record.best_epoch]
            assert list(chosen.y) == [validation.y[record.best_epoch - 1]]


def test_nan_is_drawn_as_a_gap(sweep_store: Run) -> None:
    record = sweep_store.ranked[0]
    spoilt = replace(record, curve=tuple(replace(row, train_loss=float("nan")) for row in record.curve))
    figure = learning_curves([ShownRun(trial=0, title="<b>a", record=spoilt)])
    assert '"y":[null,null,null]' in figure.to_json() or np.isnan(figure.data[1].y).all()
    assert figure.data[0].name == "ba"  # Plotly would interpret <b> as a tag


def test_calibration_shows_every_bin(random_probabilities: np.ndarray) -> None:
    labels = np.random.default_rng(0).integers(0, 10, 200)
    view = view_of("a", "A", "validation", labels, random_probabilities[0], np.arange(200))
    _, trace = calibration_chart([view]).data
    assert list(trace.customdata) == [one.n for one in view.bins]
    assert np.allclose(trace.y + trace.error_y.array, [one.interval.high for one in view.bins])
    assert np.allclose(trace.y - trace.error_y.arrayminus, [one.interval.low for one in view.bins])


def test_embedding_shows_each_image_under_its_label() -> None:
    points = np.arange(12, dtype=np.float32).reshape(6, 2)
    inside = InsideModel(
        trial=1, shown_index=0, shown_label=0, shown_answer=0, filters=None, filter_count=0, layers=(),
        images=np.arange(10, 16),
        labels=np.array([1, 1, 2, 2, 2, 7]), answers=np.array([1, 7, 2, 2, 2, 7]),
        scatters=(Scatter(title="a", points=points), Scatter(title="b", points=-points)),
    )  # fmt: skip
    figure = embedding_chart(inside)
    first, second = figure.data[:4], figure.data[4:]
    assert [trace.name for trace in first[:3]] == [trace.name for trace in second[:3]] == ["1", "2", "7"]
    assert first[0].customdata.tolist() == [[10, 1], [11, 7]]
    assert list(first[0].marker.symbol) == ["circle", "x"]
    assert np.array_equal(second[1].x, -points[2:5, 0])
    assert (list(first[3].text), list(first[3].x)) == (["1", "2", "7"], [1.0, 6.0, 10.0])  # in the middle of each


def test_disagreement_is_symmetric_and_in_percent(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    record = sweep_store.ensemble
    assert record is not None
    first, second, third = (member.trial for member in record.members)
    pairs = tuple(
        PairOfMembers(trials=trials, disagreement=share, double_fault=0.0, yule_q=None)
        for trials, share in (((first, second), 0.01), ((first, third), 0.02), ((second, third), 0.03))
    )
    (heat,) = disagreement_chart(replace(record, pairs=pairs)).data
    expected = np.array([[np.nan, 1, 2], [1, np.nan, 3], [2, 3, np.nan]])
    assert np.allclose(np.array(heat.z, dtype=float), expected, equal_nan=True)
    assert list(heat.x) == [member.name for member in record.members]
