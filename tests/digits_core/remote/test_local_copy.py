import fcntl
import shutil
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure
from digits_core.remote import local_copy
from tests.helpers.mirrors import Machine


def test_a_copy_of_a_local_copy_has_its_own_id(machine: Machine, tmp_path: Path) -> None:
    ours = machine("a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert machine("b").copy != ours.copy
    assert machine("a").copy == ours.copy


def test_a_busy_local_copy_is_waited_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_copy, "SECONDS_TO_WAIT", 0.1)
    ours = machine("a")
    with (ours.folder / ".mirror" / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentFailure, match="another command has been using the local copy"):
            ours.pull()
    ours.pull()
