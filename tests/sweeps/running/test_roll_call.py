import os
import threading
from pathlib import Path

from sweeps.running.roll_call import RollCall


def test_nobody_begins_before_the_last_one_is_there(tmp_path: Path) -> None:
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


def test_one_that_died_on_the_way_is_not_waited_for_without_end(tmp_path: Path) -> None:
    RollCall(folder=tmp_path, expected=2, limit_seconds=0.1).answer()
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]
