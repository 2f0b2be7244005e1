"""Run the installed command in a separate process."""

import subprocess
import sys
import time
from pathlib import Path

from digits_core.runs.journal import FILE_NAME

DIGITS = str(Path(sys.executable).with_name("digits"))


# Sampling depends only on the seed, and nothing stops early: the results do not depend on what runs at the same time.
SWEEP = ["sweep", "--trials", "6", "--max-epochs", "12", "--search", "random", "--scheduler", "none", "--seed", "3"]


def digits(*arguments: object, expected: int = 0) -> str:
    """Run a command to its end and return its stderr."""
    ended = subprocess.run([DIGITS, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == expected, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def killed_after(epochs: int, folder: Path, *arguments: object) -> None:
    """Run a command and kill it with SIGKILL once its journal has this many epochs, including earlier ones."""
    with subprocess.Popen(
        [DIGITS, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while epochs_told(folder) < epochs:
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()


def epochs_told(folder: Path) -> int:
    """The number of epochs in a run's journal."""
    path = folder / FILE_NAME
    return path.read_bytes().count(b'"event": "epoch"') if path.exists() else 0
