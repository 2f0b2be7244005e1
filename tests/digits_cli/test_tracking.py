"""`digits track` through the command line. What arrives where: tests/digits_core/tracking."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from tests.helpers.command_line import run


def test_a_run_is_sent_once_with_its_page(sweep_store: Run, tmp_path: Path) -> None:
    place = ("--runs", str(sweep_store.folder.parent))
    code, out, _ = run("track", "tiny", *place, "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["entries"], document["sent"], document["is_over"]) == (6, 6, True)
    assert document["at"] == str(sweep_store.folder.parent / "tracked" / "tensorboard")
    assert (sweep_store.folder / "report.html").exists()
    _, out, _ = run("track", "tiny", *place)
    assert "0 of 6 entries; the rest was there" in out
    assert out.splitlines()[-1].startswith("next")


def test_a_run_that_grows_is_followed_to_its_end(
    sweep_store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, kept_back, seen = sweep_store.folder / "trials/00003", tmp_path / "00003", []
    late.rename(kept_back)
    with ExitStack() as driver:
        driver.enter_context(sole_driver(sweep_store.folder))

        def meanwhile(_: float) -> None:
            seen.append(len(list((tmp_path / "tb/tiny").glob("trial *"))))
            if kept_back.exists():
                kept_back.rename(late)
            else:
                driver.close()

        monkeypatch.setattr("digits_cli.moving.time.sleep", meanwhile)
        place = ("--runs", str(sweep_store.folder.parent), "--at", str(tmp_path / "tb"))
        document = json.loads(run("track", "tiny", *place, "--follow", "--json")[1])
    assert seen == [4, 5]
    assert (document["entries"], document["is_over"]) == (6, True)
    assert document["sent"] == 6  # the run itself twice: at the beginning and, with its page, at the end


def test_bad_input_is_one_line(sweep_store: Run, tmp_path: Path) -> None:
    place = ("--runs", str(sweep_store.folder.parent))
    code, _, err = run("track", "absent", *place)
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = run("track", "tiny", "--at", "/proc/none", *place)
    assert (code, err.count("\n")) == (1, 1)
    assert "name another folder with --at" in err


def test_mlflow_needs_an_address(sweep_store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code, _, err = run("track", "tiny", "--to", "mlflow", "--runs", str(sweep_store.folder.parent))
    assert (code, err) == (2, "error: say where MLflow is: --at http://127.0.0.1:5000, or set MLFLOW_TRACKING_URI\n")
