"""`digits recipes`, `digits datasets`, `digits report` and `digits doctor`: they train nothing."""

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digits_cli import completing
from digits_cli.shell import DATASET_HELP, FAILED, AsJson, Runs, emit, errors_in_one_line, safe_name, say
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from reports.charts.plotly_library import PlotlyMode


DatasetName = Annotated[str, typer.Argument(help=DATASET_HELP, autocompletion=completing.dataset_names)]


@errors_in_one_line
def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of a recipe.", show_default="list all", autocompletion=completing.recipe_names),
    ] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """List the named recipes, or show one.

    The list gives each recipe's data set, its source, the published result and the result of your stored runs. With a
    name, shows that recipe's fields and layers.

    Examples:

        digits recipes

        digits recipes lenet --json

    """
    from digits_core.recipes import named_recipe

    if name is not None:
        named_recipe(name)  # report an unknown name before the imports that take seconds
    from digits_cli.printed import training as results

    if name is None:
        emit(results.recipe_documents(runs), results.recipe_lines(runs), as_json=as_json)
    else:
        emit(results.one_recipe_document(name), results.one_recipe_lines(name), as_json=as_json)


@errors_in_one_line
def show_dataset(
    name: DatasetName,
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="dataset-NAME.html in the runs folder")
    ] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Show a data set.

    Prints how many images of each digit the training and validation sets have, and writes a page with examples of each.
    The images of the sealed test set are counted, not shown.

    Examples:

        digits datasets show sklearn-digits

        digits datasets show mnist --output mnist.html --json

    """
    from digits_core.data.datasets import absolute, check_dataset, load_digits

    check_dataset(name)
    from digits_cli.printed.datasets import summary_document, summary_lines
    from digits_core.runs.command_line import open_command
    from reports.pages.plain import write_dataset_page
    from reports.rows.dataset import summary_of

    summary = summary_of(load_digits(absolute(name)))
    path = write_dataset_page(summary, output or runs / f"dataset-{safe_name(name)}.html")
    lines = [*summary_lines(summary, path), ("next", open_command(path))]
    emit(summary_document(summary, path), lines, as_json=as_json)


@errors_in_one_line
def check_dataset(name: DatasetName, as_json: AsJson = False) -> None:
    """Check a data set before you train on it.

    Meant above all for your own data: a folder of pictures (folder:PATH, with a folder per digit, named 7, seven or
    class_7, or file names that begin with the digit and no second one; pictures below a top folder `test` stay the test
    set), a CSV file in the format of Kaggle's Digit Recognizer (csv:FILE), an NPZ file with images and labels
    (npz:FILE; pixels are 0 to 255, 0 to 1 or 0 to 16, or as stated: npz:FILE#0..100), or a mixture
    (mnist+folder:PATH). Prints the counts, which names gave which labels, what cannot be used or is not read, and how
    many images are duplicates or also in other data sets. Links are followed. The exit code is 1 if anything prevents
    training.

    Examples:

        digits datasets check folder:mine

        digits datasets check mnist+folder:mine --json

    """
    from digits_cli.printed.datasets import check_document, check_lines
    from digits_core.data.checks import check_data
    from digits_core.data.datasets import absolute

    check = check_data(absolute(name))
    emit(check_document(check), check_lines(check), as_json=as_json)
    if check.problems:
        raise typer.Exit(FAILED)


class Plotly(StrEnum):
    """How a page gets the Plotly library."""

    inline = "inline"
    directory = "directory"
    cdn = "cdn"


@errors_in_one_line
def report(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(help="Names of runs.", show_default="the latest", autocompletion=completing.run_names),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="report.html in the run's folder")
    ] = None,
    plotly: Annotated[
        Plotly, typer.Option(help="How to include Plotly: in the page, in a file beside it, or from the network.")
    ] = Plotly.inline,
    inside: Annotated[
        bool,
        typer.Option("--inside", help="First run the leader's filters and feature maps, if missing."),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Keep rewriting the page until the run ends.")] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Write an HTML report of one run, or of several side by side.

    The report is a single file that opens from disk, without a network; `digits leaderboard report.html` reads it back.
    For several runs it shows their leaderboards, their best scores over time and paired tests between their leaders.

    Examples:

        digits report

        digits report first --output first.html --open

        digits report first second --json

        digits report first --follow

    """
    from digits_core.errors import UsageError

    names = list(dict.fromkeys(sweeps or []))
    if len(names) > 1 and (follow or inside):
        raise UsageError(f"--{'follow' if follow else 'inside'} is for one run, got {len(names)}")
    if len(names) > 1:
        path = _report_several(names, output, plotly.value, runs, as_json=as_json)
    else:
        path = _report_one(names, output, plotly.value, runs, inside=inside, follow=follow, as_json=as_json)
    if open_it:
        import webbrowser

        if not webbrowser.open(path.as_uri()):
            say("could not start a browser; open the file yourself")


def _report_one(
    names: list[str],
    output: Path | None,
    plotly: "PlotlyMode",
    runs: Path,
    *,
    inside: bool,
    follow: bool,
    as_json: bool,
) -> Path:
    from digits_core.runs.command_line import open_command
    from digits_core.runs.run import Run
    from reports.pages.following import follow_report
    from reports.pages.report import write_report

    run = Run.open(runs, names[0] if names else None)
    if inside:
        from sweeps.finishing.insight import keep_inside

        why_not = keep_inside(run)
        if why_not:
            say(f"cannot show the inside of the network: {why_not}")
    if follow:
        path = follow_report(run, output, plotly, lambda page, count: say(f"{page}: {count} trials"))
    else:
        path = write_report(run, output, plotly)
    document = {"sweep": run.header.name, "report": str(path), "bytes": path.stat().st_size}
    emit(document, [("report", str(path)), ("next", open_command(path))], as_json=as_json)
    return path


def _report_several(names: list[str], output: Path | None, plotly: "PlotlyMode", runs: Path, *, as_json: bool) -> Path:
    from digits_cli.printed.versus import versus_document, versus_lines
    from digits_core.runs.run import Run
    from reports.pages.versus import default_output, write_versus

    stores = [Run.open(runs, name) for name in names]
    data, path = write_versus(stores, output or default_output(runs, names), plotly)
    emit(versus_document(data, path), versus_lines(data, path), as_json=as_json)
    return path


@errors_in_one_line
def doctor(runs: Runs = Path(DEFAULT_RUNS), as_json: AsJson = False) -> None:
    """Show what this machine has and what a sweep would use.

    Lists versions, processors, GPUs, available data sets, and the data and runs folders. Changes nothing.

    Examples:

        digits doctor

        digits doctor --json

    """
    from digits_cli.printed.doctor import doctor_lines, examine

    found = examine(runs)
    emit(dataclasses.asdict(found), doctor_lines(found), as_json=as_json)
