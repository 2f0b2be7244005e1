import json
from pathlib import Path

import pandas as pd
import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.ensembling import build_ensemble
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from reports.pages.report import write_report
from reports.rows.document import SCHEMA, fields_document, is_report, read_report, report_document
from reports.rows.search import Dimension
from reports.rows.tables import collect
from tests.helpers.runs import reread

SCHEMA_TEXT = (Path(__file__).parents[3] / "docs" / "report-data.md").read_text()


def test_the_document_is_read_back_unchanged(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    data = collect(sweep_store)
    document = read_report(write_report(sweep_store))
    assert document == json.loads(json.dumps(report_document(data)))
    assert document["schema"] == SCHEMA
    assert document["leaderboard"] == json.loads(json.dumps(data.board_document))
    frame = pd.DataFrame(document["trials"])
    stored = pd.read_csv(sweep_store.folder / "leaderboard.csv")
    assert list(frame.columns) == list(stored.columns)
    assert list(frame["trial"]) == list(stored["trial"])
    assert frame["validation_nll"].tolist() == pytest.approx(stored["validation_nll"].tolist(), abs=1e-6)


def test_views_refer_to_their_images(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    data = collect(sweep_store)
    document = report_document(data)
    images = document["images"]
    for view, told in zip(data.answered.views, document["views"], strict=True):
        assert sum(count for _, _, count in told["confusion"]) == told["n"]
        assert sum(count for row, column, count in told["confusion"] if row != column) == told["error_count"]
        assert [images["index"][mistake[0]] for mistake in told["mistakes"]] == view.mistakes.images.tolist()
        for mistake in told["mistakes"]:
            assert images["label"][mistake[0]] != mistake[2]
            assert mistake[3] >= mistake[5] >= mistake[7]
    shown = [place for place in images["place"] if place is not None]
    assert sorted(shown) == list(range(len(shown)))


def test_every_key_is_documented(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    document = report_document(collect(sweep_store))
    for name, part in document.items():
        assert f"`{name}`" in SCHEMA_TEXT
        inner = part[0] if name in ("views", "failures") else part
        if isinstance(inner, dict) and name not in ("curves", "trials", "ensemble", "leaderboard", "defaults"):
            for key in inner:
                assert f"`{key}`" in SCHEMA_TEXT, (name, key)


def test_the_searched_fields_come_with_the_nll_in_leaderboard_order(sweep_store: Run) -> None:
    data = collect(sweep_store)
    count = len(data.leaderboard)
    values = [None, *range(1, count)]
    field = Dimension(name="optimizer.momentum", numeric=True, log=False, values=tuple(values))
    first, last = fields_document(data, [field])
    assert (first["name"], first["values"]) == ("optimizer.momentum", values)
    assert last["name"] == "validation_nll"
    assert last["values"] == [row.record.nll for row in data.leaderboard]
    assert len(fields_document(data, [field] * 20)) == 9
    assert fields_document(data, []) == []


def test_commands_end_in_the_number_that_a_trial_puts_there(sweep_store: Run) -> None:
    commands = report_document(collect(sweep_store))["commands"]
    runs = sweep_store.folder.parent
    assert commands == {
        "replay": f"digits replay tiny --runs {runs} --trial 0",
        "export": f"digits export --runs {runs} --model tiny/0",
        "confirm": f"digits confirm --sweep tiny --runs {runs} --top 0",
    }


def test_only_trials_that_kept_their_weights_are_offered_for_export(sweep_store: Run) -> None:
    assert report_document(collect(sweep_store))["exportable"] == [record.trial for record in sweep_store.ranked]
    RunWriter(sweep_store.folder).trial(2).drop_weights()
    assert sorted(report_document(collect(reread(sweep_store)))["exportable"]) == [0, 1, 3]


def test_a_damaged_or_foreign_page_is_refused(sweep_store: Run, tmp_path: Path) -> None:
    page = write_report(sweep_store, tmp_path / "page.html")
    content = page.read_text()
    start = content.index('id="digits-data">')
    start_of_data = '<script type="application/json" id="digits-data">'
    for cut, said in (
        (len(content) // 2, "is truncated"), (start + 500, "is truncated"), (start - 40, "is truncated"),
        (len(content) - 30, "is truncated"), (20, "is not a `digits report`"), (0, "is not a `digits report`"),
    ):  # fmt: skip
        page.write_text(content[:cut])
        with pytest.raises(UsageError, match=said):
            read_report(page)
    for old, new, said in (
        ('"schema":"digits-report/1"', '"schema":"digits-report/9"', "made by another version"),
        ('"schema":"digits-report/1",', "", "is damaged"),
        ('"rows":[', '"rows":', "is damaged"),
    ):
        page.write_text(content.replace(old, new, 1))
        with pytest.raises(UsageError, match=said):
            read_report(page)
    page.write_text("<title>digits report</title></html>")
    with pytest.raises(UsageError, match="shows several runs"):
        read_report(page)
    for rows in ("[]", "[5]"):
        page.write_text(start_of_data + f'{{"schema":"{SCHEMA}","leaderboard":{{"rows":{rows}}}}}</script></html>')
        with pytest.raises(UsageError, match="is damaged"):
            read_report(page)
    page.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not text"):
        read_report(page)
    with pytest.raises(UsageError, match="there is no file"):
        read_report(tmp_path / "gone.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(EnvironmentFailure, match="cannot read"):
        read_report(tmp_path / "folder.html")


def test_an_html_name_means_a_page() -> None:
    assert is_report("runs/a/report.HTML")
    assert not is_report("first")
