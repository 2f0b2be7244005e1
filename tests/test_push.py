"""A machine is lost in the middle of a sweep, and another continues it from a bucket; through the command line."""

import time
from pathlib import Path

import pytest

from digits_core.runs.run import Run
from tests.helpers.drivers import SWEEP, digits, epochs_told, killed_after
from tests.helpers.sweeps import outcomes


@pytest.mark.slow
def test_another_machine_continues_what_a_lost_one_began(s3_url: str, tmp_path: Path) -> None:
    asked = [*SWEEP, "--max-epochs", "60"]
    digits(*asked, "--name", "x", "--runs", tmp_path / "whole")
    killed_after(150, tmp_path / "lost" / "x", *asked, "--name", "x", "--runs", tmp_path / "lost", "--push", s3_url)
    ended = len(Run(tmp_path / "lost" / "x").records)
    assert 0 < ended < 6
    digits("pull", f"{s3_url}/x", "--runs", tmp_path / "other")
    resume = ["resume", "x", "--runs", tmp_path / "other", "--push", s3_url]
    assert "'x' is in use at" in digits(*resume, expected=2)
    digits(*resume, "--take-over")
    assert outcomes(Run(tmp_path / "other" / "x")) == outcomes(Run(tmp_path / "whole" / "x"))
    assert epochs_told(tmp_path / "other" / "x") <= epochs_told(tmp_path / "whole" / "x") + 120
    time.sleep(1.0)  # the killed driver's workers notice
    refused = digits("push", "x", s3_url, "--runs", tmp_path / "lost", expected=2)
    assert f"'x' has changed at {s3_url}: " in refused
    assert "journal.jsonl" in refused
    digits("pull", f"{s3_url}/x", "--runs", tmp_path / "third")
    assert outcomes(Run(tmp_path / "third" / "x")) == outcomes(Run(tmp_path / "whole" / "x"))
