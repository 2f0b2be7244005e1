"""Runs that are really killed, and resumed with `digits resume`, through the command line.

Cuts at many moments: tests/sweeps/running/test_runner.py, without Ray.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from digits_core.runs.run import Run
from tests.helpers.drivers import DIGITS, SWEEP, digits, epochs_told, killed_after
from tests.helpers.sweeps import outcomes


@pytest.mark.usefixtures("in_this_process")
def test_a_sweep_that_is_killed_and_resumed_equals_an_undisturbed_one(tmp_path: Path) -> None:
    asked = [*SWEEP, "--trials", "3", "--max-epochs", "5", "--concurrency", "1"]
    here = CliRunner().invoke(app, [*asked, "--name", "undisturbed", "--runs", str(tmp_path)])
    assert here.exit_code == 0, here.stderr
    cut = tmp_path / "cut"
    killed_after(7, cut, *asked, "--name", "cut", "--runs", tmp_path)
    finished_before = outcomes(Run(cut))
    (tmp_path / "moved").mkdir()
    cut.rename(tmp_path / "moved" / "cut")
    again = CliRunner().invoke(app, ["resume", "cut", "--runs", str(tmp_path / "moved")])
    assert "3 of 3 trials" in again.stderr

    resumed = Run(tmp_path / "moved" / "cut")
    assert outcomes(resumed) == outcomes(Run(tmp_path / "undisturbed"))
    assert finished_before.items() <= outcomes(resumed).items()
    summary = resumed.summary
    assert summary is not None
    assert not summary.interrupted
    assert len(resumed.ledger) == 1


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.slow
def test_an_interrupted_comparison_resumes(tmp_path: Path) -> None:
    asked = ["lenet", "improved-net", "--dataset", "sklearn-digits", "--seeds", "2", "--epochs", "6"]
    here = CliRunner().invoke(app, ["compare", *asked, "--name", "undisturbed", "--runs", str(tmp_path)])
    assert here.exit_code == 0, here.stderr
    killed_after(8, tmp_path / "cut", "compare", *asked, "--name", "cut", "--runs", tmp_path)
    digits("resume", "cut", "--runs", tmp_path)
    assert outcomes(Run(tmp_path / "cut")) == outcomes(Run(tmp_path / "undisturbed"))
    assert len(Run(tmp_path / "cut").ledger) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate file system of 12 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "digits-test", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
def test_a_full_disk_stops_the_sweep_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(11_500_000))  # a megabyte is left: less than six trials take
    said = digits(*SWEEP, "--name", "full", "--runs", small_disk, "--keep", "99", expected=1)
    last = said.splitlines()[-1]
    assert last.startswith(f"error: cannot write to {small_disk / 'full'}: No space left on device; ")
    kept = outcomes(Run(small_disk / "full"))
    assert f"{len(kept)} of 6 trials are kept" in last
    assert all(status == "finished" for status, *_ in kept.values())

    ballast.unlink()
    digits("resume", "full", "--runs", small_disk)
    run = Run(small_disk / "full")
    assert sorted(outcomes(run)) == list(range(6))
    assert kept.items() <= outcomes(run).items()
    assert all(record.status == "finished" for record in run.records)


@pytest.mark.slow
def test_second_drivers_and_hostile_names_are_refused_but_a_killed_driver_does_not_count(tmp_path: Path) -> None:
    environment = {**os.environ, "DIGITS_RUNS": str(tmp_path)}
    with subprocess.Popen(
        [DIGITS, *SWEEP, "--name", "held"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        deadline = time.monotonic() + 120
        while epochs_told(tmp_path / "held") < 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        refused = digits("resume", "held", "--runs", tmp_path, expected=2)
        assert refused.startswith(f"error: 'held' is running: process {process.pid} on ")
        process.kill()
    for name in ("../held", "held/..", "", "a\nb", "--help me", ".held"):
        result = CliRunner().invoke(app, ["resume", "--runs", str(tmp_path), "--", name])
        assert (result.exit_code, "cannot be a run's name" in result.stderr) == (2, True)
    result = CliRunner().invoke(app, ["resume", "hled", "--runs", str(tmp_path)])
    assert (result.exit_code, "did you mean 'held'" in result.stderr) == (2, True)

    ended = subprocess.run(
        [DIGITS, "resume", "held", "--runs", str(tmp_path), "--json"], capture_output=True, text=True, check=True
    )
    document = json.loads(ended.stdout)  # the same document as from `digits sweep`
    assert (document["sweep"], document["interrupted"]) == ("held", False)
    assert document["trials"] == {"finished": 6, "stopped": 0, "failed": 0}
    assert ended.stderr.startswith("resuming held: ")
