"""`digits leaderboard`: which of a run's recipes is really better."""

from pathlib import Path
from typing import Annotated

import typer

from commands.shell import AsJson, Runs, emit, errors_in_one_line
from digits_core import DEFAULT_RUNS

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
