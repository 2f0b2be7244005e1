"""Groups ink into digits, in reading order: rows from the top, within a row from the left."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.handwriting.ink import Mask, stroke_width

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
SHARE = 0.04  # of the digit's ink: a piece with less is dirt
BELONGING = 0.35  # of the digit's longer side: how far apart its pieces may be in a picture of one digit


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box in pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def joined(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(
            left=min(self.left, other.left),
            top=min(self.top, other.top),
            right=max(self.right, other.right),
            bottom=max(self.bottom, other.bottom),
        )

    def moved(self, right: int, down: int) -> "Box":
        """The box moved by so many pixels."""
        return Box(left=self.left + right, top=self.top + down, right=self.right + right, bottom=self.bottom + down)

    def gap(self, other: "Box") -> float:
        """Distance between the two in pixels; 0 if they overlap."""
        across = max(0, max(self.left, other.left) - min(self.right, other.right))
        down = max(0, max(self.top, other.top) - min(self.bottom, other.bottom))
        return float(np.hypot(across, down))

    def shared_width(self, other: "Box") -> float:
        """Share of the narrower box's width that lies above or below the other."""
        shared = min(self.right, other.right) - max(self.left, other.left)
        return max(0, shared) / max(1, min(self.width, other.width))

    def shared_height(self, other: "Box") -> float:
        """Share of the shorter box's height that lies beside the other."""
        shared = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0, shared) / max(1, min(self.height, other.height))


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


def part(mask: Mask) -> list[Cutout]:
    """Split a mask into digits, in reading order."""
    width = stroke_width(mask)
    if not width:
        return []
    _, _, across, down = cv2.boundingRect(_largest_piece(mask))
    gap = max(0.6 * width, JOINT * max(across, down))
    bridged = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((_odd(gap),) * 2, np.uint8))
    count, names, boxes, _ = cv2.connectedComponentsWithStats(bridged, connectivity=8)
    pieces = [_piece(name, boxes[name]) for name in range(1, count)]
    digits = _gathered(_without_frames(_without_dirt(pieces, width, mask.shape), width))
    return [
        Cutout(box=mark.box, row=number, ink=_ink_of(mark, names, mask))
        for number, row in enumerate(_rows(digits))
        for mark in row
    ]


def the_one(cutouts: list[Cutout]) -> list[Cutout]:
    """For a picture known to show one digit: the largest mark joined with what is close to it; empty if none."""
    if not cutouts:
        return []
    largest = max(cutouts, key=lambda one: (one.box.height * one.box.width, int(one.ink.sum())))
    reach = BELONGING * max(largest.box.height, largest.box.width)
    least = SHARE * int(largest.ink.sum())
    together = [one for one in cutouts if one.box.gap(largest.box) <= reach and int(one.ink.sum()) >= least]
    box = largest.box
    for one in together:
        box = box.joined(one.box)
    ink = np.zeros((box.height, box.width), np.uint8)
    for one in together:
        top, left = one.box.top - box.top, one.box.left - box.left
        ink[top : top + one.box.height, left : left + one.box.width] |= one.ink
    return [Cutout(box=box, row=0, ink=ink)]


def _largest_piece(mask: Mask) -> Mask:
    _, names, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return (names == 1 + int(boxes[1:, 4].argmax())).astype(np.uint8)


def _odd(length: float) -> int:
    return 2 * round(length / 2) + 1


def _piece(name: int, box: npt.NDArray[np.int32]) -> Mark:
    left, top, width, height, area = (int(value) for value in box)
    return Mark(box=Box(left=left, top=top, right=left + width, bottom=top + height), names=[name], area=area)


def _without_dirt(pieces: list[Mark], width: float, shape: tuple[int, ...]) -> list[Mark]:
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
    return [piece for piece in pieces if piece in free or CUT_OFF * usual <= piece.box.height <= usual / CUT_OFF]


def _fills_edge(box: Box, shape: tuple[int, ...]) -> bool:
    across, down = box.width >= 0.95 * shape[1], box.height >= 0.95 * shape[0]
    level = across and (box.top <= 1 or box.bottom >= shape[0] - 1)
    return level or (down and (box.left <= 1 or box.right >= shape[1] - 1))


def _without_frames(pieces: list[Mark], width: float) -> list[Mark]:
    """Drop boxes and circles drawn or printed around digits: thin outlines with separate ink inside."""
    frames = [piece for piece in pieces if any(_surrounds(piece, other, width) for other in pieces)]
    return [piece for piece in pieces if piece not in frames]


def _surrounds(outer: Mark, inner: Mark, width: float) -> bool:
    """Whether `outer` is a frame around `inner`. A dot or stroke inside a zero is too small or too close to it."""
    box, other, free = outer.box, inner.box, FRAME_GAP * width
    lies_inside = (
        box.left + free <= other.left
        and box.top + free <= other.top
        and other.right + free <= box.right
        and other.bottom + free <= box.bottom
    )
    is_outline = outer.area < OUTLINE * box.width * box.height
    return lies_inside and is_outline and inner.area >= INSIDE * outer.area and other.height >= 0.2 * box.height


def _touches_edge(box: Box, shape: tuple[int, ...]) -> bool:
    return box.left <= 1 or box.top <= 1 or box.right >= shape[1] - 1 or box.bottom >= shape[0] - 1


def _gathered(pieces: list[Mark]) -> list[Mark]:
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
        if piece.box.height < TALL * reference:
            nearest = min(digits, key=lambda mark: mark.box.gap(piece.box))
            if nearest.box.gap(piece.box) <= NEAR * reference:
                nearest.take(piece)
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
