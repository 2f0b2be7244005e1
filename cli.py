"""The `digits` command: read arguments, call one function, print. Heavy imports stay inside the commands."""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from sweeps.config import SweepConfig, TrainingConfig

FAILED, USAGE, INTERRUPTED = 1, 2, 130
P = ParamSpec("P")

app = typer.Typer(
    help="Search, combine and honestly compare classifiers of handwritten digits.\n\n"
    "Begin with `digits sweep --trials 100`, then `digits ensemble --top 5`.\n\n"
    "Exit codes: 0 ok, 1 failed, 2 usage, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Runs = Annotated[Path, typer.Option(envvar="DIGITS_RUNS", help="Folder that holds the sweeps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
SweepName = Annotated[str | None, typer.Option("--sweep", help="Name of the sweep.", show_default="the latest")]


def _errors_in_one_line(function: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors that are meant for the user into one line on stderr and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        from digits_core.errors import EnvironmentFailure, UsageError
        from sweeps.signals import restored_handlers, stop_as_interrupt

        try:
            with restored_handlers():
                stop_as_interrupt()
                function(*args, **kwargs)
        except UsageError as error:
            _say(f"error: {error}")
            raise typer.Exit(USAGE) from None
        except BrokenPipeError:  # whoever read the result has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(FAILED) from None
        except EnvironmentFailure as error:
            _say(f"error: {error}")
            raise typer.Exit(FAILED) from None
        except OSError as error:  # a full disk is nothing that a traceback would explain
            where = error.filename or "the result"
            _say(f"error: cannot read or write {where}: {error.strerror}")
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # we are leaving already
            _say("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return guarded


def _say(text: str) -> None:
    """Progress and errors go to stderr, where somebody reads it."""
    with contextlib.suppress(OSError):
        typer.echo(text, err=True)


def _emit(document: dict[str, Any] | list[dict[str, Any]], lines: list[tuple[str, str]], *, as_json: bool) -> None:
    """The result goes to stdout: one JSON document, or aligned lines of which the last is the next command."""
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    width = max(len(label) for label, _ in lines) + 2
    for label, text in lines:
        typer.echo(f"{label:<{width}}{text}")


def _show_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(importlib.metadata.version("digits"))
        raise typer.Exit


@app.callback()
def _digits(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command()
@_errors_in_one_line
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
    concurrency: Annotated[
        int | None, typer.Option(help="Trials at a time.", show_default="all processors, or GPUs")
    ] = None,
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
        name=name if name is not None else time.strftime(f"{dataset}-%Y%m%d-%H%M%S"),
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
    from sweeps.runner import plan_sweep, run_sweep

    plan = plan_sweep(config)
    _say(plan.line)
    store, summary = run_sweep(plan, make_view(config.trials, plan.max_epochs, progress_console(sys.stderr)))
    test = None if summary.interrupted else score_winner_on_test(store)
    with report_after_result(store) as report:
        outcome = SweepOutcome.of(store, summary, report, test)
        _emit(sweep_document(outcome), sweep_lines(outcome), as_json=as_json)
    outcome.raise_if_failed()
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
@_errors_in_one_line
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe; `digits recipes` lists them.")],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field, e.g. optimizer.learning_rate=0.01. Repeatable.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set.", show_default="the recipe's own")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs.", show_default="the recipe's own")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed.", show_default="the recipe's own")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="the best there is")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.", show_default="recipe and time")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Train a named recipe.

    With all processors, in one process. The run is kept like a sweep of one trial: `digits report` and
    `digits ensemble` take its name. The sealed test part is opened once, at the end. Ctrl-C keeps the epochs that
    are done.

    Examples:

        digits train lenet

        digits train kfold-cnn --epochs 5 --set optimizer.learning_rate=0.002

        digits train improved-net --dataset sklearn-digits --seed 3 --json

    """
    from digits_core.recipe import Scalar, parse_assignment
    from sweeps.config import TrainingConfig

    overrides: dict[str, Scalar] = dict(map(parse_assignment, assignments or []))
    overrides.update({} if epochs is None else {"training.epochs": epochs})
    overrides.update({} if seed is None else {"training.seed": seed})
    config = TrainingConfig(
        runs=runs,
        name=name if name is not None else time.strftime(f"{recipe}-%Y%m%d-%H%M%S"),
        recipe_name=recipe,
        overrides=overrides,
        dataset=dataset,
        device=device,
    )
    _train(config, as_json=as_json)


def _train(config: "TrainingConfig", *, as_json: bool) -> None:
    from reports.pages import report_after_result
    from sweeps.epochs import epoch_progress
    from sweeps.progress import progress_console
    from sweeps.training import plan_training, run_training
    from sweeps.training_results import training_document, training_lines

    plan = plan_training(config)
    _say(plan.line)
    with epoch_progress(plan.recipe.training.epochs, progress_console(sys.stderr)) as on_epoch:
        outcome = run_training(plan, on_epoch)
    with report_after_result(outcome.store) as report:
        _emit(training_document(outcome, report), training_lines(outcome, report), as_json=as_json)
    if outcome.test is None:
        raise typer.Exit(INTERRUPTED)


@app.command()
@_errors_in_one_line
def replay(
    run: Annotated[str, typer.Argument(help="Name of a sweep or training run.")],
    trial: Annotated[int | None, typer.Option(help="Number of the trial.", show_default="the winner")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Train a stored trial again and count the differences.

    On the same kind of device with the same number of threads. On a CPU the same recipe gives the same bits; where it
    does not, what has changed (processor, versions) is named. Nothing is stored and the sealed test part stays closed.

    Examples:

        digits replay first

        digits replay first --trial 3 --json

    """
    from digits_core.store import SweepStore
    from sweeps.epochs import epoch_progress
    from sweeps.progress import progress_console
    from sweeps.replay import choose_trial
    from sweeps.replay import replay as train_again
    from sweeps.training_results import replay_document, replay_lines

    store = SweepStore.open(runs, run)
    record = choose_trial(store, trial)
    with epoch_progress(len(record.curve), progress_console(sys.stderr)) as on_epoch:
        outcome = train_again(store, record, on_epoch)
    _emit(replay_document(store, outcome), replay_lines(store, outcome), as_json=as_json)


@app.command()
@_errors_in_one_line
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this one.", show_default="list all")] = None,
    as_json: AsJson = False,
) -> None:
    """List the named recipes, or show one.

    Each with its data set, its source and the figure that its source published; one with its fields and layers.

    Examples:

        digits recipes

        digits recipes lenet --json

    """
    from digits_core.recipes import named_recipe

    if name is not None:
        named_recipe(name)  # checked before anything that takes seconds to import
    from sweeps import training_results as results

    if name is None:
        _emit(results.recipe_documents(), results.recipe_lines(), as_json=as_json)
    else:
        _emit(results.one_recipe_document(name), results.one_recipe_lines(name), as_json=as_json)


@app.command()
@_errors_in_one_line
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
        _say(f"only {found} trials are there to combine, not {top}")
    with report_after_result(store) as report:
        _emit(ensemble_document(store, record, report), ensemble_lines(store, record, report), as_json=as_json)


@app.command()
@_errors_in_one_line
def report(
    sweep: SweepName = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="report.html in the sweep's folder")
    ] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Write the HTML report of a sweep.

    It is one file that opens from disk, without a network.

    Examples:

        digits report

        digits report --sweep first --output first.html

    """
    from digits_core.store import SweepStore
    from reports.pages import write_report
    from sweeps.results import open_command

    store = SweepStore.open(runs, sweep)
    path = write_report(store, output)
    document = {"sweep": store.header.name, "report": str(path), "bytes": path.stat().st_size}
    _emit(document, [("report", str(path)), ("next", open_command(path))], as_json=as_json)


@app.command()
@_errors_in_one_line
def doctor(runs: Runs = Path(DEFAULT_RUNS), as_json: AsJson = False) -> None:
    """Show what is here and what a sweep would use.

    Versions, processors, GPUs, data sets at hand, folders.

    Examples:

        digits doctor

        digits doctor --json

    """
    from sweeps.doctor import doctor_lines, examine

    found = examine(runs)
    _emit(dataclasses.asdict(found), doctor_lines(found), as_json=as_json)


if __name__ == "__main__":
    app()
