"""What `digits datasets show`, `check` and `split` print."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from digits_core.data.checks import DataCheck
from digits_core.data.digits import Digits
from digits_core.handwriting.folders import LeftOut
from digits_core.runs.command_line import digits_command
from reports.rows.dataset import DatasetSummary

MOST_FILES = 20  # of a kind listed by name


def check_document(check: DataCheck) -> dict[str, Any]:
    return {**dataclasses.asdict(check), "usable": not check.problems}


def check_lines(check: DataCheck) -> list[tuple[str, str]]:
    lines = [
        ("data set", check.name),
        ("images", f"{check.image_count:,} of {check.side}x{check.side} pixels, SHA-256 {check.checksum[:12]}"),
        ("by digit", "  ".join(f"{digit}: {count:,}" for digit, count in enumerate(check.counts))),
    ]
    if check.provenance:
        lines.append(("read from", check.provenance))
    lines += [("label" if not number else "", example) for number, example in enumerate(check.examples)]
    if check.test_count:
        lines.append(("test set", f"{check.test_count:,} of the images, as the data set has it"))
    if check.twice:
        lines.append(("duplicates", f"{check.twice:,} images are copies of others"))
    lines += [("shared", f"{count:,} images are also in {name}") for name, count in check.shared.items()]
    lines += _file_lines("unusable", check.refused)
    lines += _file_lines("not read", check.left_out)
    lines += [("note", remark) for remark in check.remarks]
    lines += [("problem", problem) for problem in check.problems]
    if not check.problems:
        lines.append(("next", digits_command("sweep", "--dataset", check.name)))
    return lines


def _file_lines(label: str, files: Sequence[LeftOut]) -> list[tuple[str, str]]:
    lines = [(label, f"{one.path}: {one.why}") for one in files[:MOST_FILES]]
    return [*lines, ("", f"and {len(files) - MOST_FILES} more")] if len(files) > MOST_FILES else lines


def summary_document(summary: DatasetSummary, page: Path) -> dict[str, Any]:
    fields = [field.name for field in dataclasses.fields(summary) if field.name != "examples"]
    return {**{name: getattr(summary, name) for name in fields}, "page": str(page)}


def summary_lines(summary: DatasetSummary, page: Path) -> list[tuple[str, str]]:
    """The lines of `datasets show`, without the next command."""
    lines = [
        (summary.name, f"{summary.provenance}; {summary.side}x{summary.side} pixels"),
        ("digit", f"{'training':>9}{'validation':>12}{'mean ink':>10}"),
    ]
    rows = zip(summary.train_counts, summary.validation_counts, summary.ink, strict=True)
    for digit, (train, validation, ink) in enumerate(rows):
        lines.append((f"  {digit}", f"{train:>9,}{validation:>12,}{ink:>10.1%}"))
    lines.append(("all", f"{sum(summary.train_counts):>9,}{sum(summary.validation_counts):>12,}"))
    lines.append(("sealed test", f"{summary.test_n:,} images, not opened"))
    lines.append(("page", str(page)))
    return lines


def split_document(digits: Digits, counts: dict[str, int], output: Path) -> dict[str, Any]:
    """How many images each set has, and which data it is."""
    return {
        "dataset": digits.name,
        "file": str(output.absolute()),
        "bytes": output.stat().st_size,
        "counts": counts,
        "side": digits.side,
        "checksum": digits.checksum,
        "split_id": digits.split_id,
    }


def split_lines(digits: Digits, counts: dict[str, int], output: Path) -> list[tuple[str, str]]:
    shape = f"{digits.side}x{digits.side}"
    return [
        ("training", f"{counts['train']:,} images of {shape} with labels: train_images, train_labels, train_indices"),
        ("validation", f"{counts['validation']:,}: validation_images, validation_labels, validation_indices"),
        ("sealed test", f"{counts['test']:,} without labels: test_images, test_indices"),
        ("file", f"{output}, {output.stat().st_size / 1e6:.1f} MB"),
        ("predict", "np.savez('mine.npz', probabilities=..., indices=split['validation_indices'])"),
        ("next", digits_command("judge", "mine.npz", "--dataset", digits.name)),
    ]
