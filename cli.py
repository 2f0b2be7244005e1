"""The `digits` command: read arguments, call one function, print. Heavy imports stay inside the commands."""

import dataclasses
import functools
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

if TYPE_CHECKING:
    from digits_core.metrics import Score
    from digits_core.records import Contender, SweepSummary
    from digits_core.store import SweepStore

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

DEFAULT_RUNS = Path("runs")
Runs = Annotated[Path, typer.Option(envvar="DIGITS_RUNS", help="Folder that holds the sweeps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
SweepName = Annotated[str | None, typer.Option("--sweep", help="Name of the sweep.", show_default="the latest")]


def _errors_in_one_line(function: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors that are meant for the user into one line on stderr and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        from digits_core.errors import EnvironmentFailure, UsageError

        try:
            function(*args, **kwargs)
        except UsageError as error:
            _say(f"error: {error}")
            raise typer.Exit(USAGE) from None
        except EnvironmentFailure as error:
            _say(f"error: {error}")
            raise typer.Exit(FAILED) from None
        except OSError as error:  # a full disk, a folder that was removed: nothing that a traceback would explain
            _say(f"error: {error}")
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return guarded


def _say(text: str) -> None:
    """Progress and errors go to stderr."""
    typer.echo(text, err=True)


def _emit(document: dict[str, Any], lines: list[tuple[str, str]], *, as_json: bool) -> None:
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
    dataset: Annotated[str, typer.Option(help="Data set; `digits doctor` lists them.")] = "sklearn-digits",
    name: Annotated[str | None, typer.Option(help="Name of the sweep.", show_default="data set and time")] = None,
    runs: Runs = DEFAULT_RUNS,
    seed: Annotated[int, typer.Option(help="Seed of the search; trial i trains from seed + i.")] = 0,
    max_epochs: Annotated[
        int | None, typer.Option(help="Epochs of a trial that is not stopped early.", show_default="fits the data set")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Trials at a time.", show_default="all processors, or GPUs")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search for the best recipe: Ray Tune runs the trials, Optuna chooses them, ASHA stops the weak ones.

    Ctrl-C keeps everything that is finished.

    Examples:
        digits sweep --trials 100

        digits sweep --dataset mnist --trials 30 --name first

        digits sweep --trials 20 --max-epochs 5 --json > result.json

    """
    from rich.console import Console

    from reports.pages import write_report
    from sweeps.finalists import score_winner_on_test
    from sweeps.progress import make_view
    from sweeps.runner import SweepConfig, plan_sweep, run_sweep

    config = SweepConfig(
        runs=runs,
        name=name if name is not None else time.strftime(f"{dataset}-%Y%m%d-%H%M%S"),
        dataset=dataset,
        trials=trials,
        seed=seed,
        max_epochs=max_epochs,
        concurrency=concurrency,
    )
    plan = plan_sweep(config)
    _say(
        f"sweep {config.name}: {trials} trials on {dataset}, {plan.concurrency} at a time on {plan.device_type};"
        f" the {plan.space_name} space, at most {plan.max_epochs} epochs a trial"
    )
    store, summary = run_sweep(plan, make_view(trials, plan.max_epochs, Console(stderr=True)))
    tested = None if summary.interrupted else score_winner_on_test(store)
    report = write_report(store) if store.ranked() else None
    test = tested[1] if tested else None
    _emit(_sweep_document(store, summary, report, test), _sweep_lines(store, summary, report, test), as_json=as_json)
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report is None:
        errors = [record.error.strip().splitlines()[-1] for record in store.records() if record.error]
        _say(f"error: all {len(errors)} trials failed; the last one: {errors[-1]}")
        raise typer.Exit(FAILED)


def _sweep_document(
    store: "SweepStore", summary: "SweepSummary", report: Path | None, test: "Score | None"
) -> dict[str, Any]:
    """What `sweep --json` prints. `report` and `best` are null where no trial counts."""
    winner = next(iter(store.ranked()), None)
    best = winner and {
        "trial": winner.trial,
        "recipe_id": winner.recipe.recipe_id,
        "recipe": dataclasses.asdict(winner.recipe),
        "validation": winner.validation and _score_document(winner.validation),
        "test": test and _score_document(test),
    }
    return {
        "sweep": store.header.name,
        "folder": str(store.folder.absolute()),
        "report": report and str(report),
        "dataset": store.header.dataset,
        "trials": store.status_counts(),
        "interrupted": summary.interrupted,
        "seconds": summary.seconds,
        "training_share": summary.training_share,
        "test_openings": len(store.ledger()),
        "best": best,
    }


def _sweep_lines(
    store: "SweepStore", summary: "SweepSummary", report: Path | None, test: "Score | None"
) -> list[tuple[str, str]]:
    """What `sweep` prints for people."""
    from sweeps.progress import describe, duration

    header, counts, lines = store.header, store.status_counts(), []
    if summary.interrupted:
        lines.append(("interrupted", f"{sum(counts.values())} of {header.trial_count} trials are kept"))
    for winner in store.ranked()[:1]:
        assert winner.validation is not None
        unopened = "not opened, because the sweep was interrupted"
        lines.append(("winner", f"trial {winner.trial}: {describe(winner)}"))
        lines.append(("  validation", _score_text(winner.validation)))
        lines.append(("  sealed test", f"{_score_text(test)}; opened {len(store.ledger())} time" if test else unopened))
    shares = f"{summary.training_share:.0%} of the workers' time spent training"
    ended = f"{counts['finished']} finished, {counts['stopped']} stopped early, {counts['failed']} failed"
    lines.append(("trials", f"{ended} in {duration(summary.seconds)}; {shares}"))
    lines.append(("folder", str(store.folder.absolute())))
    if summary.interrupted:
        lines.append(("to search on", f"{_search_on_command(store)} (a new sweep)"))
    if report:
        lines.append(("report", str(report)))
        lines.append(("next", _digits_command("ensemble", "--top", 5, "--sweep", header.name, *_runs_option(store))))
    return lines


def _search_on_command(store: "SweepStore") -> str:
    """The command that runs what an interrupted sweep did not get to, with seeds that it did not use."""
    header = store.header
    return _digits_command(
        "sweep", "--dataset", header.dataset, "--trials", header.trial_count - len(store.records()),
        "--seed", header.seed + header.trial_count, "--max-epochs", header.max_epochs,
        "--concurrency", header.concurrency, *_runs_option(store),
    )  # fmt: skip


@app.command()
@_errors_in_one_line
def ensemble(
    top: Annotated[int, typer.Option(help="How many of the best trials to combine.")] = 5,
    sweep: SweepName = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Combine the best trials of a sweep from their stored predictions; nothing is trained again.

    A uniform vote and Caruana's greedy selection, both against the best single model. Greedy is used only
    where it beats the uniform vote by more than chance would explain.

    Examples:
        digits ensemble --top 5

        digits ensemble --top 10 --sweep first --json

    """
    from digits_core.store import SweepStore
    from reports.pages import write_report
    from sweeps.finalists import build_ensemble

    store = SweepStore.open(runs, sweep)
    record = build_ensemble(store, top)
    found = len(record.contender("uniform").weights)
    if found < top:
        _say(f"only {found} trials are there to combine, not {top}")
    report = write_report(store)
    document = {
        "sweep": store.header.name,
        "report": str(report),
        "ensemble": {
            "method": record.method,
            "reason": record.reason,
            "members": [{"trial": trial, "weight": weight} for trial, weight in record.chosen.weights.items()],
            **_contender_document(record.chosen),
        },
        "best_single": {"trial": next(iter(record.best_single.weights)), **_contender_document(record.best_single)},
        "contenders": [
            {"method": contender.method, **_contender_document(contender)} for contender in record.contenders
        ],
        "test_openings": len(store.ledger()),
    }
    lines = []
    for contender in record.contenders:
        label = "best single" if contender.method == "single" else contender.method
        lines.append((label, "  ".join(f"trial {t} ({w:.2f})" for t, w in contender.weights.items())))
        lines.append(("  validation", _score_text(contender.validation)))
        lines.append(("  sealed test", _score_text(contender.test)))
    lines.append(("used", f"{record.method}: {record.reason}"))
    lines.append(("test opened", f"{len(store.ledger())} times"))
    lines.append(("report", str(report)))
    lines.append(("next", _open_command(report)))
    _emit(document, lines, as_json=as_json)


@app.command()
@_errors_in_one_line
def report(
    sweep: SweepName = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="report.html in the sweep's folder")
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Write the HTML report of a sweep: one file that opens from disk, without a network.

    Examples:
        digits report

        digits report --sweep first --output first.html

    """
    from digits_core.store import SweepStore
    from reports.pages import write_report

    store = SweepStore.open(runs, sweep)
    path = write_report(store, output)
    document = {"sweep": store.header.name, "report": str(path), "bytes": path.stat().st_size}
    _emit(document, [("report", str(path)), ("next", _open_command(path))], as_json=as_json)


@app.command()
@_errors_in_one_line
def doctor(runs: Runs = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """Print versions, processors, GPUs, data sets at hand, folders, and what a sweep would use.

    Examples:
        digits doctor

        digits doctor --json

    """
    from sweeps.doctor import examine

    found = examine(runs)
    lines = [
        ("versions", ", ".join(f"{package} {version}" for package, version in found.versions.items())),
        ("processors", f"{found.processor_count} ({found.processor})"),
        ("GPUs", ", ".join(found.gpus) or "none"),
        ("bfloat16", "in hardware" if found.native_bfloat16 else "not in hardware; float32 is used"),
        *((f"data: {name}", availability) for name, availability in found.datasets.items()),
        ("data folder", f"{found.data_folder} (DIGITS_DATA_DIR changes it)"),
        (
            "runs folder",
            f"{found.runs_folder}, {found.sweep_count} sweeps{'' if found.runs_writable else ', NOT WRITABLE'}",
        ),
        ("would use", found.would_use),
        ("next", "digits sweep --trials 100"),
    ]
    _emit(dataclasses.asdict(found), lines, as_json=as_json)


def _score_document(score: "Score") -> dict[str, Any]:
    """A score with the 95 % Wilson interval of its accuracy."""
    from digits_core.stats import accuracy_interval

    interval = accuracy_interval(score.error_count, score.n)
    return {**dataclasses.asdict(score), "accuracy_interval": [interval.low, interval.high]}


def _contender_document(contender: "Contender") -> dict[str, Any]:
    return {"validation": _score_document(contender.validation), "test": _score_document(contender.test)}


def _score_text(score: "Score") -> str:
    from digits_core.stats import accuracy_interval

    interval = accuracy_interval(score.error_count, score.n)
    return (
        f"{score.accuracy:.2%} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
        f"  {score.error_count} of {score.n:,} wrong, NLL {score.nll:.4f}"
    )


def _runs_option(store: "SweepStore") -> list[str]:
    return [] if store.folder.parent == DEFAULT_RUNS else ["--runs", str(store.folder.parent)]


def _digits_command(*words: object) -> str:
    """A command line that can be pasted into a shell."""
    return shlex.join(["digits", *map(str, words)])


def _open_command(path: Path) -> str:
    opener = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")
    return shlex.join([opener, str(path)])


if __name__ == "__main__":
    app()
