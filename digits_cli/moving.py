"""`digits push`, `pull` and `track`: runs to and from a bucket or another folder, and to the trackers people use."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digits_cli import completing
from digits_cli.shell import AsJson, Runs, at_home, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from digits_core.runs.run import Run
    from digits_core.tracking.story import Tracker

SECONDS_BETWEEN_LOOKS = 2.0

Force = Annotated[bool, typer.Option("--force", help="Overwrite what has changed on the other side.")]


@errors_in_one_line
def push(
    run: Annotated[str, typer.Argument(help="Name of a run.", autocompletion=completing.run_names)],
    address: Annotated[str, typer.Argument(help="s3://BUCKET/FOLDER, gs://..., az://... or a folder.")],
    force: Force = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the run from a machine that is lost, without waiting.")
    ] = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Send a run to a bucket or another folder.

    Sends what has changed. If the run has changed there since it was last pushed or pulled, nothing is sent and the
    difference is named. Credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_REGION,
    AWS_ENDPOINT_URL for other stores; GOOGLE_SERVICE_ACCOUNT; AZURE_STORAGE_ACCOUNT_NAME. To send a run while it grows,
    give --push to sweep, resume, train, compare, confirm or ensemble.

    Examples:

        digits push first s3://lab/digits

        digits push first /mnt/backup --json

    """
    from digits_cli.printed.moving import push_document, push_lines
    from digits_core.remote.bucket import Bucket
    from digits_core.remote.copies import check_place, check_push, in_words, lease_on
    from digits_core.remote.copies import push as send
    from digits_core.remote.manifest import Files
    from digits_core.runs.ownership import sole_driver
    from digits_core.runs.run import Run

    folder, bucket = Run.open(runs, run).folder, Bucket(address)
    with sole_driver(folder):
        check_place(bucket, folder)
        files = Files(folder)
        check_push(bucket, files, force=force)  # before the lease: a refused take-over must end no run
        lease = lease_on(bucket, folder, take_over=take_over)
        try:
            done = send(bucket, files, lease, force=force)
        finally:
            lease.release()
    if done.overwritten:
        say(f"overwritten there: {in_words(done.overwritten)}")
    emit(push_document(bucket, run, done), push_lines(bucket, run, done), as_json=as_json)


@errors_in_one_line
def pull(
    address: Annotated[str, typer.Argument(help="ADDRESS/RUN, or ADDRESS for all runs there.")],
    force: Force = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Fetch a run from a bucket or another folder.

    A run appears complete or not at all. If it has changed here since it was last pushed or pulled, it is left alone
    and the difference is named. Also fetches runs that older versions kept in a bucket.

    Examples:

        digits pull s3://lab/digits/first

        digits pull /mnt/backup --runs elsewhere --json

    """
    from digits_cli.printed.moving import pull_document, pull_lines
    from digits_core.remote.copies import found_at, in_words
    from digits_core.remote.copies import pull as fetch

    bucket, names = found_at(address)
    done = []
    for name in names:
        done.append(fetch(bucket, name, runs, force=force))
        if done[-1].overwritten:
            say(f"overwritten in {done[-1].folder}: {in_words(done[-1].overwritten)}")
    emit(pull_document(done), pull_lines(done), as_json=as_json)


class Tool(StrEnum):
    """The trackers."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


@errors_in_one_line
def track(
    run: Annotated[
        str | None,
        typer.Argument(help="Name of a run.", show_default="the latest", autocompletion=completing.run_names),
    ] = None,
    to: Annotated[Tool, typer.Option(help="Tracker to send the run to.")] = Tool.tensorboard,
    at: Annotated[
        str | None,
        typer.Option(
            help="Folder for TensorBoard or W&B, address of MLflow.",
            show_default="tracked/TRACKER in the runs folder; for MLflow, MLFLOW_TRACKING_URI",
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
    from digits_core.runs.ownership import is_running
    from digits_core.runs.run import Run

    opened = Run.open(runs, run)
    tracker = _tracker(to, at, runs)
    sent: set[str] = set()
    kept, is_first = 0, True
    while True:
        is_over = not is_running(opened.folder)
        if is_over:
            _with_page(opened)
        # Of a run that grows, its own entry changes all the time: it is sent at the beginning and at the end.
        new, kept = _send(opened, tracker, with_run=is_first or is_over)
        sent, is_first = sent | new, False
        if is_over or not follow:
            break
        time.sleep(SECONDS_BETWEEN_LOOKS)
        opened = Run(opened.folder)
    document = {
        "run": opened.name,
        "to": to.value,
        "at": tracker.where,
        "entries": kept,
        "sent": len(sent),
        "is_over": is_over,
        "next": tracker.next_command,
    }
    still = [] if is_over else [("not over", "it is still running: repeat this command, or add --follow")]
    lines = [
        ("run", opened.name),
        ("sent to", f"{to.value}, {tracker.where}"),
        ("sent", f"{len(sent):,} of {kept:,} entries" + ("; the rest was there" if len(sent) < kept else "")),
        *still,
        ("next", tracker.next_command),
    ]
    emit(document, lines, as_json=as_json)


def _tracker(to: Tool, at: str | None, runs: Path) -> "Tracker":
    folder = Path(at_home(Path(at))) if at else runs / "tracked" / to.value
    if to is Tool.mlflow:
        from digits_core.tracking.to_mlflow import MLflow

        return MLflow(at)
    if to is Tool.wandb:
        from digits_core.tracking.to_wandb import WandB

        return WandB(folder.absolute())
    from digits_core.tracking.to_tensorboard import TensorBoard

    return TensorBoard(folder.absolute())


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


def _send(run: "Run", tracker: "Tracker", *, with_run: bool) -> tuple[set[str], int]:
    """The keys of the run's entries that were new, and how many entries there are."""
    from digits_core.tracking.story import story

    new: set[str] = set()
    count, first = 0, None
    for count, entry in enumerate(story(run), 1):  # noqa: B007 - how many there were
        first = first or entry
        if (with_run or not entry.is_run) and tracker.send(entry, first):
            new.add(entry.key)
            if len(new) % 20 == 0:
                say(f"{len(new):,} entries sent")
    return new, count
