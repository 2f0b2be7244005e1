"""`digits sweep` and `digits ensemble`: search, then combine."""

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
    from sweeps.config import SweepConfig


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
    as_json: AsJson = False,
) -> None:
    """Search for the best recipe.

    Ray Tune runs the trials, Optuna chooses them, ASHA stops the weak ones. Searched are the architecture and its
    size, optimizer, learning rate, weight decay, schedule, batch size, dropout and augmentation. The winner, by
    validation, is then scored once on the sealed test part, and a report is written. Missing data is downloaded into
    DIGITS_DATA_DIR (`digits doctor` shows where that is). Ctrl-C keeps everything that is finished.

    Examples:

        digits sweep --trials 100

        digits sweep --dataset mnist --trials 30 --name first

        digits sweep --trials 20 --max-epochs 5 --json > result.json

    """
    from sweeps.config import SweepConfig

    # Checked before anything that takes seconds to import.
    config = SweepConfig(
        runs=runs,
        name=name if name is not None else default_name(dataset),
        dataset=dataset,
        trials=trials,
        seed=seed,
        max_epochs=max_epochs,
        concurrency=concurrency,
    )

    _search(config, as_json=as_json)


def _search(config: "SweepConfig", *, as_json: bool) -> None:
    from reports.pages import report_after_result
    from sweeps.finalists import score_winner_on_test
    from sweeps.progress import make_view, progress_console
    from sweeps.results import SweepOutcome, sweep_document, sweep_lines
    from sweeps.runner import plan_sweep, run_trials

    plan = plan_sweep(config)
    say(plan.line)
    store, summary = run_trials(plan, make_view(config.trials, plan.header.max_epochs, progress_console(sys.stderr)))
    test = None if summary.interrupted else score_winner_on_test(store)
    with report_after_result(store) as report:
        outcome = SweepOutcome.of(store, summary, report, test)
        emit(sweep_document(outcome), sweep_lines(outcome), as_json=as_json)
    outcome.raise_if_failed()
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)


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
        say(f"only {found} trials are there to combine, not {top}")
    with report_after_result(store) as report:
        emit(ensemble_document(store, record, report), ensemble_lines(store, record, report), as_json=as_json)
