"""`digits track`: stored runs told to TensorBoard, MLflow or Weights & Biases."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digits_cli.shell import AsJson, Runs, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from digits_core.runs.run import Run
    from digits_core.tracking.story import Tracker

SECONDS_BETWEEN_LOOKS = 2.0


class Tool(StrEnum):
    """The trackers."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


@errors_in_one_line
def track(
    run: Annotated[str | None, typer.Argument(help="Name of a run.", show_default="the latest")] = None,
    to: Annotated[Tool, typer.Option(help="The tool to send it to.")] = Tool.tensorboard,
    at: Annotated[
        str | None,
        typer.Option(
            help="Folder for TensorBoard or W&B, address of MLflow.",
            show_default="tracked/TOOL in the runs folder; MLFLOW_TRACKING_URI",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Keep sending until the run ends.")] = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Send a run to TensorBoard, MLflow or Weights & Biases.

    Sends what is stored, of a run old or new: each trial's recipe, curve, validation and test figures, seed and
    weights, the ensemble, the run's page and a model card of its leader. Trials are nested below their run, with their
    recipes as hyperparameters. What is there already is not sent again, so the command can be repeated while a run
    grows. Only what has been opened of the test set is sent; nothing is opened. Without an account, W&B keeps the runs
    in a folder until `wandb sync`.

    Examples:

        digits track first

        digits track first --to mlflow --at http://127.0.0.1:5000 --follow

        digits track first --to wandb --json

    """
    from digits_core.runs.run import Run

    opened = Run.open(runs, run)
    tracker = _tracker(to, at, runs)
    sent = kept = 0
    while True:
        is_over = _is_over(opened)
        if is_over:
            _with_page(opened)
        new, old = _send(opened, tracker)
        sent, kept = sent + new, old + new
        if is_over or not follow:
            break
        time.sleep(SECONDS_BETWEEN_LOOKS)
        opened = Run(opened.folder)
    tracker.close()
    document = {
        "run": opened.name,
        "to": to.value,
        "at": tracker.where,
        "entries": kept,
        "sent": sent,
        "is_over": is_over,
        "next": tracker.next_command,
    }
    still = [] if is_over else [("not over", "it is still running: repeat this command, or add --follow")]
    lines = [
        ("run", opened.name),
        ("sent to", f"{to.value}, {tracker.where}"),
        (
            "sent",
            f"{sent:,} of {kept:,} entries; the others were there already" if sent < kept else f"{sent:,} entries",
        ),
        *still,
        ("next", tracker.next_command),
    ]
    emit(document, lines, as_json=as_json)


def _tracker(to: Tool, at: str | None, runs: Path) -> "Tracker":
    folder = Path(at).expanduser() if at else runs / "tracked" / to.value
    if to is Tool.mlflow:
        from digits_core.tracking.to_mlflow import MLflow

        return MLflow(at)
    if to is Tool.wandb:
        from digits_core.tracking.to_wandb import WandB

        return WandB(folder.absolute())
    from digits_core.tracking.to_tensorboard import TensorBoard

    return TensorBoard(folder.absolute())


def _is_over(run: "Run") -> bool:
    from digits_core.runs.ownership import is_running

    return not is_running(run.folder)


def _with_page(run: "Run") -> None:
    """Write the run's page if it has none yet."""
    from digits_core.errors import EnvironmentFailure
    from digits_core.tracking.story import PAGE
    from reports.pages.report import write_report

    if not (run.folder / PAGE).exists() and run.ranked:
        try:
            write_report(run, None)
        except EnvironmentFailure as error:
            say(f"its page is left out: {error}")


def _send(run: "Run", tracker: "Tracker") -> tuple[int, int]:
    """How many of the run's entries were new, and how many were there already."""
    from digits_core.tracking.story import story

    new = old = 0
    first = None
    for entry in story(run):
        first = first or entry
        is_new = tracker.send(entry, first)
        new, old = new + is_new, old + (not is_new)
        if is_new and (new + old) % 20 == 0:
            say(f"{new + old:,} entries")
    return new, old
