"""Odd surroundings: closed streams, names that are no text, files that hide modules, users without a name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from digits_core.runs.run import Run
from tests.helpers.paths import ROOT

NO_TEXT = os.fsdecode(b"f\xff\xfe")


def python(code: str, *, folder: Path = ROOT, **environment: str) -> str:
    """What this code prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_opened_to_nowhere(tmp_path: Path, closed: str) -> None:
    """Else the first file that a command opens becomes its stdout or stderr."""
    code = (
        "import os, sys; from digits_cli.entry import _open_closed_streams; _open_closed_streams();"
        f" opened = open({str(tmp_path / 'opened')!r}, 'w'); opened.write(str(opened.fileno())); opened.flush();"
        " print('out'); print('err', file=sys.stderr); sys.stdin.read()"
    )
    subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code], check=True, cwd=ROOT, input="",
        text=True, capture_output=True,
    )  # fmt: skip
    assert int((tmp_path / "opened").read_text()) > 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cli.py", "cli.py hides the 'cli' that digits needs; rename it, or take its folder off PYTHONPATH"),
        ("reports/__init__.py", "reports/__init__.py hides the 'reports' that digits needs; rename it,"),
        ("torch.py", "torch.py hides the package 'torch'; rename it, or take its folder off PYTHONPATH"),
        ("cli/README", "None"),  # a folder without code hides nothing
    ],
)
def test_a_file_that_hides_a_module_is_named(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("raise SystemExit('wrong module')")
    code = "from digits_cli.entry import hidden_module; print(hidden_module())"
    assert said in python(code, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}", PYTHONSAFEPATH="1")


def test_the_command_starts_where_its_modules_are_hidden_from_sight(tmp_path: Path) -> None:
    """Ends in one line, whatever else lies on PYTHONPATH; a relative data folder is meant from here."""
    (tmp_path / "cli.py").write_text("raise SystemExit('wrong module')")
    done = subprocess.run(
        [Path(sys.executable).with_name("digits"), "ls"], env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {tmp_path / 'cli.py'} hides the 'cli' that digits needs; rename it, or take its folder off"
        " PYTHONPATH\n"
    )
    shown = "lambda: print(os.environ['DIGITS_DATA_DIR'])"
    code = f"import os, cli; from digits_cli import entry; cli.app = {shown}; entry.main()"
    folder = python(code, folder=tmp_path, DIGITS_DATA_DIR="data", PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1")
    assert folder == str(tmp_path / "data")
    (tmp_path / "gone").mkdir()
    gone = "import os; os.rmdir(os.getcwd()); " + code
    folder = python(gone, folder=tmp_path / "gone", DIGITS_DATA_DIR="data", PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1")
    assert folder == "data"  # nothing better can be meant


def test_a_package_that_hides_another_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").touch()
    done = subprocess.run(
        [Path(sys.executable).with_name("digits"), "ls", "--runs", tmp_path], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: cannot import rich.")
    assert line.endswith("something on PYTHONPATH may hide the real one")


def test_a_user_without_a_name_has_a_home_for_ray() -> None:
    code = (
        "import os, pwd; os.environ.pop('HOME')\n"
        "def nobody(_): raise KeyError\n"
        "pwd.getpwuid = nobody; import sweeps.running; from pathlib import Path; print(Path.home())"
    )
    assert python(code) == "/nonexistent"


def test_settings_of_rays_past_do_not_reach_it() -> None:
    code = (
        "import os, sweeps; print([name for name in os.environ if name.startswith(('TUNE_RESULT', 'RAY_AIR_LOCAL'))])"
    )
    assert python(code, TUNE_RESULT_DIR="/somewhere", RAY_AIR_LOCAL_CACHE_DIR="/somewhere") == "[]"


def test_a_folder_whose_name_is_no_text(sweep_store: Run) -> None:
    runs = sweep_store.folder.parent.rename(sweep_store.folder.parents[1] / NO_TEXT)
    for command in ("report tiny", "ls"):
        done = subprocess.run(
            [Path(sys.executable).with_name("digits"), *command.split(), "--runs", runs], check=True, text=True,
            capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        )  # fmt: skip
        assert r"f\udcff\udcfe" in done.stdout
    assert "f??" in (runs / "tiny" / "report.html").read_text()  # in the commands that repeat it
