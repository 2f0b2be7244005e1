"""docs/python.md, run as it stands; and what a notebook sees."""

import re
import shlex
from pathlib import Path

import pytest

from digits_cli.notebook import OpenRun, list_runs, open_run, sweep
from digits_core.errors import UsageError
from digits_core.judging.leaderboard import leaderboard
from digits_core.runs.run import Run
from tests.helpers.command_line import run as digits
from tests.helpers.runs import HOSTILE, reread, spoil

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_this_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, code in re.findall(r"```(python|sh)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        if language == "python":
            exec(compile(code, PAGE, "exec"), names)  # noqa: S102 - our own page
        else:
            status, _, err = digits(*shlex.split(code)[1:])
            assert (status, err) == (0, "")
    assert list_runs() == ["tried"]
    assert {path.name for path in tmp_path.glob("*.html")} == {"history.html", "judged.html"}
    assert "forest" in (tmp_path / "judged.html").read_text()
    assert 'id="ensemble"' in Path(str(names["page"])).read_text()
    printed = capsys.readouterr().out
    assert "validation_nll" in printed
    assert "uniform" in printed


def test_a_leaderboard_is_the_commands(sweep_store: Run) -> None:
    run = open_run("tiny", runs=sweep_store.folder.parent)
    frame, board = run.leaderboard(), leaderboard(sweep_store)
    assert frame["trial"].tolist() == [row.candidate.trial for row in board.rows]
    assert frame["verdict"].tolist() == [row.to_leader.verdict if row.to_leader else "leads" for row in board.rows]
    assert frame["error_count"].tolist() == [row.candidate.validation.error_counts[0] for row in board.rows]
    assert set(frame["model.name"]) == {"cnn", "mlp", "lenet"}


def test_predictions_and_curves_are_those_stored(sweep_store: Run) -> None:
    run = OpenRun(sweep_store)
    said = run.predictions(1)
    record = sweep_store.record(1)
    assert record.validation is not None
    assert int((said["prediction"] != said["label"]).sum()) == record.validation.error_count
    assert said["index"].tolist() == sweep_store.validation_indices.tolist()
    assert run.predictions().equals(run.predictions(sweep_store.ranked[0].trial))  # the leader's
    curves = run.curves()
    assert len(curves) == sum(len(one.curve) for one in sweep_store.records)
    assert curves[curves["trial"] == 1]["validation_nll"].min() == pytest.approx(record.nll)


def test_what_is_wrong_is_said(sweep_store: Run) -> None:
    with pytest.raises(UsageError, match="unknown part 'tests'; did you mean 'test'"):
        OpenRun(sweep_store).predictions(part="tests")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--trials must be between 1 and"):
        sweep(trials=1.5, name="q", runs=sweep_store.folder.parent)  # type: ignore[arg-type]
    (sweep_store.folder / "sweep.json").write_text("{")
    assert "cannot use" in OpenRun(reread(sweep_store))._repr_html_()


def test_an_unknown_chart_is_named_with_the_nearest(sweep_store: Run) -> None:
    run = OpenRun(sweep_store)
    assert "history" in run.figures()
    with pytest.raises(UsageError, match="did you mean 'history'"):
        run.figure("histori")


def test_what_a_notebook_shows_is_escaped(sweep_store: Run) -> None:
    spoil(sweep_store.folder / "sweep.json", dataset=HOSTILE)
    spoil(sweep_store.trial(1).folder / "record.json", label=HOSTILE)
    shown = OpenRun(reread(sweep_store))._repr_html_()
    assert "<img" not in shown
    assert "&lt;img" in shown
    assert "<table" in shown
