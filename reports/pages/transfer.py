"""The page of `digits transfer`."""

from pathlib import Path

from digits_core.runs.transfer_records import Transfer
from reports.pages.report import page_environment, page_style, write_plain_page


def write_transfer_page(transfer: Transfer, output: Path) -> Path:
    """Write the page and return its absolute path."""
    page = page_environment().get_template("transfer.html.j2").render(transfer=transfer, style=page_style())
    return write_plain_page(page, output)
