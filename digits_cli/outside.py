"""`digits judge` and `digits datasets split`: models that are made elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digits_cli import completing
from digits_cli.shell import DATASET_HELP, AsJson, Runs, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from digits_core.data.digits import Digits
    from digits_core.errors import EnvironmentFailure
    from digits_core.judging.leaderboard import Leaderboard
    from digits_core.outside.images import Images
    from digits_core.outside.judged import Judged
    from digits_core.outside.predictions import HandedIn
    from digits_core.runs.run import Run

DEFAULT_TOP = 5


@errors_in_one_line
def judge(
    files: Annotated[list[Path], typer.Argument(help="Predictions made elsewhere: .npz, .csv or .parquet files.")],
    against: Annotated[
        str | None,
        typer.Option(
            help="Run to judge them against, on its images.", show_default=False, autocompletion=completing.run_names
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set whose validation set they predict.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="File with the labels.", show_default="those in the files")
    ] = None,
    top: Annotated[int, typer.Option(help="How many of the run's best candidates to rank with them.")] = DEFAULT_TOP,
    output: Annotated[Path | None, typer.Option(help="HTML page to write.", show_default="none")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Judge models that were made elsewhere.

    A file holds `probabilities` (N, 10) or `predictions` (N,) of the validation images: an NPZ file of one model, a
    table also of several, told apart by columns `model` and `seed`. `indices` are the images' positions in the data
    set; without them, rows must be in the order of `digits datasets split`. The models and a run's best are ranked
    together, with intervals and corrected tests, and with a greedy ensemble of those that have probabilities.

    With --against you can also hand in predictions of the run's test images. That opens the sealed test set, and the
    ledger records it.

    Examples:

        digits judge forest.npz --against first --output judged.html

        digits judge keras-seed1.csv keras-seed2.csv --dataset mnist

        digits judge predictions.parquet --labels labels.npy --json

    """
    from digits_cli.printed.judge import JudgeOutcome, judge_document, judge_lines
    from digits_core.errors import UsageError, check_count
    from digits_core.outside.images import SEALED
    from digits_core.outside.judged import entries_of, entries_of_run, judged, together
    from digits_core.outside.predictions import read_predictions
    from digits_core.stored import MOST_TRIALS

    check_count("--top", top, MOST_TRIALS)
    if sum(one is not None for one in (against, dataset, labels)) > 1:
        raise UsageError("--against, --dataset and --labels each supply the labels; give one of them")
    if output is not None:
        from reports.pages.report import checked_output

        checked_output(output)
    handed = [one for path in files for one in read_predictions(path)]
    images, run, board, digits = _judged_on(handed, runs, against, dataset, labels, top)
    entries = entries_of(handed, images)
    if run is not None and board is not None:
        entries += entries_of_run(run, board, top, on_test=images.part == SEALED)
    combined = together(entries, images)
    result = judged([*entries, *([combined] if combined else [])], images)
    page, failure = _page(result, run, digits, output)
    asked = [("--dataset", dataset), ("--labels", labels), ("--top", top if run and top != DEFAULT_TOP else None)]
    words = [str(word) for name, value in asked if value is not None for word in (name, value)]
    outcome = JudgeOutcome(files=files, judged=result, run=run, board=board, page=page, words=words)
    document = judge_document(outcome)
    emit(document, judge_lines(outcome, document), as_json=as_json)
    if failure is not None:
        raise failure  # after the result, which may have cost an opening


def _page(
    result: "Judged", run: "Run | None", digits: "Digits | None", output: Path | None
) -> "tuple[Path | None, EnvironmentFailure | None]":
    """The page that was written, if one was asked for, or why it could not be: the result is printed first."""
    from digits_core.errors import EnvironmentFailure

    if output is None:
        return None, None
    from reports.pages.plain import write_judged_page
    from reports.rows.judged import judged_page

    rows = judged_page(result, run.name if run else "", len(run.ledger) if run else 0, digits)
    try:
        return write_judged_page(rows, output), None
    except EnvironmentFailure as error:
        return None, error


def _judged_on(
    handed: "list[HandedIn]", runs: Path, against: str | None, dataset: str | None, labels: Path | None, top: int
) -> "tuple[Images, Run | None, Leaderboard | None, Digits | None]":
    """The images, the run that the models are judged against with its leaderboard, and the data set, where known."""
    from digits_core.data.datasets import absolute, digits_at_hand, load_digits
    from digits_core.judging.leaderboard import leaderboard as judge_run
    from digits_core.outside import images as on
    from digits_core.outside.judged import entries_of, entries_of_run
    from digits_core.runs.run import Run

    if dataset is not None:
        digits = load_digits(absolute(dataset))
        return on.images_of_dataset(digits), None, None, digits
    if labels is not None:
        return on.images_of_file(labels), None, None, None
    if against is None:
        return on.images_of_handed(handed), None, None, None
    run = Run.open(runs, against)
    board, (known, _) = judge_run(run), digits_at_hand(run.header.dataset, run.header.data_checksum)
    on_test = on.are_for_test(handed, run, known)
    if on_test and known is not None:
        entries_of(handed, on.unopened_test_images(handed, run, known))  # what does not fit opens nothing
        entries_of_run(run, board, top, on_test=True)  # nor does what cannot be read
        from digits_core.inference.sealed import open_test_labels
        from sweeps.words import counted

        run = open_test_labels(run, f"judging {counted(len({one.model for one in handed}), 'model')} made elsewhere")
        say(f"opened the sealed test set of {run.name}: {counted(len(run.ledger), 'time')} so far")
    return on.images_of_run(run, on_test=on_test), run, board, known


@errors_in_one_line
def split_dataset(
    name: Annotated[str, typer.Argument(help=DATASET_HELP, autocompletion=completing.dataset_names)],
    output: Annotated[Path, typer.Option(help="NPZ file to write.")] = Path("split.npz"),
    as_json: AsJson = False,
) -> None:
    """Export a data set's split, to train elsewhere by the same rules.

    Writes the images, labels and indices of the training and validation sets, and the images and indices of the test
    set without its labels, to one NPZ file. Train with anything, predict the validation images, and hand the
    predictions to `digits judge`: they are judged on the same images as the models of every run on this data set.

    Examples:

        digits datasets split mnist --output mnist.npz

        digits datasets split sklearn-digits --json

    """
    from digits_cli.printed.datasets import split_document, split_lines
    from digits_core.data.datasets import absolute, load_digits
    from digits_core.errors import UsageError
    from digits_core.outside.split import write_split

    if output.suffix.lower() != ".npz":
        raise UsageError(f"--output must name an .npz file, got {str(output)!r}")
    digits = load_digits(absolute(name))
    counts = write_split(digits, output)
    emit(split_document(digits, counts, output), split_lines(digits, counts, output), as_json=as_json)
