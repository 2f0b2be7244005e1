"""`digits leaderboard` and `digits confirm`: which of a run's recipes is really better."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.shell import INTERRUPTED, AsJson, Concurrency, Runs, SweepName, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from sweeps.config import ConfirmConfig

Run = Annotated[str | None, typer.Argument(help="Name of a sweep or comparison.", show_default="the latest")]


@errors_in_one_line
def leaderboard(
    run: Run = None,
    top: Annotated[int, typer.Option(help="How many rows to print.")] = 10,
    folds: Annotated[int, typer.Option(help="Of what was confirmed over so many folds.", show_default="none")] = 0,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Say which recipe is really better.

    Ranked by validation NLL, the mean over seeds where `digits confirm` ran some. Beside every row: its interval, the
    ranks that other images could have given it, and whether its mistakes can be told from the leader's. The best of
    many flatters itself: its accuracy is also shown corrected for having been picked. Nothing is trained and the
    sealed test part stays closed.

    Examples:

        digits leaderboard

        digits leaderboard first --top 30

        digits leaderboard first --json

    """
    from digits_core.errors import UsageError
    from digits_core.leaderboard import leaderboard as judge
    from digits_core.store import SweepStore
    from sweeps.leaderboard_results import leaderboard_document, leaderboard_lines

    if top < 1:
        raise UsageError(f"--top must be at least 1, got {top}")
    store = SweepStore.open(runs, run)
    judged = store.confirmation(folds) if folds else store
    if judged is None:
        raise UsageError(
            f"nothing of {store.header.name!r} was confirmed over {folds} folds;"
            f" `digits confirm --folds {folds} --sweep {store.header.name}` does it"
        )
    board = judge(judged)
    emit(leaderboard_document(store, board), leaderboard_lines(store, board, top), as_json=as_json)


@errors_in_one_line
def confirm(
    top: Annotated[int, typer.Option(help="How many of the best recipes to run again.")] = 5,
    seeds: Annotated[int, typer.Option(help="Runs of each, on seeds that the sweep did not use.")] = 5,
    folds: Annotated[
        int, typer.Option(help="Folds of a cross-validation, for small data; 0 for the sweep's split.")
    ] = 0,
    sweep: SweepName = None,
    concurrency: Concurrency = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Train the best recipes again, on fresh seeds.

    A search picks lucky runs. On seeds that nothing was picked by, each recipe shows what it is worth in the mean and
    how much it varies; the leaderboard, the report and `digits ensemble --pool confirmed` go by these runs from then
    on. The sealed test part is opened once for all of them, and picks nothing. With --folds every image is predicted by
    a network that did not see it, and the test part stays closed. Run again with more seeds or recipes, it adds what is
    missing; so it does after Ctrl-C.

    Examples:

        digits confirm --top 5 --seeds 5

        digits confirm --top 3 --folds 5 --seeds 1 --sweep first

        digits confirm --sweep first --json

    """
    from sweeps.config import ConfirmConfig

    config = ConfirmConfig(runs=runs, sweep=sweep, top=top, seeds=seeds, folds=folds, concurrency=concurrency)
    _confirm(config, as_json=as_json)


def _confirm(config: "ConfirmConfig", *, as_json: bool) -> None:
    from digits_core.leaderboard import leaderboard as judge
    from reports.pages import report_after_result
    from sweeps.confirming import open_test_for, plan_confirmation
    from sweeps.leaderboard_results import ConfirmationOutcome, confirmation_document, confirmation_lines
    from sweeps.progress import progress_console, view_of

    planned = plan_confirmation(config)
    if planned.recipe_count < config.top:
        say(f"only {planned.recipe_count} recipes are there to confirm, not {config.top}")
    say(planned.plan.line)
    if planned.left:
        from sweeps.runner import run_trials

        run_trials(planned.plan, view_of(planned.plan.header, planned.plan.folder, progress_console(sys.stderr)))
    outcome = ConfirmationOutcome.of(planned.sweep, planned.store)
    if not outcome.interrupted:
        open_test_for(planned)
    with report_after_result(planned.sweep) as report:
        board = judge(planned.store if config.folds else planned.sweep) if outcome.counting else None
        document = confirmation_document(outcome, board, report)
        emit(document, confirmation_lines(outcome, board, report), as_json=as_json)
        outcome.raise_if_failed()
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
