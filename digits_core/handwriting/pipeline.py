"""From a picture to its digits, each with its box and framed for a network."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from digits_core.handwriting.boxes import Box, NoDigit
from digits_core.handwriting.cutting import Piece, pieces_of
from digits_core.handwriting.decode import Pixels
from digits_core.handwriting.frames import without_frames
from digits_core.handwriting.framing import MNIST_FRAME, Frame, already_framed, framed
from digits_core.handwriting.ink import find_ink
from digits_core.handwriting.marks import Cutout, part, several, the_one, without_signs
from digits_core.handwriting.rulings import without_rulings
from digits_core.handwriting.sheet import coarse, find_sheet, without_edges


@dataclass(frozen=True, kw_only=True)
class FoundMark:
    """A digit, or several that touch, with the pieces it may be cut into."""

    row: int
    pieces: tuple[Piece, ...]
    boxes: tuple[Box, ...]  # of the pieces, in the picture's pixels
    images: npt.NDArray[np.uint8]  # (P, side, side), of the pieces, ink bright


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found in a picture. several: how many digits it shows, if it was expected to show one; else 0."""

    marks: list[FoundMark]  # in reading order
    left_out: list[NoDigit]
    several: int = 0


class TooManyMarks(ValueError):
    """A picture has more marks than asked for."""


Join = Literal["never", "if alone", "always"]


def find_marks(
    pixels: Pixels, frame: Frame = MNIST_FRAME, *, join: Join = "never", most: int | None = None
) -> Findings:
    """All marks of a picture in reading order, [] if there are none.

    join: whether the picture is known to show one digit, whose pieces are joined; "if alone", unless several stand
    apart. Raises TooManyMarks for more than `most`.
    """
    height, width = pixels.shape[:2]
    whole = already_framed(pixels, frame)
    if whole is not None:
        box = Box(left=0, top=0, right=width, bottom=height)
        mark = FoundMark(row=0, pieces=(Piece(start=0, end=1, box=box),), boxes=(box,), images=whole[np.newaxis])
        return Findings(marks=[mark], left_out=[])
    small = coarse(pixels)
    inner = without_edges(pixels, small)
    edges = [] if inner is None else [NoDigit(kind="edge", box=Box(left=0, top=0, right=width, bottom=height))]
    if inner is not None:
        pixels, small = inner, coarse(inner)
    sheet = find_sheet(pixels, small)
    found = None if sheet is None else _marks(sheet.pixels, frame, sheet.box, join, most)
    if found is None or not found.marks:
        found = _marks(pixels, frame, Box(left=0, top=0, right=width, bottom=height), join, most)
    return replace(found, left_out=[*edges, *found.left_out])


def _marks(pixels: Pixels, frame: Frame, place: Box, join: Join, most: int | None) -> Findings:
    """Like `find_marks`, for a picture or for the sheet in it at this place."""
    height, width = pixels.shape[:2]
    ink = find_ink(pixels)
    if not ink.mask.any():
        return Findings(marks=[], left_out=[])
    mask, foreign = without_frames(replace(ink, mask=without_rulings(ink)))
    cutouts, others = part(mask)
    if most is not None and len(cutouts) > most:
        raise TooManyMarks(f"{len(cutouts):,} marks; at most {most:,} are read")
    count = several(cutouts) if join == "if alone" else 0
    is_one = join != "never" and not count
    if is_one:
        cutouts = the_one(cutouts)
    else:
        cutouts, signs = without_signs(cutouts)
        others += signs

    def found(cutout: Cutout) -> FoundMark:
        whole = Piece(start=0, end=1, box=cutout.box)
        pieces = [(whole, cutout.ink)] if is_one else pieces_of(cutout)
        return FoundMark(
            row=cutout.row,
            pieces=tuple(piece for piece, _ in pieces),
            boxes=tuple(in_picture(piece.box) for piece, _ in pieces),
            images=np.stack([framed(mask, frame) for _, mask in pieces]),
        )

    def in_picture(box: Box) -> Box:
        return _in_picture(box, ink.scale, width, height).moved(place.left, place.top)

    return Findings(
        marks=[found(cutout) for cutout in cutouts],
        left_out=[NoDigit(kind=one.kind, box=in_picture(one.box)) for one in (*foreign, *others)],
        several=count,
    )


def _in_picture(box: Box, scale: float, width: int, height: int) -> Box:
    return Box(
        left=max(0, int(box.left / scale)),
        top=max(0, int(box.top / scale)),
        right=min(width, int(np.ceil(box.right / scale))),
        bottom=min(height, int(np.ceil(box.bottom / scale))),
    )
