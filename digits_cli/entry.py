"""Where `digits` starts: makes odd surroundings harmless, or says in one line what is wrong with them."""

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

OURS = ("cli", "digits_core", "reports", "sweeps")
# Packages, all of them: a single file of such a name is another one.
OTHERS = ("cv2", "numpy", "optuna", "pandas", "plotly", "ray", "scipy", "sklearn", "torch", "typer")


def main() -> None:
    """Run the command line."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if stream.errors == "strict":  # names of files need not be text in any encoding
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    folder = os.environ.get("DIGITS_DATA_DIR")
    if folder and not folder.startswith("~"):
        with contextlib.suppress(OSError):  # the working folder is gone: nothing relative can be meant
            os.environ["DIGITS_DATA_DIR"] = os.path.abspath(folder)  # workers start elsewhere
    hidden = hidden_module()
    if hidden is not None:
        sys.exit(f"error: {hidden}")
    try:
        from cli import app

        app()
    except ImportError as error:
        where = f" from {error.path}" if error.path else ""
        sys.exit(f"error: cannot import {error.name}{where}: {error}; something on PYTHONPATH may hide the real one")


def hidden_module() -> str | None:
    """Why a module that is needed cannot be imported, because a file of the same name comes first; None if none is."""
    home = Path(__file__).resolve().parents[1]
    for name in OURS:
        found = importlib.util.find_spec(name)
        place = Path(found.origin).resolve() if found is not None and found.origin else None
        if place is not None and home not in place.parents:
            return f"{place} hides the {name!r} that digits needs; rename it, or take its folder off PYTHONPATH"
    for name in OTHERS:
        found = importlib.util.find_spec(name)
        if found is not None and found.submodule_search_locations is None:
            return f"{found.origin} hides the package {name!r}; rename it, or take its folder off PYTHONPATH"
    return None


def _open_closed_streams() -> None:
    """Point stdin, stdout and stderr to nowhere where they are closed: else the next file opened takes their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
