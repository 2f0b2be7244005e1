"""What all commands share: exit codes, options, errors in one line, where the result and the progress go."""

import contextlib
import functools
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

FAILED, USAGE, INTERRUPTED = 1, 2, 130
P = ParamSpec("P")

DATASET_HELP = (
    "Data set: sklearn-digits, mnist, optdigits, optdigits-pooled, usps, qmnist, emnist-digits, kmnist; of your own:"
    " folder:PATH, csv:FILE, npz:FILE; or mixed: mnist+folder:PATH."
)
Runs = Annotated[Path, typer.Option(envvar="DIGITS_RUNS", help="Folder that holds the sweeps, or s3://BUCKET/FOLDER.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Folds = Annotated[
    int | None, typer.Option(help="Folds of a cross-validation; 0 for a single split.", show_default="as published")
]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", help="Change a field, e.g. optimizer.learning_rate=0.01. Repeatable.")
]
Concurrency = Annotated[int | None, typer.Option(help="Runs at a time.", show_default="all processors, or GPUs")]
OwnEpochs = Annotated[int | None, typer.Option("--epochs", help="Epochs.", show_default="the recipe's own")]
OwnDataset = Annotated[str | None, typer.Option("--dataset", help="Data set.", show_default="the recipe's own")]
SweepName = Annotated[str | None, typer.Option("--sweep", help="Name of the sweep.", show_default="the latest")]


def errors_in_one_line(function: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors that are meant for the user into one line on stderr and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        from digits_core.errors import EnvironmentFailure, UsageError
        from sweeps.signals import restored_handlers, stop_as_interrupt

        try:
            with restored_handlers():
                stop_as_interrupt()
                with at_hand(kwargs) as kwargs_here:
                    function(*args, **kwargs_here)
        except UsageError as error:
            say(f"error: {error}")
            raise typer.Exit(USAGE) from None
        except BrokenPipeError:  # whoever read the result has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(FAILED) from None
        except EnvironmentFailure as error:
            say(f"error: {error}")
            raise typer.Exit(FAILED) from None
        except OSError as error:  # a full disk is nothing that a traceback would explain
            where = error.filename or "the result"
            say(f"error: cannot read or write {where}: {error.strerror}")
            raise typer.Exit(FAILED) from None
        except (KeyboardInterrupt, typer.Abort):  # the latter at a question
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # we are leaving already
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return guarded


@contextlib.contextmanager
def at_hand(arguments: dict[str, Any]) -> Iterator[Any]:
    """A command's arguments, with the folder to work in where `runs` names a place elsewhere."""
    if "runs" not in arguments:
        yield arguments
        return
    from digits_cli.elsewhere import runs_at_hand

    with runs_at_hand(arguments["runs"], say) as folder:
        yield {**arguments, "runs": folder}


def say(text: str) -> None:
    """Progress and errors go to stderr, where somebody reads it."""
    with contextlib.suppress(OSError):
        typer.echo(text, err=True)


def emit(document: dict[str, Any] | list[dict[str, Any]], lines: list[tuple[str, str]], *, as_json: bool) -> None:
    """The result goes to stdout: one JSON document, or aligned lines of which the last is the next command."""
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    width = max(len(label) for label, _ in lines) + 2
    for label, text in lines:
        typer.echo(f"{label:<{width}}{text}")


def safe_name(what: str) -> str:
    """The same as something that can be part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", what).strip("-._")[:60] or "run"


def default_name(what: str) -> str:
    """A run's name from what it is about and the time; what cannot be in a folder's name becomes a dash."""
    return f"{safe_name(what)}-{time.strftime('%Y%m%d-%H%M%S')}"
