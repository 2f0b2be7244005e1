"""The main workflow on real images: sweep -> ensemble -> report, through the command line."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from digits_core.runs.run import Run
from reports.rows.tables import collect
from sweeps.signals import STOP_SIGNALS, restored_handlers
from sweeps.space.known_good import default_recipe
from sweeps.space.spaces import Choice, Float, Space
from tests.helpers.pages import Page
from tests.helpers.processes import children_of


def run_json(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    document: dict[str, object] = json.loads(result.stdout)
    return document


@pytest.mark.usefixtures("ray_session")
def test_sweep_ensemble_report(tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    sweep = run_json("sweep", "--trials", "5", "--max-epochs", "3", "--name", "small", "--runs", runs)
    assert sum(sweep["trials"].values()) == 5  # type: ignore[attr-defined]
    assert sweep["trials"]["failed"] == 0  # type: ignore[index]
    assert 0 < sweep["training_share"] < 1  # type: ignore[operator]
    best = sweep["best"]
    assert (best["validation"]["n"], best["test"]["n"]) == (360, 359)  # type: ignore[index]
    assert best["test"]["accuracy"] > 0.85  # type: ignore[index]

    best_file = tmp_path / "runs" / "small" / "best_parameters.json"
    again = run_json("train", str(best_file), "--epochs", "1", "--name", "again", "--runs", str(tmp_path / "other"))
    assert again["recipe_name"] == f"small, trial {best['trial']}"  # type: ignore[index]
    assert again["recipe"]["model"] == best["recipe"]["model"]  # type: ignore[index]

    ensemble = run_json("ensemble", "--top", "3", "--runs", runs)
    assert ensemble["sweep"] == "small"
    assert ensemble["best_single"]["trial"] == best["trial"]  # type: ignore[index]
    assert ensemble["best_single"]["test"] == best["test"]  # type: ignore[index]
    assert ensemble["test_openings"] == 2

    report = run_json("report", "--runs", runs)
    assert report["report"] == sweep["report"] == ensemble["report"]
    html = Path(str(report["report"])).read_text()
    page = Page(html)
    data = collect(Run.open(tmp_path / "runs", "small"))
    assert len(data.leaderboard) == 5
    rows = [attributes["id"] for tag, attributes in page.tags if tag == "tr" and "id" in attributes]
    assert rows == [f"trial={row.record.trial}" for row in data.leaderboard]
    assert page.text.count("missed by ") == sum(
        min(24, view.result.score.error_count) for view in data.answered.featured
    )
    assert data.inside is not None  # made at the end of the sweep
    assert "Inside the model" in page.text
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert not (attributes.get(name) or "").startswith(("http", "//"))


@pytest.mark.usefixtures("in_this_process")
def test_compare_through_the_command_line(tmp_path: Path) -> None:
    document = run_json(
        "compare", "improved-net", "--vary", "training.batch_size=32,64", "--seeds", "2", "--epochs", "1",
        "--dataset", "sklearn-digits", "--name", "batches", "--runs", str(tmp_path),
    )  # fmt: skip
    (comparison,) = document["comparisons"]  # type: ignore[misc]
    assert comparison["trials"] == {"finished": 4, "stopped": 0, "failed": 0}
    assert comparison["test_openings"] == 1
    assert {row["label"] for row in comparison["rows"]} == {
        "improved-net, training.batch_size=32",
        "improved-net, training.batch_size=64",
    }
    assert all(len(row["test"]["error_counts"]) == 2 for row in comparison["rows"])
    page = Page(Path(comparison["report"]).read_text())
    assert ("h2", "comparison") in [(tag, attributes.get("id")) for tag, attributes in page.tags]


@pytest.mark.usefixtures("in_this_process")
def test_lines_printed_for_people(tmp_path: Path) -> None:
    runs = tmp_path / "my runs"
    arguments = ["sweep", "--trials", "3", "--max-epochs", "2", "--name", "seen", "--runs", str(runs)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    labels = [line[:14].strip() for line in result.stdout.splitlines()]
    assert labels == ["leader", "validation", "sealed test", "trials", "folder", "report", "next"]
    assert f"next           digits ensemble --top 5 --sweep seen --runs '{runs}'" in result.stdout
    assert "3 of 3 trials" in result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert again.stderr == f"error: there is already a run 'seen' in {runs}; choose another --name\n"


@pytest.mark.usefixtures("in_this_process")
def test_a_sweep_in_which_all_trials_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing in this space trains: plain SGD with a learning rate of 100 really diverges.
    hopeless: Space = {
        "optimizer.name": Choice(options=("sgd",)),
        "optimizer.learning_rate": Float(low=100.0, high=100.0),
    }
    start = default_recipe("cpu", 8, 30).with_overrides({"optimizer.name": "sgd", "optimizer.learning_rate": 100.0})
    monkeypatch.setattr("sweeps.plans.planning.default_space", lambda device_type, side: ("hopeless", hopeless))
    monkeypatch.setattr("sweeps.plans.planning.default_recipe", lambda device_type, side, epochs: start)
    result = CliRunner().invoke(app, ["sweep", "--trials", "2", "--runs", str(tmp_path), "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["trials"] == {"finished": 0, "stopped": 0, "failed": 2}
    assert (document["best"], document["report"]) == (None, None)
    assert "error: all 2 trials failed; the last one: " in result.stderr
    assert "Diverged" in result.stderr


@pytest.mark.mnist
def test_a_training_run_on_real_mnist(mnist_runs: Path) -> None:
    document = json.loads((mnist_runs / "document.json").read_text())
    assert (document["validation"]["n"], document["test"]["n"]) == (5_000, 10_000)
    assert document["test"]["accuracy"] > 0.98


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_sweep_on_real_mnist(tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    sweep = run_json("sweep", "--dataset", "mnist", "--trials", "2", "--max-epochs", "1", "--runs", runs)
    best = sweep["best"]
    assert (best["validation"]["n"], best["test"]["n"]) == (5_000, 10_000)  # type: ignore[index]
    assert best["test"]["accuracy"] > 0.98  # type: ignore[index]


@contextlib.contextmanager
def long_sweep(runs: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep in its own process group, with three finished trials and hundreds to go.

    A torch.py lies in its working folder, which workers must not take for theirs.
    """
    (runs / "torch.py").write_text("raise ImportError")
    digits = Path(sys.executable).with_name("digits")
    size = ["--trials", "500", "--max-epochs", "1", "--concurrency", "1"]
    arguments = [digits, "sweep", *size, "--name", "cut", "--runs", runs, "--json"]
    with restored_handlers():
        for stop in STOP_SIGNALS:  # under nohup, the ignored SIGHUP would be inherited
            signal.signal(stop, signal.SIG_DFL)
        process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=runs,
        )  # fmt: skip
    with process:
        deadline = time.monotonic() + 120
        while len(list(runs.glob("cut/trials/*/record.json"))) < 3:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process


def test_ctrl_c_keeps_finished_trials(tmp_path: Path) -> None:
    with long_sweep(tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does; other signals: tests/sweeps/test_signals.py
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    document = json.loads(out)
    kept = Run.open(tmp_path, "cut").records
    assert document["interrupted"] is True
    assert sum(document["trials"].values()) == len(kept) >= 3
    assert document["best"]["test"] is None
    assert "failed" not in err
    assert Path(document["report"]).is_file()
    assert Run.open(tmp_path).ledger == ()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds Ray's process through /proc")
def test_if_ray_dies_the_error_is_one_line_and_finished_trials_are_kept(tmp_path: Path) -> None:
    with long_sweep(tmp_path) as process:
        (raylet,) = (pid for pid in children_of(process.pid) if "raylet" in Path(f"/proc/{pid}/comm").read_text())
        os.kill(raylet, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    document = json.loads(out)  # with no output of Ray's beside it
    kept = Run.open(tmp_path, "cut").records
    assert process.returncode == 1
    assert err.splitlines()[-1] == f"error: Ray's raylet died; {len(kept)} of 500 trials are kept"
    assert document["trials"]["failed"] == 0
    assert Path(document["report"]).is_file()


@pytest.mark.slow
def test_a_limit_on_threads_is_kept(tmp_path: Path) -> None:
    """OpenMP used to wait for ever, beyond Ctrl-C and SIGTERM."""
    done = subprocess.run(
        [Path(sys.executable).with_name("digits"), "train", "lenet", "--dataset", "sklearn-digits", "--folds", "0",
         "--epochs", "1", "--name", "a", "--runs", str(tmp_path)],
        env={**os.environ, "OMP_THREAD_LIMIT": "1"}, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "report.html" in done.stdout
    (record,) = Run.open(tmp_path, "a").records
    assert record.thread_count == 1
