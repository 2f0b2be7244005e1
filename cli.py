"""The `digits` command: its commands in the order in which `digits --help` lists them."""

from typing import Annotated

import typer

from digits_cli import delivering, explaining, judging, looking, moving, outside, searching, showing, training
from digits_cli import predicting as reading
from digits_cli.agents import command as agents

app = typer.Typer(
    help="Search, combine and honestly compare classifiers of handwritten digits.\n\n"
    "Start with `digits sweep --trials 100`, then `digits ensemble --top 5`. `digits leaderboard` and `digits confirm`"
    " show which differences are real and which are luck.\n\n"
    "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.\n\n"
    "Examples:\n\n    digits sweep --trials 100\n\n    digits ensemble --top 5\n\n    digits leaderboard",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


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


datasets = typer.Typer(
    help="Show, check or hand out a data set.\n\n"
    "Examples:\n\n    digits datasets show mnist\n\n    digits datasets check folder:my-pictures",
    no_args_is_help=True,
    rich_markup_mode=None,
)
datasets.command("show")(showing.show_dataset)
datasets.command("check")(showing.check_dataset)
datasets.command("split")(outside.split_dataset)
for command in (
    searching.sweep,
    searching.space,
    searching.resume,
    judging.leaderboard,
    outside.judge,
    judging.confirm,
    judging.ensemble,
    judging.doubts,
    reading.predict,
    delivering.export,
    delivering.transfer,
    reading.serve,
    showing.report,
    looking.ls,
    looking.show,
    looking.watch,
    looking.rm,
    moving.push,
    moving.pull,
    moving.track,
    training.train,
    training.compare,
    training.replay,
    showing.recipes,
    agents.mcp,
    showing.doctor,
):
    app.command()(command)
app.command("help")(explaining.help_about)
app.add_typer(datasets, name="datasets")


if __name__ == "__main__":
    from digits_cli.entry import main

    main()
