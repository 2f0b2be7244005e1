"""What all commands share: exit codes, options, one-line errors, results on stdout and progress on stderr."""

import contextlib
import functools
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from digits_cli import completing

CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]")
FAILED, USAGE, INTERRUPTED = 1, 2, 130
P = ParamSpec("P")

DATASET_HELP = (
    "Data set: sklearn-digits, mnist, optdigits, optdigits-pooled, usps, qmnist, emnist-digits, kmnist; your own:"
    " folder:PATH, csv:FILE, npz:FILE; or a mixture: mnist+folder:PATH."
)
Runs = Annotated[Path, typer.Option(envvar="DIGITS_RUNS", help="Folder with all runs.")]
Push = Annotated[
    str | None,
    typer.Option(help="Also send the run to s3://BUCKET/FOLDER, gs://..., az://... or a folder, as it grows."),
]
TakeOver = Annotated[bool, typer.Option("--take-over", help="With --push: take the run from a machine that is lost.")]
Tta = Annotated[
    bool | None,
    typer.Option(
        "--tta/--no-tta",
        help="Test-time augmentation: average each network over slightly rotated and zoomed copies of an image."
        " Takes up to five times as long.",
        show_default="as the ensemble was built or the file exported; off for a single network",
    ),
]
InPoses = Annotated[
    bool,
    typer.Option(
        "--tta",
        help="Test-time augmentation: average each network of an ensemble over slightly rotated and zoomed copies of an"
        " image.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Folds = Annotated[
    int | None, typer.Option(help="Cross-validation folds; 0 for a single split.", show_default="as published")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a recipe field, e.g. optimizer.learning_rate=0.01. Repeatable."),
]
Concurrency = Annotated[
    int | None, typer.Option(help="Trials to run at a time.", show_default="one per processor, or per GPU")
]
OwnEpochs = Annotated[int | None, typer.Option("--epochs", help="Epochs to train.", show_default="the recipe's own")]
OwnDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset", help="Data set.", show_default="the recipe's own", autocompletion=completing.dataset_names
    ),
]
SweepName = Annotated[
    str | None,
    typer.Option("--sweep", help="Name of the sweep.", show_default="the latest", autocompletion=completing.run_names),
]


def errors_in_one_line(function: Callable[P, None]) -> Callable[P, None]:
    """Turn errors meant for the user into one line on stderr and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        from digits_core.errors import FULL, LONGEST_MESSAGE, READ_ONLY, EnvironmentFailure, UsageError, shortened
        from sweeps.signals import restored_handlers, stop_as_interrupt

        try:
            with restored_handlers():
                stop_as_interrupt()
                for name, value in kwargs.items():
                    kwargs[name] = at_home(value)
                check_runs(kwargs.get("runs"))
                function(*args, **kwargs)
        except UsageError as error:
            say(f"error: {shortened(str(error), LONGEST_MESSAGE)}")
            raise typer.Exit(USAGE) from None
        except BrokenPipeError:  # the reader closed the pipe, as `head` does: no error message
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(FAILED) from None
        except EnvironmentFailure as error:
            say(f"error: {shortened(str(error), LONGEST_MESSAGE)}")
            raise typer.Exit(FAILED) from None
        except ModuleNotFoundError as error:
            missing = _left_out(error.name or "")
            if missing is None:
                raise
            say(f"error: {missing}")
            raise typer.Exit(FAILED) from None
        except OSError as error:  # e.g. a full disk: a traceback would not help
            where = error.filename or "the result"
            fix = "; make room and run it again" if error.errno in FULL else ""
            fix = "; use a copy in a folder of your own, or ask for access" if error.errno in READ_ONLY else fix
            say(f"error: cannot read or write {where}: {error.strerror}{fix}")
            raise typer.Exit(FAILED) from None
        except (KeyboardInterrupt, typer.Abort):  # Abort: Ctrl-C or end of input at a prompt
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not disturb the exit
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return guarded


def _left_out(module: str) -> str | None:
    """What to install for a module that this install leaves out; None if it should be there."""
    from digits_core.environment import extra_with, how_to_install, is_installed

    extra = extra_with(module)
    if extra is None or is_installed(module.partition(".")[0]):
        return None
    what = "searching, training and stored networks need" if extra == "train" else "this command needs"
    return f"{what} {module.partition('.')[0]}, which this install leaves out; run: {how_to_install(extra)}"


def at_home(value: Any) -> Any:
    """A path with ~ replaced by the home folder, as the shell does it where it can; anything else as it is."""
    from digits_core.errors import UsageError

    if not isinstance(value, Path):
        return value
    try:
        return value.expanduser()
    except RuntimeError:
        raise UsageError(
            f"{value} cannot be found, because this user has no home folder; write the whole path"
        ) from None


def check_runs(runs: object) -> None:
    """Raise UsageError for an address instead of a folder, which older versions took."""
    from digits_core.errors import UsageError

    if runs is not None and re.match(r"[A-Za-z0-9+.-]+:/", str(runs)):
        raise UsageError(
            "--runs takes a folder; add --push ADDRESS to send a run to a bucket as it grows, and fetch one from there"
            " with: digits pull ADDRESS"
        )


def visible(text: str) -> str:
    """The text with control characters written out: a stored name must not command the terminal."""
    return CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def say(text: str) -> None:
    """Print progress or an error to stderr; a closed stderr is ignored."""
    with contextlib.suppress(OSError):
        typer.echo(visible(text), err=True)


def emit(document: dict[str, Any] | list[dict[str, Any]], lines: list[tuple[str, str]], *, as_json: bool) -> None:
    """Print the result to stdout: one JSON document, or aligned lines, the last of which suggests the next command."""
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    width = max(len(label) for label, _ in lines) + 2
    for label, text in lines:
        typer.echo(visible(f"{label:<{width}}{text}"))


def safe_name(what: str) -> str:
    """Make a text usable as part of a file name: other characters become dashes, at most 60 are kept."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", what).strip("-._")[:60] or "run"


def default_name(what: str) -> str:
    """A name for a run: what it trains, and the local time."""
    return f"{safe_name(what)}-{time.strftime('%Y%m%d-%H%M%S')}"
