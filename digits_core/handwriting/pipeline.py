"""From a picture to its digits, each with its box and framed for a network."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.handwriting.cutting import Piece, pieces_of
from digits_core.handwriting.decode import Pixels
from digits_core.handwriting.framing import MNIST_FRAME, Frame, already_framed, framed
from digits_core.handwriting.ink import find_ink
from digits_core.handwriting.marks import Box, Cutout, part, the_one
from digits_core.handwriting.rulings import without_rulings
from digits_core.handwriting.sheet import find_sheet


@dataclass(frozen=True, kw_only=True)
class FoundMark:
    """A digit, or several that touch, with the pieces it may be cut into."""

    row: int
    pieces: tuple[Piece, ...]
    boxes: tuple[Box, ...]  # of the pieces, in the picture's pixels
    images: npt.NDArray[np.uint8]  # (P, side, side), of the pieces, ink bright


class TooManyMarks(ValueError):
    """A picture has more marks than asked for."""


def find_marks(
    pixels: Pixels, frame: Frame = MNIST_FRAME, *, one_digit: bool = False, most: int | None = None
) -> list[FoundMark]:
    """All marks of a picture in reading order, [] if there are none. `one_digit`: the picture is known to show one.

    Raises TooManyMarks for more than `most`.
    """
    height, width = pixels.shape[:2]
    whole = already_framed(pixels, frame)
    if whole is not None:
        box = Box(left=0, top=0, right=width, bottom=height)
        return [FoundMark(row=0, pieces=(Piece(start=0, end=1, box=box),), boxes=(box,), images=whole[np.newaxis])]
    sheet = find_sheet(pixels)
    if sheet is not None:
        found = _marks(sheet.pixels, frame, sheet.box.left, sheet.box.top, one_digit=one_digit, most=most)
        if found:
            return found
    return _marks(pixels, frame, 0, 0, one_digit=one_digit, most=most)


def _marks(pixels: Pixels, frame: Frame, left: int, top: int, *, one_digit: bool, most: int | None) -> list[FoundMark]:
    """Like `find_marks`, for a picture or for the sheet in it whose corner is at (left, top)."""
    height, width = pixels.shape[:2]
    ink = find_ink(pixels)
    if not ink.mask.any():
        return []
    cutouts = part(without_rulings(ink))
    if most is not None and len(cutouts) > most:
        raise TooManyMarks(f"{len(cutouts):,} marks; at most {most:,} are read")
    if one_digit:
        cutouts = the_one(cutouts)

    def found(cutout: Cutout) -> FoundMark:
        whole = Piece(start=0, end=1, box=cutout.box)
        pieces = [(whole, cutout.ink)] if one_digit else pieces_of(cutout)
        return FoundMark(
            row=cutout.row,
            pieces=tuple(piece for piece, _ in pieces),
            boxes=tuple(_in_picture(piece.box, ink.scale, width, height).moved(left, top) for piece, _ in pieces),
            images=np.stack([framed(mask, frame) for _, mask in pieces]),
        )

    return [found(cutout) for cutout in cutouts]


def _in_picture(box: Box, scale: float, width: int, height: int) -> Box:
    return Box(
        left=max(0, int(box.left / scale)),
        top=max(0, int(box.top / scale)),
        right=min(width, int(np.ceil(box.right / scale))),
        bottom=min(height, int(np.ceil(box.bottom / scale))),
    )
