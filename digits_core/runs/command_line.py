"""The commands that results and pages suggest running next. Text only: nothing is run here."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from digits_core import DEFAULT_RUNS


def runs_option(folder: Path) -> list[str]:
    """The `--runs` option that a command needs to find a run's folder; empty if it is in the default place."""
    default = os.environ.get("DIGITS_RUNS") or DEFAULT_RUNS
    return [] if folder.parent == Path(default) else ["--runs", str(folder.parent)]


def digits_command(*words: object) -> str:
    """A command line to paste into a shell. Starts with the path of `digits` if it is not on PATH."""
    called = Path(sys.argv[0])
    program = str(called) if called.name == "digits" and shutil.which("digits") is None else "digits"
    return shlex.join([program, *map(str, words)])


def resume_command(folder: Path) -> str:
    """The command that continues an interrupted run."""
    return digits_command("resume", folder.name, *runs_option(folder))


def open_command(path: Path) -> str:
    """The command that opens a file in this platform's browser."""
    opener = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")
    return shlex.join([opener, str(path)])


def replay_command(folder: Path, trial: int | None) -> str:
    """The command that trains a stored trial, or the leader's network, again and counts the differences."""
    number = () if trial is None else ("--trial", trial)
    return digits_command("replay", folder.name, *number, *runs_option(folder))
