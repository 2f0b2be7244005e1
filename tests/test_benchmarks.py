from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning_curves import CurveTable, space
from benchmarks.made_up import SPACE, made_up_sweep
from benchmarks.members import WAYS, at_most, compared
from benchmarks.search_quality import goal_of, replay
from reports.pages.report import render
from reports.rows.tables import collect
from sweeps.space.known_good import default_recipe
from sweeps.space.spaces import point_of


@pytest.fixture(scope="module")
def table() -> CurveTable:
    return CurveTable.read()


def test_the_table_has_full_curves_of_300_configurations(table: CurveTable) -> None:
    count, epochs = table.lowest_nlls.shape
    assert count >= 300
    assert epochs == 40
    assert np.isfinite(table.lowest_nlls).all()
    assert (np.diff(table.lowest_nlls, axis=1) <= 0).all()
    assert table.places.shape == (count, len(space()))
    assert np.nanmin(table.places) >= 0


def test_a_row_is_nearest_to_itself_until_it_is_used(table: CurveTable) -> None:
    default = point_of(space(), default_recipe("cpu", 8, 40))  # trial 0 of the sweep that made the table
    assert table.nearest(default) == 0
    assert table.nearest({**default, "optimizer.learning_rate": 0.0051}) == 0
    assert table.nearest(default, {0}) > 0
    assert [table.nearest(point) for point in table.points] == list(range(len(table.points)))


def test_a_replay_ends_at_the_goal_and_is_repeatable(table: CurveTable) -> None:
    lowest = replay("tpe", "asha", seed=1)
    assert lowest == replay("tpe", "asha", seed=1)
    assert len(lowest) < table.lowest_nlls.size
    assert (np.diff(lowest) <= 0).all()
    goal = goal_of(table)
    assert all(value > goal for value in lowest[:-1])
    assert lowest[-1] <= goal
    assert np.mean(table.lowest_nlls[:, -1] <= goal) == pytest.approx(0.01, abs=0.004)


def test_ways_to_choose_members_are_judged_on_other_images_than_they_choose_by() -> None:
    stream = np.random.default_rng(0)
    labels = stream.integers(0, 10, 400)
    sure = np.eye(10)[labels]
    said = np.stack([share * sure + (1 - share) / 10 for share in (0.9, 0.5, 0.4, 0.3, 0.2, 0.1)])
    names = ["cnn", "cnn", "resnet", "cnn", "mlp", "cnn"]
    found = compared(labels, said, names, splits=3, pool=6, share=0.25)
    assert set(found) == set(WAYS)
    best = -np.log(0.91)
    assert found["best 1"] == pytest.approx(np.array([[best, 0.0]] * 3))
    assert found["greedy of all"][:, 0].max() < found["best 5"][:, 0].min()  # the best alone is best here
    alike = at_most(1)(labels, said, names)
    assert alike.tolist() == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3, 0])


def test_a_report_of_a_made_up_sweep_is_written(tmp_path: Path) -> None:
    store = made_up_sweep(tmp_path, 25, 120)
    data = collect(store)
    assert len(data.leaderboard) == 25
    assert {dimension.name for dimension in data.search.dimensions} == set(SPACE)
    assert data.search.footing_epoch == 2
    assert data.search.rungs[0].stopped_n == sum(record.status == "stopped" for record in store.records)
    assert 'id="trial=24"' in render(data)
