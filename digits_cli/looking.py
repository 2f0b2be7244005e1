"""`digits ls`, `digits show`, `digits watch` and `digits rm`: stored runs, finished or still running."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from digits_cli import completing
from digits_cli.shell import AsJson, Runs, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

At = Annotated[
    str | None, typer.Option(help="s3://BUCKET/FOLDER, gs://..., az://... or a folder.", show_default="this machine")
]


@errors_in_one_line
def ls(at: At = None, runs: Runs = Path(DEFAULT_RUNS), as_json: AsJson = False) -> None:
    """List all runs, oldest first.

    Shows sweeps, comparisons and training runs with their state, progress, disk usage and best validation score. With
    --at, lists the runs that were pushed to a bucket or another folder, and who is changing them now.

    Examples:

        digits ls

        digits ls --json

        digits ls --at s3://lab/digits

    """
    if at is not None:
        from digits_cli.printed.moving import copies_document, copies_lines
        from digits_core.remote.bucket import Bucket
        from digits_core.remote.copies import copies_at

        copies = copies_at(Bucket(at))
        emit(copies_document(copies), copies_lines(at, copies), as_json=as_json)
        return
    from digits_cli.printed.runs import list_document, list_lines
    from sweeps.view.run_state import list_runs

    found = list_runs(runs)
    emit(list_document(found), list_lines(runs, found), as_json=as_json)


@errors_in_one_line
def show(
    run: Annotated[
        str,
        typer.Argument(
            help="Name of a run, or NAME/TRIAL for one of its trials.", autocompletion=completing.trial_names
        ),
    ],
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Show a run or one of its trials.

    For a run: how many trials have ended, the best of them, and what is running now. For a trial: its recipe, its last
    epochs and, if it failed, its traceback. Also works while the run is in progress.

    Examples:

        digits show first

        digits show first/17 --json

    """
    from digits_cli.printed import runs as inspecting
    from digits_core.errors import UsageError
    from digits_core.runs.run import Run
    from sweeps.view.run_state import RunState, trial_of

    name, slash, number = run.partition("/")
    if slash and not (number.isascii() and number.isdigit() and len(number) <= 6):
        raise UsageError(f"{number!r} is not a trial number; write {name}/17")
    opened = Run.open(runs, name)
    if slash:
        record = trial_of(opened, int(number))
        emit(inspecting.trial_document(opened, record), inspecting.trial_lines(opened, record), as_json=as_json)
    else:
        state = RunState.of(opened)
        emit(inspecting.run_document(state), inspecting.run_lines(state), as_json=as_json)


@errors_in_one_line
def watch(
    run: Annotated[str, typer.Argument(help="Name of a sweep or comparison.", autocompletion=completing.run_names)],
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Watch a run from another terminal.

    Shows the progress that the run's own terminal shows, until it ends. Ctrl-C stops watching, not the run.

    Examples:

        digits watch first

        digits watch first --json

    """
    from digits_cli.printed import runs as inspecting
    from digits_core.errors import UsageError
    from digits_core.runs.journal import FILE_NAME
    from digits_core.runs.ownership import is_running
    from digits_core.runs.run import Run
    from sweeps.view.progress import progress_console, view_of
    from sweeps.view.run_state import RunState
    from sweeps.view.watching import watch as follow

    opened = Run.open(runs, run)
    if not (opened.folder / FILE_NAME).exists():
        raise UsageError(f"{run!r} has no journal to watch; only sweeps and comparisons have one")
    if is_running(opened.folder):
        view = view_of(opened.header, opened.folder, progress_console(sys.stderr))
        try:
            follow(opened, view)
        finally:
            view.close()
    else:
        say(f"{run} is not running")
    state = RunState.of(Run(opened.folder))
    emit(inspecting.run_document(state), inspecting.run_lines(state), as_json=as_json)


@errors_in_one_line
def rm(
    names: Annotated[list[str], typer.Argument(help="Names of runs.", autocompletion=completing.run_names)],
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    at: At = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Delete runs permanently.

    Deletes their folders and everything in them, after asking. A run that is still running is not deleted. With --at,
    deletes what was pushed there, and nothing here.

    Examples:

        digits rm first

        digits rm first second --yes --json

    """
    from digits_cli.printed.runs import removal_document, removal_lines
    from digits_core.errors import UsageError

    where, check, remove = _removal(at, runs)
    for name in names:  # check every name before deleting any
        check(name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("cannot ask for confirmation without a terminal; add --yes to delete without asking")
        say(f"{', '.join(f'{where}/{name}' for name in names)} will be deleted permanently.")
        if not typer.confirm("Delete?", err=True):
            raise typer.Exit
    removed = {name: remove(name) for name in dict.fromkeys(names)}
    emit(removal_document(removed), removal_lines(at, runs, removed), as_json=as_json)


def _removal(at: str | None, runs: Path) -> tuple[str, Callable[[str], object], Callable[[str], int]]:
    """Where runs are to be deleted, the check before it, and the deletion, which returns a number of bytes."""
    if at is None:
        from sweeps.view.run_state import check_removable, remove_run

        return str(runs), partial(check_removable, runs), partial(remove_run, runs)
    from digits_core.remote.bucket import Bucket
    from digits_core.remote.copies import check_removable_at, remove_at

    bucket = Bucket(at)
    return bucket.address, partial(check_removable_at, bucket), partial(remove_at, bucket)
