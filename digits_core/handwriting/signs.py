"""Tells marks that are no digits: points, commas, dashes, slashes, pluses, stains, words in small letters."""

import cv2
import numpy as np

from digits_core.handwriting.boxes import Box, Kind
from digits_core.handwriting.ink import Mask, components, stroke_width

BESIDE = 0.3  # of the narrower one's width: what shares less with a digit stands beside it
DOT, COMMA = 0.3, 0.45  # of the reference height: a dot is at most as wide, a comma as tall
LOW = 0.7  # of a digit's height: a decimal point is further down
LETTER = 0.5  # of the usual height: the letters of a word are smaller
LETTERS = 4  # a word has at least so many
SLASH_HEIGHT = 1.15  # of the usual height: a slash is taller
LEANING = 0.25  # of its height: how far a slash leans
LYING = 0.8  # of its height: what leans more is no one
SOLID = 2.2  # stroke widths: a stain isn't longer
PLUS_HEIGHT = 0.85  # of the usual height: a plus is smaller
CROSSING = 0.85  # of its ink: what lies on a plus's two strokes
STRAIGHT = 1.7  # stroke widths: how wide a straight stroke may be


def small_sign(box: Box, nearest: Box, reference: float) -> Kind | None:
    """A dot or a dash, if a small piece near a digit is one; None if it may be a part of the digit."""
    if box.shared_width(nearest) >= BESIDE or not box.shared_height(nearest):
        return None
    is_low = (box.top + box.bottom) / 2 > nearest.top + LOW * nearest.height
    if is_low and box.width <= DOT * reference and box.height <= COMMA * reference:
        return "dot"
    return "dash" if box.width >= 1.5 * box.height and box.height <= DOT * reference else None


def large_sign(ink: Mask, usual: float | None) -> Kind | None:
    """A slash, dash, stain or word, if a mark as tall as a digit is one. usual: the height of the others, if any."""
    _, boxes = components(ink)
    if len(boxes) == 2 and _is_straight(ink):
        lean = _lean(ink)
        if abs(lean) > LYING * len(ink):
            return "dash"
        return "slash" if usual and len(ink) >= SLASH_HEIGHT * usual and lean > LEANING * len(ink) else None
    if usual and len(ink) <= PLUS_HEIGHT * usual and _is_cross(ink):
        return "plus"
    if usual and len(boxes) > LETTERS and boxes[1:, 3].max() < LETTER * usual:
        return "word"
    return "stain" if usual and max(ink.shape) < SOLID * stroke_width(ink) else None


def _is_straight(ink: Mask) -> bool:
    width = stroke_width(ink)
    if ink.sum() > STRAIGHT * width * np.hypot(*ink.shape):
        return False  # too much ink for one stroke from corner to corner
    _, sides, _ = cv2.minAreaRect(cv2.findNonZero(ink))
    return bool(min(sides) <= STRAIGHT * width and max(sides) >= 3 * min(sides))


def _is_cross(ink: Mask) -> bool:
    """Whether the ink is a level and an upright stroke that cross in the middle."""
    height, width = ink.shape
    near = 0.75 * stroke_width(ink)
    if not 0.7 <= width / height <= 1.4 or 3 * near > min(height, width):
        return False
    rows, columns = np.nonzero(ink)
    upright, level = np.abs(columns - (width - 1) / 2) <= near, np.abs(rows - (height - 1) / 2) <= near
    reaches = [np.ptp(rows[upright]) if upright.any() else 0, np.ptp(columns[level]) if level.any() else 0]
    return bool((upright | level).mean() >= CROSSING and reaches[0] >= 0.9 * height and reaches[1] >= 0.9 * width)


def _lean(ink: Mask) -> float:
    """How far a straight stroke's upper end lies to the right of its lower end, in pixels."""
    rows, columns = np.nonzero(ink)
    along = np.linalg.eigh(np.cov(np.stack([columns, rows])))[1][:, -1]
    return float(-len(ink) * along[0] / along[1]) if abs(along[1]) > 1e-6 else float(ink.shape[1])
