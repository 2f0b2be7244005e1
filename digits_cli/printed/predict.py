"""What `digits predict` prints."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digits_core.data.digits import CLASS_COUNT
from digits_core.handwriting.folders import LeftOut
from digits_core.handwriting.reading import (
    ReadDigit,
    Reading,
    confusion_of,
    digit_document,
    left_out_document,
    left_out_text,
)

if TYPE_CHECKING:
    from digits_core.delivery.reader import Model
    from digits_core.judging.stats import Interval

Lines = list[tuple[str, str]]


def predict_document(
    model: "Model", readings: Sequence[Reading], left_out: Sequence[LeftOut], page: str | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        **_model_document(model),
        "images": [image_document(reading) for reading in readings],
        "failed": sum(bool(reading.error) for reading in readings),
        "left_out": [asdict(one) for one in left_out],
        "page": page,
    }
    known = _judged(readings)
    if known:
        interval = accuracy_of(known)
        wrong = sum(not reading.is_right for reading in known)
        document |= {
            "accuracy": 1 - wrong / len(known),
            "accuracy_interval": [interval.low, interval.high],
            "n": len(known),
            "not_judged": sum(bool(reading.several) for reading in readings),
            "error_count": wrong,
            "confusion": confusion_of(known),
        }
    return document


def _model_document(model: "Model") -> dict[str, Any]:
    return {
        "model": model.name,
        "trained_on": model.dataset,
        "members": model.member_count,
        "poses": model.pose_count,
    }


def image_document(reading: Reading) -> dict[str, Any]:
    """One picture. Boxes are left, top, right, bottom, in pixels of the picture."""
    document: dict[str, Any] = {
        "path": str(reading.picture.path),
        "width": reading.width,
        "height": reading.height,
        "text": reading.text,
        "digits": [digit_document(digit) for digit in reading.digits],
        "left_out": [left_out_document(one) for one in reading.left_out],
    }
    if reading.picture.page:
        document["page"] = reading.picture.page + 1
    if reading.picture.label is not None:
        document |= {"label": reading.picture.label, "right": reading.is_right if reading.is_judged else None}
    if reading.error:
        document["error"] = reading.error
    return document


def reading_lines(reading: Reading) -> Lines:
    """The digits of a picture, with a line for each one the model is unsure of."""
    label, shown = reading.picture.label, reading.text
    single = reading.digits[0] if len(reading.digits) == 1 else None
    if single is not None and not single.unsure:
        shown += f"  {percent(single.probabilities.max())}"
    if reading.is_judged and not reading.is_right:
        shown += f"  wrong: it is {label}"
    lines = [(reading.picture.name, shown)]
    for number, digit in enumerate(reading.digits, 1):
        if digit.unsure:
            which = "" if single else f"digit {number} "
            lines.append(("", f"{which}unsure: {unsure_text(digit)}"))
    if reading.left_out:
        lines.append(("", f"left out: {left_out_text(reading.left_out)}"))
    if reading.several:
        lines.append(("", f"not judged: it shows {reading.several} digits (--one-digit takes it for one)"))
    return lines


def table_document(model: "Model", digits: np.ndarray, output: Path) -> dict[str, Any]:
    counts = np.bincount(digits, minlength=CLASS_COUNT)
    return {
        **_model_document(model),
        "n": len(digits),
        "counts": {str(digit): int(count) for digit, count in enumerate(counts)},
        "output": str(output),
    }


def table_lines(model: "Model", digits: np.ndarray, output: Path) -> Lines:
    """How many images were read as which digit, and where that is written."""
    counts = np.bincount(digits, minlength=CLASS_COUNT)
    said = ", ".join(f"{digit}: {count:,}" for digit, count in enumerate(counts))
    return [("images", f"{len(digits):,}"), ("read as", said), *summary_lines(model, []), ("written", str(output))]


def unsure_text(digit: ReadDigit) -> str:
    """`1 or 7 (52 %, 44 %)`; `no digit, or 1 or 7 (...)` if neither is likely."""
    shares = ", ".join(percent(digit.probabilities[each]) for each in digit.unsure)
    return f"{'no digit, or ' if digit.perhaps_none else ''}{' or '.join(map(str, digit.unsure))} ({shares})"


def percent(share: float) -> str:
    """A percentage that is never rounded up to 100 %."""
    return ">99.9 %" if share > 0.9995 else f"{100 * share:.1f} %"


def summary_lines(model: "Model", readings: Sequence[Reading]) -> Lines:
    """The model and, if labels are known, its accuracy and confusion matrix."""
    count = model.member_count
    what = f"{model.name}, " + (f"{count} networks" if count > 1 else "one network")
    what += f", {model.pose_count} poses each," if model.pose_count > 1 else ""
    lines = [("model", f"{what} trained on {model.dataset}")]
    known = _judged(readings)
    if not known:
        return lines
    interval, right = accuracy_of(known), sum(reading.is_right for reading in known)
    accuracy = f"{right / len(known):.2%} [{interval.low:.2%}, {interval.high:.2%}], {right:,} of {len(known):,}"
    lines.append(("accuracy", accuracy))
    if several := sum(bool(reading.several) for reading in readings):
        lines.append(("not judged", f"{several:,} pictures with a label show several digits"))
    table = np.array(confusion_of(known))
    confused = [(table[i, j], i, j) for i in range(CLASS_COUNT) for j in range(CLASS_COUNT) if i != j and table[i, j]]
    if confused:
        worst = sorted(confused, key=lambda one: (-one[0], one[1], one[2]))[:5]
        lines.append(("mistakes", ", ".join(f"{label} read as {said}: {times}" for times, label, said in worst)))
        lines += _table_lines(table)
    return lines


def _table_lines(table: np.ndarray) -> Lines:
    width = max(4, len(str(table.max())) + 1)
    lines = [("confusion", "".join(f"{digit:>{width}}" for digit in range(CLASS_COUNT)) + "  read as")]
    for label, row in enumerate(table):
        cells = "".join(f"{count or '.':>{width}}" for count in row)
        lines.append((f"  {label}", cells))
    return lines


def _judged(readings: Sequence[Reading]) -> list[Reading]:
    return [reading for reading in readings if reading.is_judged]


def accuracy_of(known: Sequence[Reading]) -> "Interval":
    """Wilson's 95 % interval of the accuracy. A labelled picture in which no digit is found counts as wrong."""
    from digits_core.judging.stats import accuracy_interval  # takes half a second to import

    return accuracy_interval(sum(not reading.is_right for reading in known), len(known))
