"""What was read in a picture, as plain values."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.handwriting.boxes import Box, Kind, NoDigit

UNSURE_BELOW = 0.8  # of the likeliest digit's probability; docs/results.md says how often such predictions are wrong
PERHAPS_NONE_BELOW = 0.6  # the same; docs/results.md says how often digits and other things are below
PLURALS = {"dash": "dashes", "slash": "slashes", "plus": "pluses"}
SECOND_FROM = 0.05  # a second digit less likely than this is not mentioned


def printable(path: Path) -> str:
    """A file's name on one line, whatever is in it: line breaks and other unprintable characters are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(path))


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A file to read. `label`: the digit it shows, if it is known to show exactly one. `page`: counted from 0."""

    path: Path
    label: int | None = None
    page: int = 0

    @property
    def name(self) -> str:
        """The file's path and, from the second page on, its page."""
        return printable(self.path) + (f" (page {self.page + 1})" if self.page else "")


@dataclass(frozen=True, kw_only=True)
class ReadDigit:
    """One digit as read. image: the network's input, uint8 (side, side), ink bright."""

    box: Box  # in the picture's pixels
    row: int
    image: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float64]  # (10,)

    @property
    def digit(self) -> int:
        """The likeliest digit."""
        return int(self.probabilities.argmax())

    @property
    def top(self) -> tuple[tuple[int, float], ...]:
        """The three likeliest digits with their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:3]
        return tuple((int(digit), float(self.probabilities[digit])) for digit in order)

    @property
    def perhaps_none(self) -> bool:
        """Whether it may well be no digit at all."""
        return bool(self.probabilities.max() < PERHAPS_NONE_BELOW)

    @property
    def unsure(self) -> tuple[int, ...]:
        """The digits it may be, likeliest first; empty if the prediction is confident."""
        if self.probabilities.max() >= UNSURE_BELOW:
            return ()
        likely = [digit for digit, probability in self.top[:2] if probability >= SECOND_FROM]
        return tuple(likely) if len(likely) > 1 else (self.digit,)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read in a picture, or why it could not be read."""

    picture: Picture
    width: int = 0  # pixels
    height: int = 0
    digits: tuple[ReadDigit, ...] = ()
    left_out: tuple[NoDigit, ...] = ()
    several: int = 0  # how many digits a picture with a label shows, if it is more than one
    error: str = ""

    @property
    def rows(self) -> list[list[ReadDigit]]:
        numbers = sorted({digit.row for digit in self.digits})
        return [[digit for digit in self.digits if digit.row == number] for number in numbers]

    @property
    def text(self) -> str:
        """The digits as text, rows separated by a slash; `?` for what may be none, unless the picture has a label."""
        known = self.picture.label is not None
        return " / ".join(
            "".join("?" if digit.perhaps_none and not known else str(digit.digit) for digit in row) for row in self.rows
        )

    @property
    def is_judged(self) -> bool:
        """Whether its label is known, it could be opened, and it does not show several digits."""
        return self.picture.label is not None and self.width > 0 and not self.several

    @property
    def is_right(self) -> bool:
        """Whether the picture was read as exactly one digit, its label. Only for pictures that are judged."""
        return [digit.digit for digit in self.digits] == [self.picture.label]


def confusion_of(known: Sequence[Reading]) -> list[list[int]]:
    """Counts, (10, 10): label by row, prediction by column. Pictures not read as one digit are left out."""
    table = [[0] * 10 for _ in range(10)]
    for reading in known:
        if reading.picture.label is not None and reading.is_judged and len(reading.digits) == 1:
            table[reading.picture.label][reading.digits[0].digit] += 1
    return table


def digit_document(digit: ReadDigit) -> dict[str, Any]:
    """One digit as JSON values."""
    return {
        "box": list(digit.box.edges),
        "row": digit.row,
        "digit": digit.digit,
        "probabilities": [round(float(probability), 6) for probability in digit.probabilities],
        "unsure": list(digit.unsure),
        "perhaps_none": digit.perhaps_none,
    }


def left_out_document(one: NoDigit) -> dict[str, Any]:
    """What is no digit as JSON values."""
    return {"kind": one.kind, "box": list(one.box.edges)}


def left_out_text(left_out: Sequence[NoDigit]) -> str:
    """`2 frames, a line`; empty for nothing."""
    counts = Counter(one.kind for one in left_out)
    return ", ".join(_counted(kind, count) for kind, count in counts.items())


def _counted(kind: Kind, count: int) -> str:
    if kind == "edge":
        return "ink along the edge"
    return f"a {kind}" if count == 1 else f"{count:,} {PLURALS.get(kind, kind + 's')}"
