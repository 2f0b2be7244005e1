"""A data set's page, and what `digits datasets show` prints."""

import dataclasses
from pathlib import Path
from typing import Any

from reports.pages.report import page_environment, page_style, write_plain_page
from reports.rows.dataset import DatasetSummary


def write_dataset_page(summary: DatasetSummary, output: Path) -> Path:
    """Write the page and return its absolute path."""
    page = page_environment().get_template("dataset.html.j2").render(summary=summary, style=page_style())
    return write_plain_page(page, output)


def summary_document(summary: DatasetSummary, page: Path) -> dict[str, Any]:
    """What `datasets show --json` prints."""
    fields = [field.name for field in dataclasses.fields(summary) if field.name != "examples"]
    return {**{name: getattr(summary, name) for name in fields}, "page": str(page)}


def summary_lines(summary: DatasetSummary, page: Path) -> list[tuple[str, str]]:
    """What `datasets show` prints for people, but for the next command."""
    lines = [
        (summary.name, f"{summary.provenance}; {summary.side}x{summary.side} pixels"),
        ("digit", f"{'training':>9}{'validation':>12}{'mean ink':>10}"),
    ]
    rows = zip(summary.train_counts, summary.validation_counts, summary.ink, strict=True)
    for digit, (train, validation, ink) in enumerate(rows):
        lines.append((f"  {digit}", f"{train:>9,}{validation:>12,}{ink:>10.1%}"))
    lines.append(("all", f"{sum(summary.train_counts):>9,}{sum(summary.validation_counts):>12,}"))
    lines.append(("sealed test", f"{summary.test_n:,} images, not looked at"))
    lines.append(("page", str(page)))
    return lines
