"""`digits recipes`, `digits datasets`, `digits report` and `digits doctor`: nothing is trained."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from commands.shell import AsJson, Runs, SweepName, emit, errors_in_one_line
from digits_core import DEFAULT_RUNS


@errors_in_one_line
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this one.", show_default="list all")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """List the named recipes, or show one.

    Each with its data set, its source, the figure that its source published and what the stored runs reached; one
    with its fields and layers.

    Examples:

        digits recipes

        digits recipes lenet --json

    """
    from digits_core.recipes import named_recipe

    if name is not None:
        named_recipe(name)  # checked before anything that takes seconds to import
    from sweeps import training_results as results

    if name is None:
        emit(results.recipe_documents(runs), results.recipe_lines(runs), as_json=as_json)
    else:
        emit(results.one_recipe_document(name), results.one_recipe_lines(name), as_json=as_json)


@errors_in_one_line
def show_dataset(
    name: Annotated[str, typer.Argument(help="Data set: sklearn-digits, mnist, optdigits or optdigits-pooled.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="dataset-NAME.html in the runs folder")
    ] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Show a data set.

    How many images of each digit its parts have, and a page with examples of each. The sealed test part is counted,
    not shown.

    Examples:

        digits datasets show sklearn-digits

        digits datasets show mnist --output mnist.html --json

    """
    from digits_core.data import check_dataset

    check_dataset(name)
    from digits_core.command_line import open_command
    from reports.dataset_page import summary_document, summary_lines, summary_of, write_dataset_page

    summary = summary_of(name)
    path = write_dataset_page(summary, output or runs / f"dataset-{name}.html")
    lines = [*summary_lines(summary, path), ("next", open_command(path))]
    emit(summary_document(summary, path), lines, as_json=as_json)


@errors_in_one_line
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
    from digits_core.command_line import open_command
    from digits_core.store import SweepStore
    from reports.pages import write_report

    store = SweepStore.open(runs, sweep)
    path = write_report(store, output)
    document = {"sweep": store.header.name, "report": str(path), "bytes": path.stat().st_size}
    emit(document, [("report", str(path)), ("next", open_command(path))], as_json=as_json)


@errors_in_one_line
def doctor(runs: Runs = Path(DEFAULT_RUNS), as_json: AsJson = False) -> None:
    """Show what is here and what a sweep would use.

    Versions, processors, GPUs, data sets at hand, folders.

    Examples:

        digits doctor

        digits doctor --json

    """
    from sweeps.doctor import doctor_lines, examine

    found = examine(runs)
    emit(dataclasses.asdict(found), doctor_lines(found), as_json=as_json)
