import subprocess
import sys
from pathlib import Path

import pytest

from digits_core.errors import UsageError
from digits_core.runs.ownership import check_free, is_running, sole_driver

HOLD = """
import sys, pathlib
from digits_core.runs.ownership import sole_driver
with sole_driver(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_has_one_driver_at_a_time(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    with sole_driver(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(UsageError, match="is running"), sole_driver(tmp_path):
            pass
    assert not is_running(tmp_path)
    with sole_driver(tmp_path):
        pass


def test_the_lock_of_a_killed_driver_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"process {holder.pid} on .* has held it since 20"):
            check_free(tmp_path)
        holder.kill()
    check_free(tmp_path)
    with sole_driver(tmp_path):
        pass


def test_a_lock_with_an_unreadable_owner_still_holds(tmp_path: Path) -> None:
    with sole_driver(tmp_path):
        (tmp_path / "driver.lock").write_text("{")
        with pytest.raises(UsageError, match="another process holds it"):
            check_free(tmp_path)
