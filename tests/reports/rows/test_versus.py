import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from digits_cli.printed.versus import versus_document, versus_lines
from digits_core.data.digits import Split
from digits_core.errors import UsageError
from digits_core.judging.paired import duel
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from reports.charts.search import incumbents_chart
from reports.pages.versus import default_output, write_versus
from reports.rows.versus import collect_versus
from tests.helpers.pages import Page
from tests.helpers.runs import HOSTILE, opened_for, reread, train_into


@pytest.fixture
def other_store(sweep_store: Run) -> Run:
    """The same split, without the best trial."""
    folder = sweep_store.folder.with_name("other")
    shutil.copytree(sweep_store.folder, folder)
    (folder / "trials" / f"{sweep_store.ranked[0].trial:05d}" / "record.json").unlink()
    return Run(folder)


def rewrite_header(store: Run, **changes: object) -> None:
    (store.folder / "sweep.json").write_text(json.dumps(asdict(replace(store.header, **changes))))  # type: ignore[arg-type]


def test_leaders_are_tested_on_the_same_images(sweep_store: Run, other_store: Run) -> None:
    data = collect_versus([sweep_store, other_store])
    assert [column.leader.trial for column in data.columns] == [r.trial for r in sweep_store.ranked[:2]]
    (test,) = data.tests
    first, second = (column.leader.validation for column in data.columns)
    assert test.duel == duel(first, second)
    assert test.corrected_p_value == test.duel.p_value
    assert test.part == "validation"
    sweep_store = opened_for(sweep_store)
    assert len(collect_versus([sweep_store, other_store]).tests) == 1
    other_store = opened_for(other_store)
    on_validation, on_test = collect_versus([sweep_store, other_store]).tests
    assert (on_test.part, on_test.duel is not None) == ("sealed test", True)
    assert on_validation.corrected_p_value is not None
    assert on_validation.duel is not None
    assert on_validation.corrected_p_value >= on_validation.duel.p_value


def test_a_confirmed_leader_is_tested_with_all_its_seeds(sweep_store: Run, other_store: Run, split: Split) -> None:
    other_store = opened_for(other_store)
    confirmed = RunWriter.create(
        sweep_store.folder, replace(sweep_store.header, name="confirmed", kind="confirmation"), split
    )
    second = sweep_store.ranked[1]
    for trial, seed in enumerate((50, 51)):
        recipe = second.recipe.with_overrides({"training.seed": seed})
        train_into(confirmed, split, trial, recipe, 3, f"trial {second.trial}")
    confirmed = opened_for(confirmed, reread(confirmed).ranked, "confirmation")
    data = collect_versus([sweep_store, other_store])
    assert data.columns[0].leader.trial == second.trial
    assert [test.duel.method for test in data.tests if test.duel] == ["seeds", "seeds"]


def test_runs_on_different_images_are_not_tested(sweep_store: Run, other_store: Run) -> None:
    np.save(other_store.folder / "validation_indices.npy", other_store.validation_indices[::-1])
    (test,) = collect_versus([sweep_store, reread(other_store)]).tests
    assert (test.duel, test.verdict) == (None, "not comparable (different images)")
    rewrite_header(other_store, data_checksum="0" * 64)
    (test,) = collect_versus([sweep_store, reread(other_store)]).tests
    assert test.verdict == "not comparable (different data)"


def test_the_verdict_names_the_better(sweep_store: Run, other_store: Run) -> None:
    for record in other_store.ranked[:-1]:
        (other_store.trial(record.trial).folder / "record.json").unlink()  # leaves one, stopped after an epoch
    other_store = reread(other_store)
    for pair in ([sweep_store, other_store], [other_store, sweep_store]):
        (test,) = collect_versus(pair).tests
        assert test.verdict == "tiny makes fewer mistakes"


def test_page_and_lines_say_the_same(sweep_store: Run, other_store: Run, tmp_path: Path) -> None:
    data, path = write_versus([sweep_store, other_store], tmp_path / "page.html")
    document = versus_document(data, path)
    assert document["sweeps"] == ["tiny", "other"]
    assert document["tests"][0]["verdict"] == data.tests[0].verdict
    assert [leader["trial"] for leader in document["winners"]] == [column.leader.trial for column in data.columns]
    assert [leader["epochs"] for leader in document["winners"]] == [10, 7]
    text = " ".join(Page(path.read_text()).text.split())
    lines = dict(versus_lines(data, path))
    assert data.tests[0].verdict in text
    assert data.tests[0].verdict in lines["other vs tiny"]
    for column in data.columns:
        assert f"{100 * column.leader.validation.accuracy.mean:.1f} %" in text.replace("\u202f", " ")
    seconds, epochs = (
        [trace for trace in incumbents_chart(data.columns).data if trace.xaxis == axis] for axis in ("x", "x2")
    )
    for column, by_seconds, by_epochs in zip(data.columns, seconds, epochs, strict=True):
        assert list(by_seconds.x) == [point.ended_seconds for point in column.history]
        assert list(by_epochs.x) == [point.epochs for point in column.history]
        assert list(by_epochs.y) == [point.incumbent_nll for point in column.history]


def test_leaders_with_the_same_recipe_are_noted(sweep_store: Run, other_store: Run, tmp_path: Path) -> None:
    said = "The leaders have the same recipe"
    _, path = write_versus([sweep_store, other_store], tmp_path / "page.html")
    assert said not in path.read_text()
    _, path = write_versus([sweep_store, sweep_store], tmp_path / "page.html")
    assert said in path.read_text()


def test_a_run_without_a_validated_trial_is_refused(sweep_store: Run, other_store: Run) -> None:
    for record in other_store.ranked:
        (other_store.trial(record.trial).folder / "record.json").unlink()
    with pytest.raises(UsageError, match="no validated trial"):
        collect_versus([sweep_store, reread(other_store)])


def test_hostile_names_stay_text(sweep_store: Run, other_store: Run, tmp_path: Path) -> None:
    rewrite_header(other_store, hardware=HOSTILE, dataset=HOSTILE)
    _, path = write_versus([sweep_store, other_store], tmp_path / "page.html")
    assert not any("onerror" in attributes for _, attributes in Page(path.read_text()).tags)


def test_the_page_of_many_runs_has_a_short_enough_name() -> None:
    assert default_output(Path("runs"), ["a", "b"]) == Path("runs/a-vs-b.html")
    assert len(default_output(Path("runs"), ["x" * 80] * 5).name) < 130
