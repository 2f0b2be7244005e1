"""`digits sweep`, `digits resume` and `digits ensemble`: search, go on searching, combine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.shell import (
    INTERRUPTED,
    AsJson,
    Concurrency,
    Runs,
    SweepName,
    default_name,
    emit,
    errors_in_one_line,
    say,
)
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from sweeps.config import ResumeConfig, SweepConfig
    from sweeps.planning import RunPlan


@errors_in_one_line
def sweep(
    trials: Annotated[int, typer.Option(help="How many recipes to try.")] = 100,
    dataset: Annotated[
        str, typer.Option(help="Data set: sklearn-digits, mnist, optdigits or optdigits-pooled.")
    ] = "sklearn-digits",
    name: Annotated[str | None, typer.Option(help="Name of the sweep.", show_default="data set and time")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    seed: Annotated[int, typer.Option(help="Seed of the search; trial i trains from seed + i.")] = 0,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs of a trial that is not stopped early.", show_default="40 for 8x8 images, 6 for 28x28"
        ),
    ] = None,
    concurrency: Concurrency = None,
    search: Annotated[str, typer.Option(help="How recipes are chosen: tpe, gp, cmaes, random or nsga2.")] = "tpe",
    scheduler: Annotated[
        str, typer.Option(help="How weak trials are stopped early: asha, hyperband, median or none.")
    ] = "asha",
    max_failures: Annotated[
        int, typer.Option(help="How often a trial whose process is lost goes on from its last epoch.")
    ] = 2,
    trial_timeout: Annotated[
        str | None, typer.Option(help="End a trial that takes longer, e.g. 90s, 10m or 2h.", show_default="none")
    ] = None,
    keep: Annotated[int, typer.Option(help="How many of the best trials keep their weights.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Search for the best recipe.

    Ray Tune runs the trials, Optuna chooses them, ASHA stops the weak ones; trial 0 is a known-good default. Searched
    are the architecture and its size, optimizer, learning rate, weight decay, schedule, batch size, dropout and
    augmentation. The winner, by validation, is then scored once on the sealed test part, and a report is written.
    Missing data is downloaded into DIGITS_DATA_DIR (`digits doctor` shows where that is). Ctrl-C keeps everything that
    is finished; `digits resume` goes on, also after a crash.

    Examples:

        digits sweep --trials 100

        digits sweep --dataset mnist --trials 30 --name first

        digits sweep --trials 20 --max-epochs 5 --json > result.json

        digits sweep --search random --scheduler none --trial-timeout 10m --keep 3

    """
    from sweeps.config import SweepConfig
    from sweeps.durations import seconds_of

    # Checked before anything that takes seconds to import.
    config = SweepConfig(
        runs=runs,
        name=name if name is not None else default_name(dataset),
        dataset=dataset,
        trials=trials,
        seed=seed,
        max_epochs=max_epochs,
        concurrency=concurrency,
        search=search,
        scheduler=scheduler,
        max_failures=max_failures,
        trial_timeout_seconds=None if trial_timeout is None else seconds_of("--trial-timeout", trial_timeout),
        keep=keep,
    )
    _search(config, as_json=as_json)


def _search(config: "SweepConfig", *, as_json: bool) -> None:
    from sweeps.planning import plan_sweep

    run_search(plan_sweep(config), as_json=as_json)


def run_search(plan: "RunPlan", *, as_json: bool) -> None:
    """Run what a plan says, score the winner, write the report, print the result."""
    from reports.pages import report_after_result
    from sweeps.finalists import score_winner_on_test
    from sweeps.progress import make_view, progress_console
    from sweeps.results import SweepOutcome, sweep_document, sweep_lines
    from sweeps.runner import run_trials

    say(plan.line)
    view = make_view(plan.header.trial_count, plan.header.max_epochs, progress_console(sys.stderr))
    store, summary = run_trials(plan, view)
    test = None if summary.interrupted else score_winner_on_test(store)
    with report_after_result(store) as report:
        outcome = SweepOutcome.of(store, summary, report, test)
        emit(sweep_document(outcome), sweep_lines(outcome), as_json=as_json)
    outcome.raise_if_failed()
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)


@errors_in_one_line
def resume(
    run: Annotated[str, typer.Argument(help="Name of the sweep or comparison.")],
    trials: Annotated[
        int | None, typer.Option(help="How many recipes to try in all.", show_default="as before")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Runs at a time.", show_default="as before")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was cut off.

    After Ctrl-C, a crash, `kill -9`, a full disk or a dead machine, also in a folder that was moved: what is finished
    is neither lost nor run again, the search knows all of it, and trials that were cut off go on from their last
    finished epoch (a second of training is repeated at most). With --trials a sweep that is over goes on to more.

    Examples:

        digits resume first

        digits resume first --trials 200 --json

    """
    from sweeps.config import ResumeConfig

    _resume(ResumeConfig(runs=runs, name=run, trials=trials, concurrency=concurrency), as_json=as_json)


def _resume(config: "ResumeConfig", *, as_json: bool) -> None:
    from commands.training import run_comparisons
    from sweeps.planning import plan_resumption

    plan = plan_resumption(config)
    if plan.header.kind == "comparison":
        run_comparisons([plan], as_json=as_json)
    else:
        run_search(plan, as_json=as_json)


@errors_in_one_line
def ensemble(
    top: Annotated[int, typer.Option(help="How many of the best trials to combine.")] = 5,
    sweep: SweepName = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Combine the best trials of a sweep.

    From their stored predictions, nothing is trained again: a uniform vote and Caruana's greedy selection, both
    against the best single model. Greedy is used only where it beats the uniform vote by more than chance would
    explain. The members and the vote are then scored on the sealed test part, which the sweep's ledger counts each
    time.

    Examples:

        digits ensemble --top 5

        digits ensemble --top 10 --sweep first --json

    """
    from digits_core.store import SweepStore
    from reports.pages import report_after_result
    from sweeps.finalists import build_ensemble
    from sweeps.results import ensemble_document, ensemble_lines

    store = SweepStore.open(runs, sweep)
    record = build_ensemble(store, top)
    found = len(record.contender("uniform").weights)
    if found < top:
        say(f"only {found} trials are there to combine, not {top} (a sweep keeps the weights of the best: --keep)")
    with report_after_result(store) as report:
        emit(ensemble_document(store, record, report), ensemble_lines(store, record, report), as_json=as_json)
