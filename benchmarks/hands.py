"""Digits as several people write them: pen strokes as points, to be drawn at any size.

Made up for this project. An author has a form for each digit, a slant, proportions and a more or less steady hand.
Forms that are rare in MNIST are included on purpose: crossed sevens, ones with a serif and a foot, slashed zeros, fours
open at the top, twos with a loop, nines with a straight leg.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Stroke = Sequence[tuple[float, float]]  # (x, y) in a box of width 0..1 and height 0..1, y downwards
Strokes = Sequence[Stroke]
SAMPLES_PER_POINT = 24

ROUND_ZERO: Stroke = [
    (0.55, 0.02), (0.2, 0.15), (0.08, 0.5), (0.22, 0.88), (0.52, 0.98), (0.82, 0.83), (0.92, 0.48), (0.8, 0.14),
    (0.5, 0.03),
]  # fmt: skip
FORMS: dict[str, tuple[Strokes, ...]] = {
    "0": (
        [ROUND_ZERO],
        [ROUND_ZERO, [(0.85, 0.05), (0.5, 0.5), (0.15, 0.95)]],  # slashed
        [[(0.35, 0.1), (0.1, 0.5), (0.3, 0.92), (0.62, 0.95), (0.86, 0.55), (0.75, 0.12), (0.42, 0.02), (0.3, 0.2)]],
    ),
    "1": (
        [[(0.5, 0.0), (0.49, 0.5), (0.5, 1.0)]],
        [[(0.22, 0.3), (0.38, 0.17), (0.55, 0.0)], [(0.55, 0.0), (0.55, 0.5), (0.55, 1.0)]],  # with a serif
        [
            [(0.3, 0.22), (0.42, 0.12), (0.52, 0.0)],
            [(0.52, 0.0), (0.52, 0.5), (0.52, 1.0)],
            [(0.28, 1.0), (0.5, 1.0), (0.76, 1.0)],
        ],
    ),
    "2": (
        [[(0.1, 0.25), (0.3, 0.03), (0.65, 0.02), (0.85, 0.25), (0.62, 0.58), (0.1, 0.97)],
         [(0.1, 0.97), (0.5, 0.96), (0.92, 0.96)]],
        [[(0.12, 0.22), (0.4, 0.0), (0.78, 0.12), (0.72, 0.45), (0.3, 0.85), (0.12, 0.92), (0.14, 0.75), (0.35, 0.8),
          (0.6, 0.97), (0.92, 0.88)]],  # with a loop
        [[(0.15, 0.12), (0.5, 0.0), (0.82, 0.18), (0.7, 0.5), (0.35, 0.78), (0.08, 1.0)],
         [(0.08, 1.0), (0.5, 0.95), (0.9, 1.0)]],
    ),
    "3": (
        [[(0.15, 0.1), (0.5, 0.0), (0.82, 0.18), (0.65, 0.42), (0.38, 0.48)],
         [(0.38, 0.48), (0.75, 0.52), (0.9, 0.75), (0.6, 0.98), (0.12, 0.9)]],
        [[(0.12, 0.03), (0.5, 0.02), (0.85, 0.03)], [(0.85, 0.03), (0.62, 0.22), (0.42, 0.42)],
         [(0.42, 0.42), (0.8, 0.5), (0.85, 0.8), (0.5, 1.0), (0.1, 0.88)]],  # flat top
        [[(0.2, 0.05), (0.7, 0.03), (0.8, 0.25), (0.45, 0.45), (0.85, 0.62), (0.75, 0.92), (0.35, 1.0), (0.1, 0.85)]],
    ),
    "4": (
        [[(0.6, 0.0), (0.35, 0.35), (0.08, 0.66)], [(0.08, 0.66), (0.5, 0.65), (0.95, 0.66)],
         [(0.68, 0.3), (0.68, 0.65), (0.66, 1.0)]],
        [[(0.2, 0.02), (0.16, 0.25), (0.12, 0.52)], [(0.12, 0.52), (0.5, 0.5), (0.9, 0.5)],
         [(0.72, 0.02), (0.7, 0.5), (0.68, 1.0)]],  # open at the top
        [[(0.7, 0.0), (0.38, 0.33), (0.05, 0.7)], [(0.05, 0.7), (0.5, 0.7), (0.95, 0.7)],
         [(0.7, 0.0), (0.7, 0.5), (0.7, 1.0)]],
    ),
    "5": (
        [[(0.85, 0.02), (0.5, 0.03), (0.25, 0.03)], [(0.25, 0.03), (0.22, 0.25), (0.18, 0.45)],
         [(0.18, 0.45), (0.55, 0.36), (0.88, 0.6), (0.7, 0.93), (0.35, 1.0), (0.08, 0.9)]],
        [[(0.25, 0.08), (0.22, 0.28), (0.2, 0.46)], [(0.2, 0.46), (0.6, 0.4), (0.85, 0.68), (0.5, 0.98), (0.1, 0.92)],
         [(0.28, 0.06), (0.55, 0.04), (0.9, 0.0)]],
        [[(0.9, 0.0), (0.6, 0.05), (0.3, 0.02), (0.22, 0.4), (0.6, 0.42), (0.85, 0.7), (0.6, 0.97), (0.1, 0.95)]],
    ),
    "6": (
        [[(0.72, 0.0), (0.35, 0.25), (0.12, 0.65), (0.3, 0.96), (0.65, 0.97), (0.85, 0.72), (0.6, 0.5), (0.28, 0.58),
          (0.14, 0.75)]],
        [[(0.6, 0.0), (0.25, 0.35), (0.1, 0.75), (0.4, 1.0), (0.75, 0.9), (0.78, 0.62), (0.5, 0.52), (0.15, 0.72)]],
        [[(0.85, 0.08), (0.55, 0.0), (0.2, 0.3), (0.1, 0.7), (0.4, 1.0), (0.85, 0.85), (0.8, 0.55), (0.45, 0.48),
          (0.13, 0.66)]],
    ),
    "7": (
        [[(0.08, 0.04), (0.5, 0.03), (0.9, 0.03)], [(0.9, 0.03), (0.6, 0.45), (0.4, 1.0)]],
        [[(0.08, 0.05), (0.5, 0.03), (0.92, 0.04)], [(0.92, 0.04), (0.65, 0.45), (0.45, 1.0)],
         [(0.32, 0.5), (0.58, 0.48), (0.86, 0.47)]],  # crossed
        [[(0.1, 0.16), (0.12, 0.04)], [(0.12, 0.04), (0.5, 0.05), (0.9, 0.02)],
         [(0.9, 0.02), (0.58, 0.5), (0.5, 1.0)], [(0.35, 0.54), (0.58, 0.5), (0.82, 0.48)]],
    ),
    "8": (
        [[(0.75, 0.15), (0.45, 0.0), (0.18, 0.2), (0.5, 0.46), (0.85, 0.72), (0.5, 1.0), (0.12, 0.76), (0.45, 0.48),
          (0.8, 0.22), (0.7, 0.1)]],
        [[(0.5, 0.46), (0.2, 0.25), (0.5, 0.0), (0.8, 0.24), (0.5, 0.46)],
         [(0.5, 0.46), (0.12, 0.75), (0.5, 1.0), (0.88, 0.74), (0.5, 0.46)]],
        [[(0.82, 0.08), (0.4, 0.02), (0.2, 0.25), (0.6, 0.5), (0.8, 0.8), (0.45, 1.0), (0.15, 0.8), (0.4, 0.52),
          (0.82, 0.08)]],
    ),
    "9": (
        [[(0.82, 0.2), (0.5, 0.0), (0.15, 0.22), (0.3, 0.5), (0.65, 0.45), (0.83, 0.2)],
         [(0.83, 0.2), (0.8, 0.6), (0.7, 1.0)]],
        [[(0.85, 0.18), (0.45, 0.02), (0.14, 0.28), (0.4, 0.52), (0.8, 0.35), (0.85, 0.18)],
         [(0.85, 0.18), (0.84, 0.6), (0.84, 1.0)]],  # a straight leg
        [[(0.8, 0.25), (0.55, 0.02), (0.18, 0.2), (0.35, 0.48), (0.75, 0.35), (0.82, 0.15), (0.82, 0.6), (0.6, 0.95),
          (0.2, 0.95)]],
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Author:
    """forms: index into FORMS for each digit 0 to 9; slant: in radians; unsteadiness: in units of the digit's size."""

    name: str
    forms: tuple[int, ...]
    slant: float = 0.0
    proportion: float = 0.65  # width over height
    unsteadiness: float = 0.012


AUTHORS = (
    Author(name="plain", forms=(0,) * 10),
    Author(name="european", forms=(0, 1, 0, 0, 0, 0, 0, 1, 0, 0), slant=0.1, unsteadiness=0.018),
    Author(name="engineer", forms=(1, 2, 2, 1, 2, 0, 1, 1, 1, 1), proportion=0.58, unsteadiness=0.006),
    Author(name="hasty", forms=(2, 0, 1, 2, 1, 2, 1, 0, 2, 0), slant=0.28, unsteadiness=0.025),
    Author(name="child", forms=(0, 1, 2, 0, 1, 1, 2, 0, 1, 1), slant=-0.08, proportion=0.8, unsteadiness=0.035),
    Author(name="curly", forms=(2, 1, 1, 2, 0, 2, 2, 2, 0, 2), slant=0.15, proportion=0.72, unsteadiness=0.015),
)


def _smooth(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(P, 2) -> (samples, 2): the Catmull-Rom spline through the points."""
    if len(points) < 3:
        return np.linspace(points[0], points[-1], SAMPLES_PER_POINT)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, SAMPLES_PER_POINT, endpoint=False)[:, np.newaxis]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, points[-1:]])


def written(
    author: Author, digit: int, height: float, pen: float, stream: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw a digit, `height` and `pen` in pixels: uint8 (H, W), ink 255 on 0, cropped to the ink."""
    wobble = author.unsteadiness
    scale = np.array([author.proportion * height * stream.normal(1, 0.06), height])
    shear = author.slant + stream.normal(0, 0.05)
    lines = []
    for stroke in FORMS[str(digit)][author.forms[digit]]:
        points = np.array(stroke) + stream.normal(0, wobble, (len(stroke), 2))
        line = _smooth(points) * scale
        line[:, 0] -= np.tan(shear) * (line[:, 1] - height / 2)
        lines.append(line)
    turn = stream.normal(0, 0.05)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    lines = [line @ rotation for line in lines]
    margin = pen / 2 + 1
    low = np.min([line.min(axis=0) for line in lines], axis=0) - margin
    size = np.ceil(np.max([line.max(axis=0) for line in lines], axis=0) + margin - low).astype(int)
    canvas = np.zeros((size[1], size[0]), dtype=np.uint8)
    shift = 4  # OpenCV's fixed-point coordinates: sixteenths of a pixel
    fixed = [np.rint((line - low) * 2**shift).astype(np.int32) for line in lines]
    cv2.polylines(canvas, fixed, False, 255, max(1, round(pen)), cv2.LINE_AA, shift)
    return canvas
