"""`digits predict` and `digits serve`: a stored model reads pictures of handwriting."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digits_cli import completing
from digits_cli.shell import FAILED, AsJson, Runs, Tta, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from digits_core.handwriting.folders import LeftOut

STORED = "SWEEP (its leader), SWEEP/TRIAL, SWEEP/ensemble"


def _model_option(takes: str) -> Any:
    return typer.Option(
        "--model",
        help=takes,
        show_default="the latest run's ensemble, or its leader",
        autocompletion=completing.model_names,
    )


StoredModel = Annotated[str | None, _model_option(f"{STORED}, or ensemble (the latest one).")]
Model = Annotated[str | None, _model_option(f"{STORED}, ensemble (the latest one), or an ONNX file.")]

TABLES = (".csv", ".tsv", ".parquet")
MOST_NAMED = 20  # files that are not read, named one by one


@errors_in_one_line
def predict(
    images: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders, patterns such as 'scans/*.png'; or a table of pixels, test.csv."),
    ],
    model: Model = None,
    labels_from_name: Annotated[
        bool,
        typer.Option(
            "--labels-from-name",
            help="Also take labels from file names that begin with a single digit: 7-ana.png.",
        ),
    ] = False,
    one_digit: Annotated[
        bool, typer.Option("--one-digit", help="Take every picture to show one digit, whatever else is in it.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Write a page with boxes, what the network saw and the nearest training images."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File for --explain, or for the digits of a table.", show_default="predictions.html in the runs folder"
        ),
    ] = None,
    tta: Tta = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Read handwritten digits in your own pictures.

    Reads PNG, JPEG, WebP, BMP, GIF, TIFF (every page), PGM and AVIF files of any size and colour: photographed, scanned
    or drawn; one digit, a line or a page. Boxes, tables, lines and what else is no digit are left out and named. If the
    labels are known, from --labels-from-name or from a folder per digit (7, seven, class_7), the accuracy and a
    confusion matrix are printed too; pictures that show several digits are read, but not judged. A file that cannot be
    read is reported in one line; the others are still read, and the exit code is 1. Files in a folder that are no
    pictures are named. Links are followed. A table of pixels without labels, such as Kaggle's test.csv, is read into
    the file that Kaggle takes.

    Examples:

        digits predict seven.jpg

        digits predict scans/ --model ensemble --explain

        digits predict 'mine/*.png' --labels-from-name --model first/17 --json

        digits predict seven.jpg --model runs/exports/first-0-onnx/model.onnx

        digits predict test.csv --output submission.csv

    """
    from digits_core.errors import UsageError

    if any(image.lower().rpartition("#")[0].endswith(TABLES) or image.lower().endswith(TABLES) for image in images):
        if len(images) > 1 or labels_from_name or one_digit or explain or output is None:
            raise UsageError("a table is read alone, into a file: digits predict test.csv --output submission.csv")
        _predict_table(images[0], model, output, runs, tta=tta, as_json=as_json)
        return
    if output is not None and not explain:
        raise UsageError("--output names the page that --explain writes; add --explain")
    from digits_core.delivery.inputs import inputs_of

    inputs = inputs_of(images, labels_from_name=labels_from_name)
    from digits_cli.printed.predict import predict_document, reading_lines, summary_lines
    from digits_core.delivery.reader import Reader, open_model

    reader = Reader(open_model(runs, model, tta=tta))
    readings = []
    lines = []
    for reading in reader.read_files(inputs.pictures, one_digit=one_digit):
        readings.append(reading)
        if reading.error:
            say(f"error: {reading.picture.name}: {reading.error}")
        else:
            lines += reading_lines(reading)
    lines += summary_lines(reader.model, readings)
    _say_left_out(inputs.left_out)
    page = None
    if explain:
        from digits_core.runs.command_line import open_command
        from reports.pages.plain import write_reading_page

        used = reader.model
        page = write_reading_page(
            readings, used.name, used.dataset, used.data_checksum, output or runs / "predictions.html"
        )
        lines += [("page", str(page)), ("next", open_command(page))]
    emit(
        predict_document(reader.model, readings, inputs.left_out, str(page) if page else None),
        lines,
        as_json=as_json,
    )
    if any(reading.error for reading in readings):
        raise typer.Exit(FAILED)


def _say_left_out(left_out: Sequence["LeftOut"]) -> None:
    for one in left_out[:MOST_NAMED]:
        say(f"not read: {one.path}: {one.why}")
    if len(left_out) > MOST_NAMED:
        say(f"not read: {len(left_out) - MOST_NAMED:,} more (--json lists all)")


def _predict_table(table: str, model: str | None, output: Path, runs: Path, *, tta: bool | None, as_json: bool) -> None:
    from digits_cli.printed.predict import table_document, table_lines
    from digits_core.delivery.reader import open_model
    from digits_core.delivery.submission import check_output, read_table, write_submission

    check_output(table, output)
    opened = open_model(runs, model, tta=tta)
    digits = read_table(opened, table)
    write_submission(output, digits)
    emit(table_document(opened, digits, output), table_lines(opened, digits, output), as_json=as_json)


@errors_in_one_line
def serve(
    model: Model = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; anything but loopback is open to other machines.")
    ] = "127.0.0.1",
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    tta: Tta = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Serve a page to draw on, and a prediction endpoint.

    Only this machine can connect unless --host says otherwise. POST /predict takes the bytes of a picture;
    /openapi.json describes the API. Requests are limited in size and rate. Stop the server with Ctrl-C.

    Examples:

        digits serve --open

        digits serve --model first/ensemble --port 0 --json

        curl --data-binary @seven.png -H 'Content-Type: image/png' http://127.0.0.1:8000/predict

    """
    from digits_core.delivery.reader import Reader, open_model
    from digits_core.delivery.server import is_loopback, listen, url_of
    from digits_core.delivery.server import serve as answer

    with listen(host, port) as opened:
        reader = Reader(open_model(runs, model, tta=tta))
        url = url_of(opened)
        if not is_loopback(opened):
            say("anyone who can reach this machine can use this page; there is no password")
        emit(
            {"url": url, "model": reader.model.name},
            [("model", reader.model.name), ("stop", "Ctrl-C"), ("next", f"open {url} in a browser")],
            as_json=as_json,
        )
        sys.stdout.flush()
        if open_it:
            import webbrowser

            webbrowser.open(url)
        answer(reader, opened)
