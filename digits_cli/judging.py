"""`digits leaderboard`, `confirm`, `ensemble` and `doubts`: which model is better, and which labels are doubtful."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digits_cli import completing
from digits_cli.shell import (
    INTERRUPTED,
    AsJson,
    Concurrency,
    InPoses,
    Push,
    Runs,
    SweepName,
    TakeOver,
    emit,
    errors_in_one_line,
    say,
)
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from digits_core.judging.leaderboard import Leaderboard
    from digits_core.runs.ensemble_records import EnsembleConfig
    from digits_core.runs.run import Run
    from sweeps.plans.config import ConfirmConfig
    from sweeps.plans.confirming import Confirmation

RunName = Annotated[
    str | None,
    typer.Argument(
        help="Name of a sweep or comparison.", show_default="the latest", autocompletion=completing.run_names
    ),
]
PerArchitecture = Annotated[
    int | None, typer.Option(help="Take at most this many recipes of each architecture.", show_default="any number")
]
RunOrPage = Annotated[
    str | None,
    typer.Argument(
        help="Name of a sweep or comparison, or its report page.",
        show_default="the latest",
        autocompletion=completing.run_names,
    ),
]


@errors_in_one_line
def leaderboard(
    run: RunOrPage = None,
    top: Annotated[int, typer.Option(help="Number of rows to print.")] = 10,
    folds: Annotated[
        int, typer.Option(help="Use the runs of `digits confirm --folds` with this many folds.", show_default="none")
    ] = 0,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Rank recipes and show which differences are real.

    Ranks by validation NLL. Recipes that `digits confirm` has run again come first, by their mean over fresh seeds.
    Each row has an interval, the ranks it could have had on other images, and whether its error rate differs
    significantly from the leader's. The best of many looks better than it is, so its accuracy is also shown corrected
    for selection. Trains nothing and does not open the sealed test set.

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
            raise UsageError("--folds needs a run, not a report page")
        document = read_report(Path(run))["leaderboard"]
        try:
            lines = leaderboard_lines(document, top, open_command(Path(run)))
        except (LookupError, TypeError, ValueError, AttributeError):
            raise damaged(Path(run)) from None
    else:
        opened, board = _judged(runs, run, folds)
        document = leaderboard_document(opened, board)
        lines = leaderboard_lines(document, top, next_after(opened, board))
    emit(document, lines, as_json=as_json)


def _judged(runs: Path, run: str | None, folds: int) -> "tuple[Run, Leaderboard]":
    from digits_core.errors import UsageError
    from digits_core.judging.leaderboard import leaderboard as judge
    from digits_core.runs.run import Run

    opened = Run.open(runs, run)
    judged = opened.confirmation(folds) if folds else opened
    if judged is None:
        raise UsageError(
            f"{opened.name!r} has no runs confirmed over {folds} folds;"
            f" run `digits confirm --folds {folds} --sweep {opened.name}` first"
        )
    return opened, judge(judged)


@errors_in_one_line
def confirm(
    top: Annotated[int, typer.Option(help="How many of the best recipes to train again.")] = 5,
    seeds: Annotated[int, typer.Option(help="Runs per recipe, on seeds that the sweep did not use.")] = 5,
    folds: Annotated[int, typer.Option(help="Cross-validation folds, for small data; 0 keeps the sweep's split.")] = 0,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", help="Train final models on the validation set too; only the test set can then judge them."
        ),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Train for this many epochs; the first confirmation of a sweep decides.",
            show_default="as in the sweep",
        ),
    ] = None,
    per_architecture: PerArchitecture = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            help="Finish within this time, e.g. 10m, with fewer seeds or recipes if needed.", show_default="none"
        ),
    ] = None,
    sweep: SweepName = None,
    concurrency: Concurrency = None,
    push: Push = None,
    take_over: TakeOver = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Train the best recipes again on fresh seeds.

    A search picks lucky runs. Runs on seeds that played no part in the choice show how good a recipe is on average and
    how much it varies. The leaderboard, the report and `digits ensemble --pool confirmed` use these runs from then on.
    The sealed test set is opened once for all of them, and nothing is chosen by it. With --folds, every image is
    predicted by a network that did not train on it, and the test set stays sealed. Run the command again to add seeds
    or recipes, or to resume after Ctrl-C: only missing runs are trained.

    Examples:

        digits confirm --top 5 --seeds 5

        digits confirm --top 3 --folds 5 --seeds 1 --sweep first

        digits confirm --top 1 --seeds 3 --refit

        digits confirm --top 3 --per-architecture 1 --epochs 25 --time-budget 10m

        digits confirm --sweep first --json

    """
    from sweeps.plans.config import ConfirmConfig
    from sweeps.words import optional_seconds_of

    config = ConfirmConfig(
        runs=runs,
        sweep=sweep,
        top=top,
        seeds=seeds,
        epochs=epochs,
        folds=folds,
        refit=refit,
        concurrency=concurrency,
        per_architecture=per_architecture,
        time_budget_seconds=optional_seconds_of("--time-budget", time_budget),
    )
    _confirm(config, push, take_over=take_over, as_json=as_json)


def _confirm(config: "ConfirmConfig", push: str | None, *, take_over: bool, as_json: bool) -> None:
    from digits_core.remote.along import pushed_along
    from sweeps.plans.confirming import plan_confirmation

    planned = plan_confirmation(config)
    if planned.found_count < config.top:
        say(f"asked for {config.top} recipes to confirm, found {planned.found_count}")
    say(planned.plan.line)
    with pushed_along(planned.sweep.folder, push, take_over=take_over):
        _run_confirmation(planned, refit=config.refit, folds=config.folds, as_json=as_json)


def _run_confirmation(planned: "Confirmation", *, refit: bool, folds: int, as_json: bool) -> None:
    from digits_cli.finishing import finished, ran
    from digits_cli.printed.leaderboard import (
        ConfirmationOutcome,
        confirmation_document,
        confirmation_lines,
        refit_document,
        refit_lines,
    )
    from digits_core.judging.leaderboard import leaderboard as judge
    from digits_core.runs.run import Run

    with finished(ran(planned.plan) if planned.left else Run(planned.folder)) as (run, report):
        outcome = ConfirmationOutcome(run=run)
        if refit:
            emit(refit_document(outcome, report), refit_lines(outcome, report), as_json=as_json)
        else:
            board = judge(run if folds else run.outer) if outcome.counting else None
            document = confirmation_document(outcome, board, report)
            emit(document, confirmation_lines(outcome, board, report), as_json=as_json)
        outcome.raise_if_failed()
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)


@errors_in_one_line
def ensemble(
    top: Annotated[int, typer.Option(help="How many of the best trials, or confirmed recipes, to combine.")] = 5,
    method: Annotated[str, typer.Option(help="How to combine them: uniform, greedy, vote or stack.")] = "greedy",
    pool: Annotated[
        str, typer.Option(help="all (the sweep's trials) or confirmed (the runs of `digits confirm`).")
    ] = "all",
    calibrate: Annotated[str, typer.Option(help="Calibrate the probabilities: none or temperature.")] = "none",
    tta: InPoses = False,
    per_architecture: PerArchitecture = None,
    sweep: SweepName = None,
    push: Push = None,
    take_over: TakeOver = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Combine the best trials of a sweep.

    Uses their stored predictions; nothing is trained. Greedy selection (Caruana et al. 2004) and stacking are used only
    if they beat the uniform vote by more than chance would explain. Their validation figures are cross-fitted. Also
    shows what each member adds, how the members differ, which images the ensemble rescues and breaks, and what it
    costs. With --tta, each network predicts every image again in up to five poses and its probabilities are averaged;
    using the ensemble then takes up to five times as long. The result compares both on the validation set; if its
    images come from the writers of the training set, as MNIST's do, that says little about new writers. Opens the
    sealed test set to score the members and the ensembles; the sweep's ledger records every opening.

    Examples:

        digits ensemble --top 5

        digits ensemble --pool confirmed --method stack --calibrate temperature

        digits ensemble --top 6 --per-architecture 2 --tta

        digits ensemble --top 10 --sweep first --json

    """
    from digits_core.remote.along import pushed_along
    from digits_core.runs.ensemble_records import EnsembleConfig
    from digits_core.runs.run import Run

    config = EnsembleConfig(
        top=top, method=method, pool=pool, calibrate=calibrate, tta=tta, per_architecture=per_architecture
    )
    run = Run.open(runs, sweep)
    with pushed_along(run.folder, push, take_over=take_over):
        _ensemble(config, run, as_json=as_json)


def _ensemble(config: "EnsembleConfig", run: "Run", *, as_json: bool) -> None:
    from digits_cli.printed.ensemble import ensemble_document, ensemble_lines
    from digits_core.inference.ensembling import build_ensemble, why_fewer
    from digits_core.runs.run import Run
    from reports.pages.report import report_after_result

    record = build_ensemble(run, config)
    run = Run(run.folder)
    found = len(record.members)
    if config.pool == "all" and found < config.top:
        say(f"asked for {config.top} trials to combine, found {found} ({why_fewer(run, config)})")
    with report_after_result(run) as report:
        emit(ensemble_document(run, record, report), ensemble_lines(run, record, report), as_json=as_json)


@errors_in_one_line
def doubts(
    run: RunName = None,
    part: Annotated[str, typer.Option(help="validation, or test for models it has been opened for.")] = "validation",
    top: Annotated[int, typer.Option(help="Use at most this many models.")] = 10,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """List images whose label may be wrong.

    Lists images that the best models (the leader and those tied with it) together read as another digit, or whose label
    confident learning (Northcutt et al. 2021) doubts. The models did not train on these images. p(label) is the mean
    probability of the given label: the lower, the more doubtful. The list is for review; no label is ever changed. The
    fifteen MNIST test images whose labels the literature disputes are marked, and accuracy is shown with and without
    them. Does not open the sealed test set.

    Examples:

        digits doubts

        digits doubts first --part test --json

    """
    from digits_cli.printed.doubts import doubts_document, doubts_lines
    from digits_core.judging.label_doubt import find_doubts
    from digits_core.runs.run import Run

    opened = Run.open(runs, run)
    review = find_doubts(opened, part, top)
    emit(doubts_document(opened, review), doubts_lines(opened, review), as_json=as_json)
