import numpy as np

from digits_core.store import SweepStore
from reports.charts import learning_curves, optimisation_history
from reports.tables import history


def test_history_shows_every_trial_once_and_the_incumbent(sweep_store: SweepStore) -> None:
    points = history(sweep_store.records())
    figure = optimisation_history(points)
    series = {trace.name: trace for trace in figure.data}
    assert set(series) == {"finished", "stopped", "best so far"}
    shown = [trial for name in ("finished", "stopped") for trial in series[name].customdata]
    assert sorted(shown) == [point.trial for point in points]
    assert np.array_equal(series["best so far"].y, [point.incumbent_nll for point in points])


def test_curves_mark_the_epoch_that_counts(sweep_store: SweepStore) -> None:
    records = sweep_store.ranked()
    figure = learning_curves(records)
    assert len(figure.data) == 3 * len(records)
    for record, validation, training, chosen in zip(
        records, figure.data[::3], figure.data[1::3], figure.data[2::3], strict=True
    ):
        assert validation.name == f"trial {record.trial}"
        assert list(validation.y) == [row.validation_nll for row in record.curve]
        assert list(training.y) == [row.train_loss for row in record.curve]
        assert list(chosen.x) == [record.best_epoch]
        assert list(chosen.y) == [min(row.validation_nll for row in record.curve)]
