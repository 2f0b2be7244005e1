"""`digits predict` and `digits serve`: pictures of handwriting read by a stored model."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from digits_cli.shell import FAILED, AsJson, Runs, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="SWEEP (its leader), SWEEP/TRIAL, SWEEP/ensemble, or ensemble: the latest one.",
        show_default="the latest run's ensemble, or its leader",
    ),
]


@errors_in_one_line
def predict(
    images: Annotated[list[str], typer.Argument(help="Pictures, folders of pictures, or patterns as 'scans/*.png'.")],
    model: Model = None,
    labels_from_name: Annotated[
        bool, typer.Option("--labels-from-name", help="The first character of a file's name is the digit it shows.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Write a page: boxes, what the network saw, the nearest training images.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="File for --explain.", show_default="predictions.html in the runs folder")
    ] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Read handwritten digits in pictures of your own.

    PNG, JPEG, WebP or BMP of any size and colour; photographed, scanned or drawn; one digit, a line or a page. Folders
    with a sub-folder for each digit, and --labels-from-name, give an accuracy and a confusion matrix; each picture is
    then taken to hold one digit. A file that cannot be read is named in one line, the others are still answered, and
    the exit code is 1.

    Examples:

        digits predict seven.jpg

        digits predict scans/ --model ensemble --explain

        digits predict 'mine/*.png' --labels-from-name --model first/17 --json

    """
    from digits_core.errors import UsageError

    if output is not None and not explain:
        raise UsageError("--output is where --explain writes its page; add --explain")
    from digits_core.delivery.inputs import pictures_of
    from digits_core.handwriting.reading import printable

    pictures = pictures_of(images, labels_from_name=labels_from_name)
    from digits_cli.printed.predict import predict_document, reading_lines, summary_lines
    from digits_core.delivery.reader import Reader
    from digits_core.inference.classifier import open_classifier

    reader = Reader(open_classifier(runs, model))
    readings = []
    lines = []
    for reading in reader.read_files(pictures):
        readings.append(reading)
        if reading.error:
            say(f"error: {printable(reading.picture.path)}: {reading.error}")
        else:
            lines += reading_lines(reading)
    lines += summary_lines(reader.classifier, readings)
    page = None
    if explain:
        from digits_core.runs.command_line import open_command
        from reports.pages.plain import write_reading_page

        page = write_reading_page(
            readings, reader.classifier.name, reader.classifier.header, output or runs / "predictions.html"
        )
        lines += [("page", str(page)), ("next", open_command(page))]
    emit(predict_document(reader.classifier, readings, str(page) if page else None), lines, as_json=as_json)
    if any(reading.error for reading in readings):
        raise typer.Exit(FAILED)


@errors_in_one_line
def serve(
    model: Model = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; what is not loopback is open to others.")
    ] = "127.0.0.1",
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Serve a page to draw digits on, and an endpoint that reads pictures.

    On this machine alone unless --host says otherwise. POST /predict takes a picture's bytes; /openapi.json describes
    it. Requests are bounded in size and rate. Ctrl-C ends it.

    Examples:

        digits serve --open

        digits serve --model first/ensemble --port 0 --json

        curl --data-binary @seven.png -H 'Content-Type: image/png' http://127.0.0.1:8000/predict

    """
    from digits_core.delivery.reader import Reader
    from digits_core.delivery.server import is_loopback, listen, url_of
    from digits_core.delivery.server import serve as answer
    from digits_core.inference.classifier import open_classifier

    with listen(host, port) as opened:
        reader = Reader(open_classifier(runs, model))
        url = url_of(opened)
        if not is_loopback(opened):
            say("this page is open to everyone who can reach this machine; it asks for no password")
        emit(
            {"url": url, "model": reader.classifier.name},
            [("model", reader.classifier.name), ("stop", "Ctrl-C"), ("next", f"open {url} in a browser")],
            as_json=as_json,
        )
        sys.stdout.flush()
        if open_it:
            import webbrowser

            webbrowser.open(url)
        answer(reader, opened)
