"""A data set's page: how many images of each digit its parts have, and examples of each; the sealed part stays shut."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.data import CLASS_COUNT, load_digits
from digits_core.durable import write_atomically
from digits_core.errors import EnvironmentFailure
from reports.pages import checked_output, page_environment, page_style

EXAMPLE_COUNT = 24
GAP = 1  # pixels between two examples


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """What there is of a data set, without its sealed test part."""

    name: str
    provenance: str
    side: int
    checksum: str
    train_counts: tuple[int, ...]  # by digit
    validation_counts: tuple[int, ...]
    test_n: int
    ink: tuple[float, ...]  # by digit: mean brightness of the training images, 0..1
    examples: tuple[npt.NDArray[np.uint8], ...]  # by digit: the first training images side by side


def summary_of(name: str) -> DatasetSummary:
    """Load and count. Raises EnvironmentFailure where the files are missing or damaged."""
    digits = load_digits(name)
    train, validation, test = digits.parts
    by_digit = [train[digits.labels[train] == digit] for digit in range(CLASS_COUNT)]
    return DatasetSummary(
        name=name,
        provenance=digits.provenance,
        side=digits.side,
        checksum=digits.checksum,
        train_counts=tuple(len(indices) for indices in by_digit),
        validation_counts=tuple(np.bincount(digits.labels[validation], minlength=CLASS_COUNT).tolist()),
        test_n=len(test),
        ink=tuple(float(digits.images[indices].mean() / 255) for indices in by_digit),
        examples=tuple(strip(digits.images[indices[:EXAMPLE_COUNT]]) for indices in by_digit),
    )


def strip(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Images (N, H, W) side by side with a dark gap: (H, N * (W + gap) - gap)."""
    widened = np.pad(images, ((0, 0), (0, 0), (0, GAP)))
    return np.concatenate(list(widened), axis=1)[:, :-GAP]


def write_dataset_page(summary: DatasetSummary, output: Path) -> Path:
    """Write the page and return its absolute path."""
    path = checked_output(output)
    page = page_environment().get_template("dataset.html.j2").render(summary=summary, style=page_style())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page.encode())
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror}; --output writes it elsewhere") from error
    return path


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
