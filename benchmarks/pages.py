"""How pages are read that show more than digits: python -m benchmarks.pages RUNS MODEL [--seed 1].

Thirty pages for each of the six made-up authors (benchmarks.hands): ten kinds of boxes, tables, borders, margin lines
and stamps, each drawn, scanned and photographed. Every page has a twin with the same digits and nothing else. Reported:
how many pages are read like their twins, how many of the others say what was left out, and how confidently the reader
takes things for digits that are none.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.hands import AUTHORS, Author, written
from benchmarks.papers import Layer, Picture, Sheet, finished
from digits_core.delivery.reader import Reader
from digits_core.handwriting.reading import left_out_text
from digits_core.inference.classifier import open_classifier
from digits_core.judging.stats import accuracy_interval

BLACK, RED, BLUE = (30, 30, 34), (200, 60, 60), (60, 70, 190)
STYLES = (
    Sheet(name="drawn"),
    Sheet(name="scan", grain=5, blur=0.0006),
    Sheet(name="photograph", grain=6, blur=0.0008, shade=0.35, tilt=0.02, turn=2, jpeg=80),
)
Mask = npt.NDArray[np.float32]  # (H, W): 0 for paper, 1 for ink
Place = tuple[int, int]  # left and top of a digit, in pixels


@dataclass(frozen=True, kw_only=True)
class Page:
    """side: of the square page, in pixels; size: height of its digits; places: where they stand, row by row."""

    name: str
    side: int
    size: int
    places: tuple[Place, ...]
    marks: Callable[[int, np.random.Generator], Mask]
    colour: tuple[int, int, int] = BLACK


def _grid(left: int, top: int, across: int, down: int, columns: int, rows: int) -> tuple[Place, ...]:
    return tuple((left + column * across, top + row * down) for row in range(rows) for column in range(columns))


def _lines(*lines: tuple[int, int, int, int], width: int) -> Callable[[int, np.random.Generator], Mask]:
    """Straight lines, (left, top, right, bottom)."""

    def drawn(side: int, _: np.random.Generator) -> Mask:
        mask = np.zeros((side, side), np.uint8)
        for left, top, right, bottom in lines:
            cv2.line(mask, (left, top), (right, bottom), 255, width, cv2.LINE_AA)
        return (mask / 255).astype(np.float32)

    return drawn


def _boxes(places: tuple[Place, ...], across: int, down: int, width: int) -> Callable[[int, np.random.Generator], Mask]:
    """A rectangle from each place (left and top), `across` by `down`."""
    return _lines(
        *(
            line
            for left, top in places
            for line in (
                (left, top, left + across, top),
                (left, top + down, left + across, top + down),
                (left, top, left, top + down),
                (left + across, top, left + across, top + down),
            )
        ),
        width=width,
    )


def _ragged_border(side: int, stream: np.random.Generator) -> Mask:
    """The black edge that a scanner or a copier leaves, uneven, on all four sides."""
    mask = np.zeros((side, side), np.float32)
    for _ in range(4):
        depth = side * (0.02 + 0.012 * np.convolve(stream.normal(size=side), np.ones(60) / 60, mode="same"))
        mask = np.maximum(np.rot90(mask), (np.arange(side)[:, np.newaxis] < depth).astype(np.float32))
    return np.ascontiguousarray(mask, np.float32)


def _scanner_edge(side: int, stream: np.random.Generator) -> Mask:
    """A black strip beside the paper and a wedge below it."""
    mask = np.zeros((side, side), np.float32)
    mask[:, : int(side * stream.uniform(0.02, 0.06))] = 1
    slope = stream.uniform(0.01, 0.03)
    mask[np.arange(side)[:, np.newaxis] > side * 0.985 - slope * np.arange(side)[np.newaxis]] = 1
    return mask


def _stamp(side: int, stream: np.random.Generator) -> Mask:
    """A round stamp with two words, turned by some degrees, in the lower right corner."""
    size = 300
    stamp = np.zeros((size, size), np.uint8)
    cv2.circle(stamp, (150, 150), 140, 255, 6, cv2.LINE_AA)
    cv2.circle(stamp, (150, 150), 120, 255, 2, cv2.LINE_AA)
    cv2.putText(stamp, "RECEIVED", (55, 140), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 3, cv2.LINE_AA)
    cv2.putText(stamp, "OFFICE", (90, 190), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 3, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((150, 150), float(stream.uniform(-25, 25)), 1.0)
    mask = np.zeros((side, side), np.float32)
    mask[side - 360 : side - 60, side - 360 : side - 60] = (
        cv2.warpAffine(stamp, turn, (size, size)).astype(np.float32) / 255
    )
    return mask


ROWS = _grid(220, 200, 190, 210, 4, 3)
CELLS = _grid(170, 170, 230, 200, 4, 4)
COMB = _grid(150, 500, 130, 0, 7, 1)
NOTE = _grid(420, 260, 110, 0, 3, 1)
PAGES = (
    Page(name="a box around all", side=1100, size=110, places=ROWS, marks=_boxes(((120, 110),), 830, 690, 5)),
    Page(name="a box around each", side=1100, size=110, places=CELLS,
         marks=_boxes(tuple((left - 35, top - 30) for left, top in CELLS), 150, 170, 4)),
    Page(name="a table", side=1100, size=110, places=CELLS,
         marks=_lines(*((115, 125 + row * 200, 1035, 125 + row * 200) for row in range(5)),
                      *((115 + column * 230, 125, 115 + column * 230, 925) for column in range(5)), width=4)),
    Page(name="a close table", side=1100, size=120, places=_grid(180, 170, 135, 160, 6, 5),
         marks=_lines(*((150, 150 + row * 160, 960, 150 + row * 160) for row in range(6)),
                      *((150 + column * 135, 150, 150 + column * 135, 950) for column in range(7)), width=3)),
    Page(name="joined boxes", side=1200, size=110, places=COMB,
         marks=_lines((120, 470, 1030, 470), (120, 640, 1030, 640),
                      *((120 + column * 130, 470, 120 + column * 130, 640) for column in range(8)), width=4)),
    Page(name="a comb", side=1200, size=110, places=COMB,
         marks=_lines((120, 640, 1030, 640),
                      *((120 + column * 130, 590, 120 + column * 130, 640) for column in range(8)), width=4)),
    Page(name="a black border", side=1400, size=60, places=_grid(300, 300, 110, 120, 5, 2), marks=_ragged_border),
    Page(name="a scanner's edge", side=1400, size=60, places=_grid(300, 300, 110, 120, 5, 2), marks=_scanner_edge),
    Page(name="a margin line", side=1500, size=55, places=NOTE, colour=RED,
         marks=_lines((260, 0, 260, 1500), width=3)),
    Page(name="a stamp", side=1200, size=110, places=ROWS, colour=BLUE, marks=_stamp),
)  # fmt: skip


def page_and_twin(page: Page, style: Sheet, author: Author, seed: int) -> tuple[Picture, Picture, str]:
    """The page, the same without the foreign marks, and its digits."""
    stream = np.random.default_rng(seed)
    ink, digits = np.zeros((page.side, page.side), np.float32), ""
    for left, top in page.places:
        digit = int(stream.integers(10))
        mask = written(author, digit, page.size * stream.uniform(0.9, 1.05), max(2.0, 0.08 * page.size), stream)
        left, top = (int(at + page.size * stream.uniform(-0.08, 0.08)) for at in (left, top))
        window = ink[top : top + mask.shape[0], left : left + mask.shape[1]]
        np.maximum(window, (mask / 255)[: window.shape[0], : window.shape[1]], out=window)
        digits += str(digit)
    sheet, foreign = replace(style, side=page.side), Layer(mask=page.marks(page.side, stream), colour=page.colour)
    later = int(stream.integers(2**32))
    return (
        finished(ink, sheet, np.random.default_rng(later), over=(foreign,)),
        finished(ink, sheet, np.random.default_rng(later)),
        digits,
    )


def pages(reader: Reader, seed: int) -> None:
    """Print how pages are read beside their twins."""
    outcomes: dict[str, Counter[str]] = {}
    for page in PAGES:
        counts = outcomes[page.name] = Counter()
        for style in STYLES:
            for number, author in enumerate(AUTHORS):
                whole, twin, _ = page_and_twin(page, style, author, seed * 1_000 + number)
                read, plain = reader.read_pixels(whole), reader.read_pixels(twin)
                same = read.text == plain.text
                counts["like its twin" if same else "named" if read.left_out else "wrong"] += 1
                if not same:
                    print(f"  {page.name}, {style.name}, {author.name}: {read.text!r} for {plain.text!r}"
                          f" ({left_out_text(read.left_out)})")  # fmt: skip
    for name, counts in (*outcomes.items(), ("all", sum(outcomes.values(), Counter[str]()))):
        total, same = counts.total(), counts["like its twin"]
        interval = accuracy_interval(total - same, total)
        print(f"{name:20} {same:4} of {total} like their twins [{interval.low:.1%}, {interval.high:.1%}],"
              f" {counts['named']} others say what was left out")  # fmt: skip


LETTERS = "ABCDEFGHJKLMNPQRTUVWXYabcdefhjkmnprtuvwxy?&+=#"  # none that is drawn like a digit
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)


def letters(stream: np.random.Generator) -> list[npt.NDArray[np.uint8]]:
    """Pictures of one letter or sign each."""
    found = []
    for font in FONTS:
        for letter in LETTERS * 2:
            ink = np.zeros((400, 400), np.uint8)
            cv2.putText(ink, letter, (110, 260), font, 6.0, 255, int(stream.integers(9, 20)), cv2.LINE_AA)
            turn = cv2.getRotationMatrix2D((200, 200), float(stream.uniform(-8, 8)), 1.0)
            found.append(cv2.warpAffine(ink, turn, (400, 400)))
    return found


def lines(stream: np.random.Generator) -> list[npt.NDArray[np.uint8]]:
    """Pictures of one straight line each, at least 30 degrees from upright."""
    found = []
    for _ in range(150):
        ink, angle, half = np.zeros((400, 400), np.uint8), np.deg2rad(stream.uniform(30, 150)), stream.uniform(60, 140)
        across, down = half * np.sin(angle), half * np.cos(angle)
        ends = [(int(200 + sign * across), int(200 + sign * down)) for sign in (-1, 1)]
        cv2.line(ink, *ends, 255, int(stream.integers(5, 20)), cv2.LINE_AA)
        found.append(ink)
    return found


def stains(stream: np.random.Generator) -> list[npt.NDArray[np.uint8]]:
    """Pictures of one irregular blot each."""
    found, (down, across) = [], np.mgrid[:400, :400] - 200
    for _ in range(150):
        clouds = cv2.GaussianBlur(stream.normal(size=(400, 400)), (0, 0), float(stream.uniform(20, 45)))
        blot = (clouds / clouds.std() - (down**2 + across**2) / 9_000 + 1.8 > 0).astype(np.uint8)
        _, names, boxes, _ = cv2.connectedComponentsWithStats(blot)
        found.append((names == 1 + boxes[1:, 4].argmax()).astype(np.uint8) * 255)
    return found


def digits(stream: np.random.Generator) -> list[npt.NDArray[np.uint8]]:
    """Pictures of one digit each."""
    found = []
    for author in AUTHORS:
        for digit in range(10):
            for _ in range(5):
                ink = np.zeros((400, 400), np.uint8)
                mask = written(author, digit, stream.uniform(150, 280), stream.uniform(9, 20), stream)
                ink[40 : 40 + mask.shape[0], 40 : 40 + mask.shape[1]] = mask
                found.append(ink)
    return found


def things_that_are_none(reader: Reader, seed: int) -> None:
    """Print how often things that are no digits, and digits, are said to be one, or perhaps, or none."""
    for draw in (letters, lines, stains, digits):
        counts: Counter[str] = Counter()
        for ink in draw(np.random.default_rng(seed)):
            reading = reader.read_pixels(np.dstack([255 - ink] * 3))
            if not reading.digits:
                counts["left out"] += 1
            elif all(digit.perhaps_none for digit in reading.digits):
                counts["perhaps none"] += 1
            else:
                counts["unsure" if any(digit.unsure for digit in reading.digits) else "a digit"] += 1
        total = counts.total()
        said = ", ".join(
            f"{name} {counts[name] / total:.1%}" for name in ("left out", "perhaps none", "unsure", "a digit")
        )
        print(f"{draw.__name__:10} n = {total}: {said}")


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("model")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    reader = Reader(open_classifier(asked.runs, asked.model))
    pages(reader, asked.seed)
    things_that_are_none(reader, asked.seed)


if __name__ == "__main__":
    main()
