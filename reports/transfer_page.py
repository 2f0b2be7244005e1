"""The page of `digits transfer`."""

from pathlib import Path

from digits_core.durable import write_atomically
from digits_core.errors import EnvironmentFailure
from digits_core.transfer_records import Transfer
from reports.pages import checked_output, page_environment, page_style


def write_transfer_page(transfer: Transfer, output: Path) -> Path:
    """Write the page and return its absolute path."""
    path = checked_output(output)
    page = page_environment().get_template("transfer.html.j2").render(transfer=transfer, style=page_style())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page.encode())
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror}; --output writes it elsewhere") from error
    return path
