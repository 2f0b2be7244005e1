import os
import subprocess
import sys
import threading
from pathlib import Path

from sweeps.running.worker import RollCall, TimeLimit

HANG = """
import sys, time, pathlib
from sweeps.running.worker import TimeLimit
limit = TimeLimit(pathlib.Path(sys.argv[1]), 1.0)
for seconds in (0.4, 0.4, 60.0):  # too long in total
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


def test_no_worker_starts_before_the_last_one_is_present(tmp_path: Path) -> None:
    roll_call = RollCall(folder=tmp_path / "workers", expected=2)
    begun = threading.Event()

    def first() -> None:
        roll_call.answer()
        begun.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert not begun.wait(0.2)
    (tmp_path / "workers" / "another process").touch()
    thread.join()
    assert begun.is_set()


def test_a_worker_that_died_at_its_start_is_not_waited_for_without_end(tmp_path: Path) -> None:
    RollCall(folder=tmp_path, expected=2, limit_seconds=0.1).answer()
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]
