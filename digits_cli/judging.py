"""`digits leaderboard`, `confirm`, `ensemble` and `doubts`: which is better, the best together, doubtful labels."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digits_cli.shell import INTERRUPTED, AsJson, Concurrency, Runs, SweepName, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from digits_core.judging.leaderboard import Leaderboard
    from digits_core.runs.store import SweepStore
    from sweeps.plans.config import ConfirmConfig, EnsembleConfig

Run = Annotated[str | None, typer.Argument(help="Name of a sweep or comparison.", show_default="the latest")]
RunOrPage = Annotated[
    str | None, typer.Argument(help="Name of a sweep or comparison, or a page of one.", show_default="the latest")
]


@errors_in_one_line
def leaderboard(
    run: RunOrPage = None,
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

        digits leaderboard report.html --json

    """
    from digits_cli.printed.leaderboard import leaderboard_lines, next_after
    from digits_core.errors import UsageError
    from digits_core.judging.leaderboard_document import leaderboard_document
    from digits_core.runs.command_line import open_command
    from reports.rows.document import damaged, is_report, read_report

    if top < 1:
        raise UsageError(f"--top must be at least 1, got {top}")
    if run is not None and is_report(run):
        if folds:
            raise UsageError("--folds is for a run, not for a page of one")
        document = read_report(Path(run))["leaderboard"]
        try:
            lines = leaderboard_lines(document, top, open_command(Path(run)))
        except (LookupError, TypeError, ValueError, AttributeError):
            raise damaged(Path(run)) from None
    else:
        store, board = _judged(runs, run, folds)
        document = leaderboard_document(store, board)
        lines = leaderboard_lines(document, top, next_after(store, board))
    emit(document, lines, as_json=as_json)


def _judged(runs: Path, run: str | None, folds: int) -> "tuple[SweepStore, Leaderboard]":
    from digits_core.errors import UsageError
    from digits_core.judging.leaderboard import leaderboard as judge
    from digits_core.runs.store import SweepStore

    store = SweepStore.open(runs, run)
    judged = store.confirmation(folds) if folds else store
    if judged is None:
        raise UsageError(
            f"nothing of {store.header.name!r} was confirmed over {folds} folds;"
            f" `digits confirm --folds {folds} --sweep {store.header.name}` does it"
        )
    return store, judge(judged)


@errors_in_one_line
def confirm(
    top: Annotated[int, typer.Option(help="How many of the best recipes to run again.")] = 5,
    seeds: Annotated[int, typer.Option(help="Runs of each, on seeds that the sweep did not use.")] = 5,
    folds: Annotated[
        int, typer.Option(help="Folds of a cross-validation, for small data; 0 for the sweep's split.")
    ] = 0,
    refit: Annotated[
        bool, typer.Option("--refit", help="Final models: train on validation as well; the test part judges.")
    ] = False,
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

        digits confirm --top 1 --seeds 3 --refit

        digits confirm --sweep first --json

    """
    from sweeps.plans.config import ConfirmConfig

    config = ConfirmConfig(
        runs=runs, sweep=sweep, top=top, seeds=seeds, folds=folds, refit=refit, concurrency=concurrency
    )
    _confirm(config, as_json=as_json)


def _confirm(config: "ConfirmConfig", *, as_json: bool) -> None:
    from digits_cli.printed.leaderboard import ConfirmationOutcome, confirmation_document, confirmation_lines
    from digits_cli.printed.refit import refit_document, refit_lines
    from digits_core.judging.leaderboard import leaderboard as judge
    from reports.pages.report import report_after_result
    from sweeps.finishing.insight import keep_inside
    from sweeps.finishing.opening import keep_best_parameters, open_test_for
    from sweeps.plans.confirming import plan_confirmation
    from sweeps.view.progress import progress_console, view_of

    planned = plan_confirmation(config)
    if planned.recipe_count < config.top:
        say(f"only {planned.recipe_count} recipes are there to confirm, not {config.top}")
    say(planned.plan.line)
    if planned.left:
        from sweeps.running.runner import run_trials

        run_trials(planned.plan, view_of(planned.plan.header, planned.plan.folder, progress_console(sys.stderr)))
    outcome = ConfirmationOutcome.of(planned.sweep, planned.store)
    if not outcome.interrupted:
        open_test_for(planned)
        keep_best_parameters(planned.sweep)
        keep_inside(planned.sweep)
    with report_after_result(planned.sweep) as report:
        if config.refit:
            emit(refit_document(outcome, report), refit_lines(outcome, report), as_json=as_json)
        else:
            board = judge(planned.store if config.folds else planned.sweep) if outcome.counting else None
            document = confirmation_document(outcome, board, report)
            emit(document, confirmation_lines(outcome, board, report), as_json=as_json)
        outcome.raise_if_failed()
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)


@errors_in_one_line
def ensemble(
    top: Annotated[int, typer.Option(help="How many of the best trials (or confirmed recipes) to combine.")] = 5,
    method: Annotated[str, typer.Option(help="uniform, greedy, vote or stack.")] = "greedy",
    pool: Annotated[
        str, typer.Option(help="all: the sweep's trials; confirmed: the runs of `digits confirm`.")
    ] = "all",
    calibrate: Annotated[str, typer.Option(help="none, or temperature: make its confidences honest.")] = "none",
    sweep: SweepName = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Combine the best trials of a sweep.

    From their stored predictions, nothing is trained again. The uniform vote is the bar: greedy selection (Caruana et
    al. 2004) and stacking are used only where they beat it by more than chance would explain. Their validation figures
    are cross-fitted. Shown as well: what every member adds, how the members differ, which images the ensemble rescues
    and breaks, what it costs. The members and the vote are scored on the sealed test part, which the sweep's ledger
    counts each time.

    Examples:

        digits ensemble --top 5

        digits ensemble --pool confirmed --method stack --calibrate temperature

        digits ensemble --top 10 --sweep first --json

    """
    from sweeps.plans.config import EnsembleConfig

    config = EnsembleConfig(top=top, method=method, pool=pool, calibrate=calibrate)
    _ensemble(config, runs, sweep, as_json=as_json)


def _ensemble(config: "EnsembleConfig", runs: Path, sweep: str | None, *, as_json: bool) -> None:
    from digits_cli.printed.ensemble import ensemble_document, ensemble_lines
    from digits_core.runs.store import SweepStore
    from reports.pages.report import report_after_result
    from sweeps.finishing.ensembling import build_ensemble

    store = SweepStore.open(runs, sweep)
    record = build_ensemble(store, config)
    found = len(record.members)
    if config.pool == "all" and found < config.top:
        kept = "a sweep keeps the weights of the best: --keep"
        say(f"only {found} trials are there to combine, not {config.top} ({kept})")
    with report_after_result(store) as report:
        emit(ensemble_document(store, record, report), ensemble_lines(store, record, report), as_json=as_json)


@errors_in_one_line
def doubts(
    run: Run = None,
    part: Annotated[str, typer.Option(help="validation, or test as far as it was opened.")] = "validation",
    top: Annotated[int, typer.Option(help="How many models are asked at most.")] = 10,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """List images whose label may be wrong.

    Those that the best models (the leader, and what cannot be told from it) together read as another digit, with what
    confident learning (Northcutt et al. 2021) says of the label from predictions of models that did not train on the
    image. p(label) is the mean probability that they give the label: the lower, the more doubtful. A list to look
    through: no label is ever changed. Of MNIST's test images the fifteen whose labels are disputed in print are marked,
    and accuracy is shown with and without them.
    The sealed test part is not opened for this.

    Examples:

        digits doubts

        digits doubts first --part test --json

    """
    from digits_cli.printed.doubts import doubts_document, doubts_lines
    from digits_core.judging.label_doubt import find_doubts
    from digits_core.runs.store import SweepStore

    store = SweepStore.open(runs, run)
    review = find_doubts(store, part, top)
    emit(doubts_document(store, review), doubts_lines(store, review), as_json=as_json)
