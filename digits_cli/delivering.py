"""`digits export` and `digits transfer`: models for other programs, and models on other data sets."""

from pathlib import Path
from typing import Annotated

import typer

from digits_cli.predicting import StoredModel
from digits_cli.shell import AsJson, Runs, Tta, emit, errors_in_one_line, safe_name, say
from digits_core import DEFAULT_RUNS


@errors_in_one_line
def export(
    model: StoredModel = None,
    format_: Annotated[str, typer.Option("--format", help="File format: onnx, torchscript or c.")] = "onnx",
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Export the ensemble of --model, or the latest one.")
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise to 8-bit integers: a quarter of the size.")] = False,
    preprocess: Annotated[
        bool,
        typer.Option(
            "--preprocess",
            help="Include preprocessing: accept uint8 images of any size, dark on light or light on dark.",
        ),
    ] = False,
    max_flash: Annotated[
        str | None,
        typer.Option(help="With --format c: fail if it needs more flash than this, e.g. 64k.", show_default="no limit"),
    ] = None,
    licence: Annotated[
        str, typer.Option("--license", help="Licence of the weights, for the model card: apache-2.0, mit, cc-by-4.0...")
    ] = "unknown",
    tta: Tta = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write to.", show_default="exports/ in the runs folder")
    ] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Export a model for other programs.

    Writes ONNX (the default), TorchScript, or C99 without malloc for a microcontroller, together with a model card, to
    a folder below exports/ in the runs folder, which can be uploaded to the Hugging Face hub as it is. Before anything
    is written, the sealed test set is opened: the exported model is run beside torch on every test image, and their
    predictions must agree; with --int8 the loss of accuracy is printed instead.

    Examples:

        digits export --model first/17

        digits export --ensemble --preprocess --json

        digits export --model first --tta

        digits export --model small --format c --int8 --max-flash 64k

    """
    from digits_core.delivery.exports import ExportConfig
    from digits_core.errors import UsageError

    config = ExportConfig(
        format=format_,
        int8=int8,
        takes_bytes=preprocess,
        max_flash=None if max_flash is None else _bytes_of(max_flash),
        licence=licence,
    )
    if ensemble and model is not None and "/" in model:
        raise UsageError(f"--ensemble takes a sweep, not a trial; write --model {model.partition('/')[0]} --ensemble")
    selector = (f"{model}/ensemble" if model not in (None, "ensemble") else "ensemble") if ensemble else model
    from digits_cli.printed.delivering import export_document, export_lines
    from digits_core.delivery.exporting import export as write_export
    from digits_core.inference.classifier import open_classifier

    classifier = open_classifier(runs, selector, tta=tta)
    kind = "-".join([format_, *(["int8"] if int8 else []), *(["tta"] if classifier.pose_count > 1 else [])])
    folder = output or runs / "exports" / f"{safe_name(classifier.name)}-{kind}"
    result = write_export(classifier, config, folder, say)
    emit(export_document(result), export_lines(result), as_json=as_json)


def _bytes_of(text: str) -> int:
    """`64k` -> 65536."""
    import re

    from digits_core.errors import UsageError

    match = re.fullmatch(r"([0-9]{1,9})\s*([kKmM]?)[bB]?", text.strip())
    if match is None or not int(match[1]):
        raise UsageError(f"--max-flash must be a size such as 64k, got {text!r}")
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024**2}[match[2].lower()]


@errors_in_one_line
def transfer(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models, one row each: SWEEP, SWEEP/TRIAL or SWEEP/ensemble.",
            show_default="the latest run's ensemble, or its leader",
        ),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", help="Data set, or folder:PATH. Repeatable.", show_default="all that are on this machine"),
    ] = None,
    corruptions: Annotated[
        bool,
        typer.Option(
            "--corruptions", help="Also test on the models' own test images with the fifteen MNIST-C corruptions."
        ),
    ] = False,
    tta: Tta = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="transfer.html in the runs folder")
    ] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Test models on data sets that they were not trained on.

    Prints accuracy, with intervals, of every model on the test set of every data set, and writes the matrix as an HTML
    page; the runs' reports show it too. Images of another size are all converted in the same way, which the page
    describes. Test images that a model was trained or selected on (found by content) are counted, and those figures are
    greyed out.

    Examples:

        digits transfer

        digits transfer first/ensemble small --on mnist --on folder:mine --json

        digits transfer first --corruptions

    """
    from digits_core.data.datasets import absolute, check_dataset
    from digits_core.runs.command_line import open_command

    for name in on or []:
        check_dataset(name)
    from digits_cli.printed.delivering import transfer_document, transfer_lines
    from digits_core.delivery.transfer import default_datasets
    from digits_core.delivery.transfer import transfer as run_transfer
    from digits_core.inference.classifier import open_classifier
    from reports.pages.plain import write_transfer_page

    selectors: list[str | None] = list(dict.fromkeys(models)) if models else [None]
    classifiers = [open_classifier(runs, selector, tta=tta) for selector in selectors]
    columns = list(dict.fromkeys(map(absolute, on or []))) or default_datasets(classifiers)
    result = run_transfer(classifiers, columns, corruptions=corruptions, say=say)
    page = write_transfer_page(result, output or runs / "transfer.html")
    lines = [*transfer_lines(result), ("page", str(page)), ("next", open_command(page))]
    emit(transfer_document(result, str(page)), lines, as_json=as_json)
