import subprocess
import sys
from pathlib import Path

from sweeps.running.time_limit import TimeLimit

HANG = """
import sys, time, pathlib
from sweeps.running.time_limit import TimeLimit
limit = TimeLimit(pathlib.Path(sys.argv[1]), 1.0)
for seconds in (0.4, 0.4, 60.0):  # in all too long
    with limit:
        time.sleep(seconds)
"""


def test_a_process_that_takes_too_long_ends_and_says_where_it_stood(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    ended = subprocess.run([sys.executable, "-c", HANG, str(note)], timeout=50, check=False)
    assert ended.returncode == 1
    assert "Timeout" in note.read_text()
    assert "line 7" in note.read_text()


def test_nothing_is_armed_outside_or_without_a_limit(tmp_path: Path) -> None:
    with TimeLimit(tmp_path / "none", None):
        pass
    assert not (tmp_path / "none").exists()
    limit = TimeLimit(tmp_path / "some", 60.0)
    with limit:
        pass
    limit.close()
    assert limit.spent < 60.0
    assert (tmp_path / "some").read_text() == ""
