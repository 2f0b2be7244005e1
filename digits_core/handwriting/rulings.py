"""Ruled and squared paper: removes lines that run from edge to edge, keeps ink that crosses them."""

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.handwriting.ink import Ink, Mask, components, stroke_width

MARGIN = 0.0075  # of the side: a line that ends this close to the picture's edge runs past it
THICKEST = 0.02  # of the side: thicker lines are not rulings
PIECE = 0.3  # of the side: the length over which a line must be straight
ANGLES = np.deg2rad(np.arange(-10, 11, 1))
GAP = 0.05  # of the side: a pale line is found in pieces, with gaps up to this
LEAST_LEFT = 0.05  # of the longer side: if nothing this large is left, the lines were the writing
DARKER = 1.3  # times the rulings' strength: ink stronger than this is recognisable even along a ruling


def without_rulings(ink: Ink) -> Mask:
    """The mask without lines that run from edge to edge, across or down."""
    if not _anything_spans(ink.mask):
        return ink.mask
    level, upright = _rulings(ink.mask), _rulings(ink.mask.T.copy()).T
    mask = ink.mask
    for lines, down in ((level, False), (upright, True)):
        if lines.any():
            kept = without_lines(mask, lines, ink.strength, down=down)
            if _largest(kept) >= LEAST_LEFT * max(mask.shape):
                mask = kept
    return np.ascontiguousarray(mask)


def _anything_spans(mask: Mask) -> bool:
    left, top, width, height = cv2.boundingRect(mask)
    return bool(_edges_met(np.array([[left, top, width, height]]), mask.shape)[0] >= 2)


def _edges_met(boxes: npt.NDArray[np.integer], shape: tuple[int, ...]) -> npt.NDArray[np.integer]:
    """How many of the picture's four edges each box (left, top, width, height) reaches."""
    reach = MARGIN * max(shape)
    left, top, width, height = boxes[:, :4].T
    met = [left <= reach, top <= reach, left + width >= shape[1] - reach, top + height >= shape[0] - reach]
    return np.sum(met, axis=0)


def _largest(mask: Mask) -> int:
    """The longer side of the largest piece of ink, in pixels."""
    _, boxes = components(mask)
    return int(boxes[1:, 2:4].max()) if len(boxes) > 1 else 0


def _rulings(mask: Mask) -> Mask:
    """Pieces of roughly horizontal straight lines that together lead from one edge of the picture to another."""
    width = mask.shape[1]
    length = round(PIECE * width)
    tolerant = cv2.dilate(mask, np.ones((3, 1), np.uint8))
    found = np.zeros_like(mask)
    for angle in ANGLES:
        found |= cv2.morphologyEx(tolerant, cv2.MORPH_OPEN, _line_kernel(length, float(angle)), borderValue=0)
    found &= tolerant
    bridge = np.ones((3, 2 * round(GAP * width / 2) + 1), np.uint8)
    joined = cv2.morphologyEx(found, cv2.MORPH_CLOSE, bridge) | cv2.dilate(found, np.ones((3, 9), np.uint8))
    names, boxes = components(joined)
    across = np.flatnonzero((_edges_met(boxes, mask.shape) >= 2) & (boxes[:, 2] >= length))
    limit = max(4, round(THICKEST * max(mask.shape)))
    thick = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((limit + 1, 1), np.uint8))
    return np.isin(names, across[across > 0]).astype(np.uint8) & found & mask & ~thick


def _line_kernel(length: int, angle: float) -> Mask:
    rise = round(length * float(np.tan(angle)))
    kernel = np.zeros((abs(rise) + 1, length), np.uint8)
    start, end = ((0, 0), (length - 1, rise)) if rise >= 0 else ((0, -rise), (length - 1, 0))
    cv2.line(kernel, start, end, 1)
    return kernel


def without_lines(mask: Mask, lines: Mask, strength: npt.NDArray[np.float32], *, down: bool) -> Mask:
    """The mask without these lines, which run across or `down`; strokes cut by removing them are joined again."""
    return _mended(mask.T, lines.T, strength.T).T if down else _mended(mask, lines, strength)


def _mended(mask: Mask, lines: Mask, strength: npt.NDArray[np.float32]) -> Mask:
    """The mask without the lines; strokes cut by removing them are joined again."""
    mask, lines = np.ascontiguousarray(mask), np.ascontiguousarray(lines)
    thickness = max(2, round(stroke_width(lines)))
    rest = mask & ~cv2.dilate(lines, np.ones((2 * (thickness // 2) + 3, 1), np.uint8))
    bridge = cv2.morphologyEx(rest, cv2.MORPH_CLOSE, np.ones((2 * thickness + 5, 3), np.uint8))
    kept = rest | (bridge & mask)
    level = float(np.percentile(strength[lines > 0], 90))  # of the darkest: every fifth line may be printed bolder
    if rest.any() and float(np.median(strength[rest > 0])) > DARKER * level:
        kept |= mask & (strength > 0.5 * (level + 1.0)).astype(np.uint8)
    return kept
