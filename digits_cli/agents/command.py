"""`digits mcp`."""

from pathlib import Path
from typing import Annotated

import typer

from digits_cli.shell import Runs, errors_in_one_line, say
from digits_core import DEFAULT_RUNS


@errors_in_one_line
def mcp(
    most_trials: Annotated[int, typer.Option(help="Refuse a job with more trials than this.")] = 200,
    most_minutes: Annotated[float, typer.Option(help="Stop a job after this long; what it finished is kept.")] = 60.0,
    allow: Annotated[
        list[Path] | None,
        typer.Option(help="Let clients read files of this folder too: own data, predictions. Repeatable."),
    ] = None,
    runs: Runs = Path(DEFAULT_RUNS),
) -> None:
    """Serve digits to an agent, as a Model Context Protocol server on stdin and stdout.

    Put this command into your MCP client's settings; the client starts it. Its tools are commands of digits, with the
    documents that --json prints. Tools that only read answer directly. sweep, compare, train, confirm,
    ensemble, export, report and resume are jobs: they return at once and are watched and stopped through tools. Clients
    see one runs folder, cannot delete anything, and cannot open a port. When the client is gone, a running job is
    interrupted as by Ctrl-C. docs/agents.md says more.

    Examples:

        digits mcp

        digits mcp --runs /data/runs --most-trials 50 --most-minutes 30 --allow /data/predictions

    """
    from digits_core.errors import UsageError

    if most_trials < 1 or not most_minutes > 0:
        raise UsageError("--most-trials and --most-minutes must be above 0")
    for folder in allow or []:
        if not folder.is_dir():
            raise UsageError(f"--allow: there is no folder {folder}")
    from digits_cli.agents.server import serve
    from digits_cli.agents.tools import Limits

    say(f"serving {runs.absolute()} to an MCP client on stdin and stdout; Ctrl-C or closing stdin ends it")
    serve(Limits(runs=runs.absolute(), folders=tuple(allow or ()), most_trials=most_trials, most_minutes=most_minutes))
