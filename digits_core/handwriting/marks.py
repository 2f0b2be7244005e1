"""Groups ink into digits, in reading order: rows from the top, within a row from the left. Says what it left out."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.handwriting.boxes import Box, NoDigit
from digits_core.handwriting.ink import Mask, components, stroke_width
from digits_core.handwriting.signs import large_sign, small_sign

JOINT = 0.025  # of the largest mark's longer side: strokes with smaller gaps are joined
OUTLINE = 0.3  # of its box: an outline has less ink than this
INSIDE = 0.12  # of the outline's ink: a digit in it has at least this much
FRAME_GAP = 2.0  # stroke widths between a frame and what is in it
LEAST_HEIGHT = 0.1  # of the picture: if other ink is this tall, ink along a whole edge is dropped
MOST_PIECES = 1_000  # only the largest are kept: pictures of grain or print have far more
SPECK = 0.5  # of the squared stroke width: less ink is dirt
SPECK_SHARE = 0.02  # of the largest mark's ink: less is dirt
CUT_OFF = 0.65  # of the height of marks inside the picture: ink at its edge that differs by more, either way, is dirt
TALL = 0.5  # of the reference height: a shorter piece is part of a digit, or dirt
NEAR = 0.3  # of the reference height: how far a part may be from its digit
SAME_COLUMN = 0.55  # of the narrower piece's width: how much two pieces of one digit overlap
SMALL = 0.25  # of the reference height: a piece with less is not worth a word
FLAT = 0.25  # of the reference height: what is flatter and touches the picture's edge is a part of what lies outside
AS_TALL, AS_MUCH = 0.6, 0.3  # of the largest mark's height and ink: what has as much is a digit of its own
SHARE = 0.04  # of the digit's ink: a piece with less is dirt
BELONGING = 0.35  # of the digit's longer side: how far apart its pieces may be in a picture of one digit


@dataclass(kw_only=True)
class Mark:
    """Pieces of ink that belong together."""

    box: Box
    names: list[int]  # labels of its connected components
    area: int

    def take(self, other: "Mark") -> None:
        """Absorb the pieces of another mark."""
        self.box, self.area = self.box.joined(other.box), self.area + other.area
        self.names += other.names


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """A digit's own ink, cropped to its box."""

    box: Box
    row: int  # counted from the top, from 0
    ink: Mask


def part(mask: Mask) -> tuple[list[Cutout], list[NoDigit]]:
    """Split a mask into digits, in reading order, and what is none."""
    width = stroke_width(mask)
    if not width:
        return [], []
    _, boxes = components(mask)
    gap = max(0.6 * width, JOINT * int(boxes[1 + int(boxes[1:, 4].argmax()), 2:4].max()))
    bridged = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((_odd(gap),) * 2, np.uint8))
    names, boxes = components(bridged)
    left_out: list[NoDigit] = []
    pieces = _without_dirt([_piece(name, boxes[name]) for name in range(1, len(boxes))], width, mask.shape, left_out)
    digits = _gathered(_without_frames(pieces, width, left_out), left_out)
    cutouts = [
        Cutout(box=mark.box, row=number, ink=_ink_of(mark, names, mask))
        for number, row in enumerate(_rows(digits))
        for mark in row
    ]
    return cutouts, left_out


def without_signs(cutouts: list[Cutout]) -> tuple[list[Cutout], list[NoDigit]]:
    """Drop dashes, slashes, stains and words, unless most of several marks seem to be such; and what was dropped."""
    heights = np.array([one.box.height for one in cutouts])
    signs = [
        large_sign(one.ink, float(np.median(np.delete(heights, number))) if len(cutouts) > 1 else None)
        for number, one in enumerate(cutouts)
    ]
    found = [NoDigit(kind=sign, box=one.box) for one, sign in zip(cutouts, signs, strict=True) if sign is not None]
    if len(cutouts) > 1 and len(found) >= 0.5 * len(cutouts):
        return cutouts, []
    return [one for one, sign in zip(cutouts, signs, strict=True) if sign is None], found


def several(cutouts: list[Cutout]) -> int:
    """How many marks are as tall as the largest, or nearly, and stand apart from it. 0: the picture shows one digit."""
    if len(cutouts) < 2:
        return 0
    largest, together = _largest_with_neighbours(cutouts)
    ink = int(largest.ink.sum())
    others = [
        one
        for one in cutouts
        if one not in together and one.box.height >= AS_TALL * largest.box.height and one.ink.sum() >= AS_MUCH * ink
    ]
    return 1 + len(others) if others else 0


def the_one(cutouts: list[Cutout]) -> list[Cutout]:
    """For a picture known to show one digit: the largest mark joined with what is close to it; empty if none."""
    if not cutouts:
        return []
    largest, together = _largest_with_neighbours(cutouts)
    box = largest.box
    for one in together:
        box = box.joined(one.box)
    ink = np.zeros((box.height, box.width), np.uint8)
    for one in together:
        top, left = one.box.top - box.top, one.box.left - box.left
        ink[top : top + one.box.height, left : left + one.box.width] |= one.ink
    return [Cutout(box=box, row=0, ink=ink)]


def _largest_with_neighbours(cutouts: list[Cutout]) -> tuple[Cutout, list[Cutout]]:
    largest = max(cutouts, key=lambda one: (one.box.height * one.box.width, int(one.ink.sum())))
    reach = BELONGING * max(largest.box.height, largest.box.width)
    least = SHARE * int(largest.ink.sum())
    together = [one for one in cutouts if one.box.gap(largest.box) <= reach and int(one.ink.sum()) >= least]
    return largest, together


def _odd(length: float) -> int:
    return 2 * round(length / 2) + 1


def _piece(name: int, box: npt.NDArray[np.int32]) -> Mark:
    left, top, width, height, area = (int(value) for value in box)
    return Mark(box=Box(left=left, top=top, right=left + width, bottom=top + height), names=[name], area=area)


def _without_dirt(pieces: list[Mark], width: float, shape: tuple[int, ...], left_out: list[NoDigit]) -> list[Mark]:
    """Drop specks, and ink that reaches in from outside the picture if there are marks free of its edges."""
    if not pieces:
        return []
    whole = [piece for piece in pieces if not _fills_edge(piece.box, shape)]
    if any(piece.box.height >= LEAST_HEIGHT * shape[0] for piece in whole):
        pieces = whole  # what fills an edge is a table beside the sheet
    largest = max(piece.area for piece in pieces)
    pieces = [piece for piece in pieces if piece.area >= max(SPECK * width**2, SPECK_SHARE * largest)]
    pieces = sorted(pieces, key=lambda piece: -piece.area)[:MOST_PIECES]
    free = [piece for piece in pieces if not _touches_edge(piece.box, shape)]
    if not free or max(piece.area for piece in free) < 0.2 * max(piece.area for piece in pieces):
        return pieces
    usual = _reference_height(free)
    cut_off = [piece for piece in pieces if piece not in free and not _is_cut_digit(piece.box, usual, shape)]
    left_out += [NoDigit(kind="edge", box=piece.box) for piece in cut_off if piece.box.height >= TALL * usual]
    return [piece for piece in pieces if piece not in cut_off]


def _is_cut_digit(box: Box, usual: float, shape: tuple[int, ...]) -> bool:
    """Whether what touches the picture's edge may be a digit: as tall as others and not flat, or in the middle too."""
    if box.left <= shape[1] / 2 <= box.right and box.top <= shape[0] / 2 <= box.bottom:
        return True
    upright = box.left <= 1 or box.right >= shape[1] - 1
    flat = (box.width if upright else box.height) < FLAT * usual
    return CUT_OFF * usual <= box.height <= usual / CUT_OFF and not flat


def _fills_edge(box: Box, shape: tuple[int, ...]) -> bool:
    across, down = box.width >= 0.95 * shape[1], box.height >= 0.95 * shape[0]
    level = across and (box.top <= 1 or box.bottom >= shape[0] - 1)
    return level or (down and (box.left <= 1 or box.right >= shape[1] - 1))


def _without_frames(pieces: list[Mark], width: float, left_out: list[NoDigit]) -> list[Mark]:
    """Drop boxes and circles drawn or printed around digits: thin outlines with separate ink inside."""
    frames = [piece for piece in pieces if _is_frame(piece, pieces, width)]
    left_out += [NoDigit(kind="frame", box=frame.box) for frame in frames]
    return [piece for piece in pieces if piece not in frames]


def _is_frame(outer: Mark, pieces: list[Mark], width: float) -> bool:
    """Whether a piece is a frame around others. A dot or stroke inside a zero is too small or too close to it."""
    if outer.area >= OUTLINE * outer.box.width * outer.box.height:
        return False
    inside = [piece for piece in pieces if _lies_inside(piece.box, outer.box, FRAME_GAP * width)]
    if len(inside) == 1 and inside[0].box.height < 0.2 * outer.box.height:
        return False
    return sum(piece.area for piece in inside) >= INSIDE * outer.area


def _lies_inside(box: Box, outer: Box, free: float) -> bool:
    return (
        outer.left + free <= box.left
        and outer.top + free <= box.top
        and box.right + free <= outer.right
        and box.bottom + free <= outer.bottom
    )


def _touches_edge(box: Box, shape: tuple[int, ...]) -> bool:
    return box.left <= 1 or box.top <= 1 or box.right >= shape[1] - 1 or box.bottom >= shape[0] - 1


def _gathered(pieces: list[Mark], left_out: list[NoDigit]) -> list[Mark]:
    """Join pieces into digits: those above each other, and small ones with the nearest tall one."""
    if not pieces:
        return []
    reference = _reference_height(pieces)
    tall = sorted((piece for piece in pieces if piece.box.height >= TALL * reference), key=lambda mark: -mark.area)
    digits: list[Mark] = []
    for mark in tall:
        host = next((other for other in digits if _one_digit(mark.box, other.box, reference)), None)
        if host is None:
            digits.append(mark)
        else:
            host.take(mark)
    for piece in pieces:
        if piece.box.height >= TALL * reference:
            continue
        nearest = min(digits, key=lambda mark: mark.box.gap(piece.box))
        sign = small_sign(piece.box, nearest.box, reference)
        if sign is None and nearest.box.gap(piece.box) <= NEAR * reference:
            nearest.take(piece)
        elif sign is not None or piece.box.height >= SMALL * reference:
            left_out.append(NoDigit(kind=sign or "small mark", box=piece.box))
    return digits


def _reference_height(pieces: list[Mark]) -> float:
    """The usual height of a digit here: the median of the larger pieces."""
    largest = max(piece.box.height for piece in pieces)
    return float(np.median([piece.box.height for piece in pieces if piece.box.height >= 0.5 * largest]))


def _one_digit(one: Box, other: Box, reference: float) -> bool:
    if one.joined(other).height > 1.5 * reference and one.shared_height(other) < 0.5:
        return False  # one of them is on the line below
    return one.shared_width(other) >= SAME_COLUMN


def _rows(digits: list[Mark]) -> list[list[Mark]]:
    """Rows from the top. Going from left to right, a mark joins the row whose last mark it stands beside."""
    rows: list[list[Mark]] = []
    for mark in sorted(digits, key=lambda each: each.box.left):
        beside = [row for row in rows if row[-1].box.shared_height(mark.box) >= 0.4]
        if beside:
            min(beside, key=lambda row: row[-1].box.gap(mark.box)).append(mark)
        else:
            rows.append([mark])
    return sorted(rows, key=lambda row: float(np.mean([(mark.box.top + mark.box.bottom) / 2 for mark in row])))


def _ink_of(mark: Mark, names: npt.NDArray[np.int32], mask: Mask) -> Mask:
    box = mark.box
    window = (slice(box.top, box.bottom), slice(box.left, box.right))
    return (np.isin(names[window], mark.names) & (mask[window] > 0)).astype(np.uint8)
