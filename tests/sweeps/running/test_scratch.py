import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.running.scratch import LOCK, PREFIX, scratch_folder
from tests.helpers.paths import ROOT

HOLDER = """
import sys, time
from sweeps.running.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "socket").write_text("")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.running.scratch._parent", lambda: tmp_path)


def test_the_folder_goes_with_its_owner(tmp_path: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == tmp_path
        assert (folder / LOCK).is_file()
        (folder / "file").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_folders_in_use_and_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}without-a-lock").mkdir()
    (tmp_path / f"{PREFIX}a-file").write_text("")
    (tmp_path / f"{PREFIX}with-another-lock").mkdir()
    (tmp_path / f"{PREFIX}with-another-lock" / LOCK).write_text("mine")
    with scratch_folder() as first, scratch_folder() as second:
        assert first != second
        assert first.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{PREFIX}a-file",
        f"{PREFIX}with-another-lock",
        f"{PREFIX}without-a-lock",
    ]


def test_what_a_killed_process_left_is_removed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout is not None
        left = Path(holder.stdout.readline().strip())
        monkeypatch.setattr("sweeps.running.scratch._parent", lambda: left.parent)
        with scratch_folder():
            assert left.is_dir()
        holder.send_signal(signal.SIGKILL)
    assert (left / "socket").is_file()
    with scratch_folder():
        assert not left.exists()
