"""Pages without charts or scripts: data sets, `digits judge`, `digits transfer`, `digits predict --explain`."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from digits_core.data.datasets import load_digits
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.handwriting.reading import Reading, left_out_text
from digits_core.judging.stats import accuracy_interval
from digits_core.runs.durable import as_utf8, write_output
from digits_core.runs.transfer_records import Transfer
from reports.pages.report import checked_output, page_environment, page_style
from reports.rows.dataset import DatasetSummary
from reports.rows.judged import JudgedPage
from reports.rows.reading import ReadingPage, reading_page

JPEG_QUALITY = 80


def write_reading_page(
    readings: Sequence[Reading], model: str, dataset: str, data_checksum: str | None, output: Path
) -> Path:
    """Write the page of the pictures that a model read; return its absolute path.

    dataset, data_checksum: what the model was trained on; the checksum is None for a model made elsewhere.
    """
    checked_output(output)  # fail before the slow search for neighbours
    digits, why_not = None, "the file does not say which images it was trained on"
    try:
        if data_checksum is not None:
            digits, why_not = load_digits(dataset), ""
            if digits.checksum != data_checksum:
                digits, why_not = None, f"the data set {dataset} on this machine is not the one it was trained on"
    except (EnvironmentFailure, UsageError) as error:
        why_not = str(error)
    page = render_reading_page(reading_page(readings, model, dataset, digits, why_not))
    return write_plain_page(page, output)


def render_reading_page(page: ReadingPage) -> str:
    """The page as one HTML file without scripts."""
    environment = page_environment()
    environment.filters.update(jpeg=jpeg_uri, left_out_text=left_out_text)
    interval = accuracy_interval(page.wrong_count, len(page.known)) if page.known else None
    return environment.get_template("reading.html.j2").render(page=page, interval=interval, style=page_style())


def jpeg_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """Encode a picture (H, W, 3) as a JPEG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def write_plain_page(page: str, output: Path) -> Path:
    """Write a page without charts; return its absolute path. Raises EnvironmentFailure if that fails."""
    path = checked_output(output)
    write_output(path, as_utf8(page))
    return path


def write_dataset_page(summary: DatasetSummary, output: Path) -> Path:
    """Write the page; return its absolute path."""
    page = page_environment().get_template("dataset.html.j2").render(summary=summary, style=page_style())
    return write_plain_page(page, output)


def write_judged_page(page: JudgedPage, output: Path) -> Path:
    """Write the page; return its absolute path."""
    text = page_environment().get_template("judged.html.j2").render(page=page, style=page_style())
    return write_plain_page(text, output)


def write_transfer_page(transfer: Transfer, output: Path) -> Path:
    """Write the page; return its absolute path."""
    page = page_environment().get_template("transfer.html.j2").render(transfer=transfer, style=page_style())
    return write_plain_page(page, output)
