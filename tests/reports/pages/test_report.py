import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from digits_core.data.digits import Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.ensembling import build_ensemble
from digits_core.recipe import Recipe
from digits_core.records import RunSummary, SearchPlan
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from reports.charts.plotly_library import PlotlyMode
from reports.pages.report import cell_strength, render, write_report
from reports.rows.tables import collect
from sweeps.finishing.insight import keep_inside
from tests.helpers.pages import Page
from tests.helpers.runs import HOSTILE, opened_for, reread, train_into


def test_page_is_one_file_without_network(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    html = write_report(sweep_store).read_text()
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#")), (tag, name, value)
    styles = html[html.index("<style>") : html.rindex("</style>")]
    assert not re.search(r"@import|url\((?!\"data:image/png;base64,)", styles)
    packed = base64.b64decode(page.script("plotly-packed"))
    assert gzip.decompress(packed).decode() == get_plotlyjs()
    assert len(html) < 3_000_000


def test_every_script_is_allowed_by_its_hash(sweep_store: Run) -> None:
    page = Page(render(collect(sweep_store)))
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    running = [source for source, kind in zip(page.scripts, kinds, strict=True) if kind is None]
    assert len(running) == 1
    for source in (*running, get_plotlyjs()):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_page_shows_the_rows(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    data = collect(sweep_store)
    page = Page(render(data))
    pictures = [a for tag, a in page.tags if tag == "span" and a.get("class") == "digit"]
    against = data.ensemble and data.ensemble.against_single
    assert against
    shown = sum(min(len(view.mistakes), 24) for view in data.answered.featured)
    at_a_glance = min(len(data.answered.featured[1].mistakes), 8)
    assert len(pictures) == at_a_glance + shown + len(against.rescued) + len(against.broken)
    text = " ".join(page.text.split())
    for row in data.leaderboard:
        assert row.standing is not None
        assert f"{row.standing.rank} {row.standing.ranks[0]}\u2013{row.standing.ranks[1]}" in text
    for view in data.answered.featured:
        assert f"{view.title}, {view.part}, n = 359" in text
    assert "The sealed test set was opened 1 time." in text
    assert "the other way round (p" in text
    assert data.ensemble is not None
    doubles = [pair.double_fault for pair in data.ensemble.pairs]
    assert f"both are wrong on {100 * sum(doubles) / len(doubles):.2f} %" in text.replace("\u202f", " ")
    rows = [a["id"] for tag, a in page.tags if tag == "tr" and a.get("id")]
    assert rows == [f"trial={row.record.trial}" for row in data.leaderboard]
    figures = json.loads(page.script("digits-figures"))
    assert {"history", "lanes", "rungs", "curves", "accuracy", "calibration", "cost", "disagreement"} <= set(figures)
    assert all(figure["data"] for figure in figures.values())
    drawn = {a["data-figure"] for _, a in page.tags if a.get("data-figure")}
    assert {f"figure-{name}" for name in figures if not name.startswith("slice-")} == {
        n for n in drawn if n != "slice-0"
    }


def test_the_order_of_the_page(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    keep_inside(sweep_store)
    page = Page(render(collect(sweep_store)))
    headings = [a["id"] for tag, a in page.tags if tag == "h2" and a["id"] != "keys-title"]
    assert headings == [
        "overview", "leaderboard", "ensemble", "confusion", "mistakes", "search", "curves", "classes", "cost",
        "inside", "dataset", "method",
    ]  # fmt: skip
    links = [a["href"] for tag, a in page.tags if tag == "a" and (a.get("href") or "").startswith("#")]
    anchors = {f"#{a['id']}" for _, a in page.tags if a.get("id")}
    assert set(links) <= anchors


@pytest.mark.parametrize("mode", ["directory", "cdn"])
def test_plotly_may_be_outside_the_page(sweep_store: Run, tmp_path: Path, mode: PlotlyMode) -> None:
    path = write_report(sweep_store, tmp_path / mode / "page.html", mode)
    page = Page(path.read_text())
    (source,) = [a for tag, a in page.tags if tag == "script" and a.get("src")]
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert len(path.read_text()) < 500_000
    if mode == "directory":
        assert source["src"] == "plotly.min.js"
        assert (path.parent / "plotly.min.js").read_text() == get_plotlyjs()
        assert "script-src 'self' file: 'sha256-" in policy
    else:
        assert source["src"] == f"https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js"
        digest = base64.b64encode(hashlib.sha256(get_plotlyjs().encode()).digest()).decode()
        assert source["integrity"] == f"sha256-{digest}"
        assert "script-src https://cdn.plot.ly 'sha256-" in policy
        assert sorted(file.name for file in path.parent.iterdir()) == ["page.html"]


def test_page_shows_significance_and_selection_bias(sweep_store: Run, split: Split) -> None:
    data = collect(reread(sweep_store))
    assert data.board is not None
    text = " ".join(Page(render(data)).text.split())
    assert f"Ranked by validation NLL on n = {data.board.n}" in text
    assert data.board.selected is not None
    assert f"{100 * data.board.selected.accuracy:.1f} % corrected for being picked as the best of 4" in text
    for row in data.board.rows[1:]:
        assert row.to_leader is not None
        assert row.to_leader.verdict in text

    confirmed = RunWriter.create(
        sweep_store.folder, replace(reread(sweep_store).header, name="confirmed", kind="confirmation"), split
    )
    second = reread(sweep_store).ranked[1]
    for trial, seed in enumerate((50, 51)):
        recipe = second.recipe.with_overrides({"training.seed": seed})
        train_into(confirmed, split, trial, recipe, 3, f"trial {second.trial}")
    confirmed = opened_for(confirmed, reread(confirmed).ranked, "confirmation")
    data = collect(reread(sweep_store))
    text = " ".join(Page(render(data)).text.split())
    assert f"Leader, trial {second.trial}, 2 seeds" in text
    assert "with 2 fresh seeds." in text
    assert "corrected for being picked" not in text  # fresh seeds make the correction unnecessary
    assert "digits replay tiny --runs" in text  # without a number: the leader's network, on a fresh seed
    assert data.answered.featured[0].title == f"Leader (trial {second.trial}), first of 2 fresh seeds"
    assert "The sealed test set was opened 1 time." in text


def test_hostile_strings_stay_text(hostile_store: Run) -> None:
    page = Page(render(collect(reread(hostile_store))))
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.text.count(HOSTILE) >= 7  # title, heading, space twice, hardware, versions, the failed trial


def test_page_names_the_search_and_the_scheduler(sweep_store: Run) -> None:
    data = collect(sweep_store)
    assert "the recipes were given; at most 3 epochs" in Page(render(data)).text
    plan = SearchPlan(search="nsga2", scheduler="median", space={}, base=Recipe(), first=())
    page = Page(render(replace(data, header=replace(data.header, plan=plan))))
    assert "sampled by nsga2 (Optuna), seed 0; scheduler: median; at most 3 epochs" in page.text


def test_one_trial_is_enough_for_a_page(sweep_store: Run) -> None:
    for trial in (1, 2, 3, 4):
        (sweep_store.trial(trial).folder / "record.json").unlink()
    assert "Leader (trial 0), validation" in render(collect(sweep_store))


def test_output_that_cannot_be_written(sweep_store: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="write it elsewhere with"):
        write_report(sweep_store, tmp_path / "file" / "report.html")
    assert write_report(sweep_store, tmp_path / "new" / "a.html").is_file()


@pytest.mark.parametrize("name", ["sweep.json", "page", "leaderboard.csv", "folder.html"])
def test_only_a_page_is_ever_overwritten(sweep_store: Run, name: str) -> None:
    (sweep_store.folder / "folder.html").mkdir()
    before = {path: path.read_bytes() for path in sweep_store.folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="--output"):
        write_report(sweep_store, sweep_store.folder / name)
    assert {path: path.read_bytes() for path in sweep_store.folder.rglob("*") if path.is_file()} == before


def test_a_link_is_followed_not_replaced(sweep_store: Run, tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "target.html")
    assert write_report(sweep_store, tmp_path / "link.html") == tmp_path / "target.html"
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "target.html").stat().st_size > 1_000_000


def test_page_says_if_the_sweep_was_interrupted(sweep_store: Run) -> None:
    assert "(still running, or killed)" in Page(render(collect(reread(sweep_store)))).text
    for interrupted in (True, False):
        RunWriter(sweep_store.folder).write_summary(
            RunSummary(seconds=1.0, training_share=0.5, interrupted=interrupted)
        )
        text = Page(render(collect(reread(sweep_store)))).text
        assert "still running" not in text
        assert ("(interrupted)" in text) is interrupted


def test_cell_colour_is_logarithmic() -> None:
    assert cell_strength(0, 100) == 0.0
    assert cell_strength(100, 100) == pytest.approx(1.0)
    assert cell_strength(1, 1000) > 0.2
    assert cell_strength(1, 0) == 0.0
