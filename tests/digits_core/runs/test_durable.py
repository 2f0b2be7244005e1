import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure
from digits_core.records import RunHeader
from digits_core.runs.durable import read_array, read_json, write_atomically
from digits_core.runs.journal import Journal, read_journal
from digits_core.runs.ledger import append_to_ledger, read_ledger
from digits_core.runs.ownership import is_running, sole_driver
from tests.helpers.paths import ROOT

USES: list[tuple[str, Callable[[Path], object]]] = [
    ("driver.lock", lambda folder: sole_driver(folder).__enter__()),
    ("driver.lock", is_running),
    ("ledger.jsonl", lambda folder: append_to_ledger(folder, "x", (0,), "")),
    ("ledger.jsonl", lambda folder: read_ledger(folder, [])),
    ("journal.jsonl", Journal),
    ("journal.jsonl", read_journal),
    ("sweep.json", lambda folder: read_json(folder / "sweep.json", RunHeader)),
    ("test.npy", lambda folder: read_array(folder / "test.npy")),
]


@pytest.mark.parametrize("make", ["link", "dangling", "pipe", "device"])
@pytest.mark.parametrize(("name", "use"), USES)
def test_a_run_one_was_sent_leads_nowhere_else(
    tmp_path: Path, name: str, use: Callable[[Path], object], make: str
) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_text("precious")
    if make == "pipe":
        os.mkfifo(folder / name)
    else:
        target = {"link": elsewhere, "dangling": tmp_path / "new", "device": Path("/dev/zero")}[make]
        (folder / name).symlink_to(target)
    with pytest.raises(EnvironmentFailure, match=f"{name} is not a regular file"):
        use(folder)
    assert elsewhere.read_text() == "precious"
    assert not (tmp_path / "new").exists()


def test_what_a_killed_process_left_is_removed_by_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("digits_core.runs.durable.SECONDS_TO_LOCK", 0.0)
    left, in_use, other = (
        tmp_path / name for name in (".report.html.abc.digits-part", ".report.html.def.digits-part", ".report.html.swp")
    )
    for path in (left, in_use, other):
        path.write_bytes(b"half")
    with in_use.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        write_atomically(tmp_path / "report.html", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".report.html.def.digits-part", ".report.html.swp", "report.html",
    ]  # fmt: skip


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664), (0o022, 0o644)])
def test_files_have_the_permissions_that_the_user_asked_for(tmp_path: Path, umask: int, mode: int) -> None:
    code = (
        "import sys; from pathlib import Path; from digits_core.runs.durable import write_atomically;"
        "write_atomically(Path(sys.argv[1]), b'x')"
    )
    path = tmp_path / "file"
    subprocess.run([sys.executable, "-c", code, path], check=True, cwd=ROOT, umask=umask)
    assert path.stat().st_mode & 0o777 == mode
    write_atomically(path, b"y")
    assert path.read_bytes() == b"y"
