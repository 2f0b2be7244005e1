"""Finds the ink: how much each point of a picture differs from the paper around it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.handwriting.decode import Pixels

Strength = npt.NDArray[np.float32]  # (H, W): 0 for paper, about 1 for ink
Mask = npt.NDArray[np.uint8]  # (H, W): 1 for ink

LONGEST_SIDE = 1_400  # pixels, larger pictures are shrunk: a page of thirty lines still has 40 per digit
SHORTEST_SIDE = 256  # pixels, smaller pictures are enlarged, so that edges can fall between pixels
COARSE_SIDE = 96  # pixels, the resolution at which the light on the paper is estimated
FAINTEST = 9.0  # of 255: anything with less contrast is not ink
BIMODAL = 0.88  # share of the variance explained by two colours: more means a drawing or a clean scan
WIDEST_STROKE = 0.4  # of the shorter side: anything wider is not writing
TWO_COLOURS = 0.7  # of the span from darkest to brightest: how far apart these two colours must be
EDGE = 0.45  # of the ink's strength: where a stroke ends
CERTAIN = 0.65  # of the ink's strength: a stroke is at least this strong somewhere


@dataclass(frozen=True, kw_only=True)
class Ink:
    """The ink of a picture, possibly resized. scale: pixels here per pixel of the picture."""

    strength: Strength
    mask: Mask
    scale: float


def find_ink(pixels: Pixels) -> Ink:
    """Find ink by its difference from the paper, whatever their colours. The mask is empty if there isn't any."""
    scale = _scale_of(pixels)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (max(2, round(pixels.shape[1] * scale)), max(2, round(pixels.shape[0] * scale)))
    colours = cv2.resize(pixels, size, interpolation=way) if scale != 1 else pixels
    colours = cv2.GaussianBlur(colours, (0, 0), max(0.8, 0.5 * scale))
    even = _on_even_paper(colours)
    raised = _raised(colours) if even is None else even[0]
    level = _ink_level(raised) if even is None else even[1]
    if level is None:
        return Ink(strength=np.zeros_like(raised), mask=np.zeros(raised.shape, np.uint8), scale=scale)
    strength = raised / level
    return Ink(strength=strength, mask=_strokes(strength), scale=scale)


def _strokes(strength: Strength) -> Mask:
    """Connected ink that is strong somewhere, which a pale line on the paper is not."""
    mask = (strength > EDGE).astype(np.uint8)
    names, boxes = components(mask)
    strong = np.zeros(len(boxes), np.uint8)
    strong[names[strength > CERTAIN]] = 1
    strong[0] = 0
    return strong[names]


def _scale_of(pixels: Pixels) -> float:
    longest = max(pixels.shape[:2])
    if longest > LONGEST_SIDE:
        return LONGEST_SIDE / longest
    return SHORTEST_SIDE / longest if longest < SHORTEST_SIDE else 1.0


def _raised(colours: Pixels) -> Strength:
    """How much each point stands out from its paper in the direction of the ink's colour: (H, W), 0..255."""
    paper = _paper(colours)
    difference = (colours - paper).astype(np.float32)
    direction = _ink_direction(difference)
    if direction.sum() < 0:  # ink darker than paper: uneven light scales both
        brightness = np.maximum(paper.mean(axis=2), np.float32(40))
        values = (colours.astype(np.float32) @ direction) * (float(np.percentile(brightness, 75)) / brightness)
    else:
        values = colours.astype(np.float32) @ direction
    raised: Strength = np.maximum(
        values - _ground(values.astype(np.float32), (difference @ direction).astype(np.float32)), 0
    )
    return raised


def _on_even_paper(colours: Pixels) -> tuple[Strength, float] | None:
    """Like `_raised`, plus the ink's level, if two colours explain nearly all (drawings, clean scans); else None."""
    sample = colours[::3, ::3].reshape(-1, 3).astype(np.float32)
    axis = main_axis(sample)
    values: Strength = cv2.transform(colours.astype(np.float32), axis[np.newaxis])
    low, high = float(values.min()), float(values.max())
    if high - low < FAINTEST:
        return None
    levels = cv2.convertScaleAbs(values, alpha=255 / (high - low), beta=-255 * low / (high - low))
    _, upper = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    share = float(cv2.mean(upper)[0])
    apart = cv2.mean(levels, upper)[0] - cv2.mean(levels, 1 - upper)[0]  # less with a third colour, such as a shadow
    deviation = float(cv2.meanStdDev(levels)[1][0, 0])
    if share * (1 - share) * apart**2 < BIMODAL * deviation**2 or apart < TWO_COLOURS * 255:
        return None
    edge = float(np.concatenate([upper[0], upper[-1], upper[:, 0], upper[:, -1]]).mean())
    ink_is_high = edge < 0.5 if abs(edge - 0.5) > 0.1 else share < 0.5
    paper = low + cv2.mean(levels, 1 - upper if ink_is_high else upper)[0] * (high - low) / 255
    ink = upper if ink_is_high else 1 - upper
    if stroke_width(ink) > WIDEST_STROKE * min(ink.shape):
        return None  # a shadow, or a table around the sheet
    raised: Strength = np.maximum(values - paper if ink_is_high else paper - values, 0)
    return raised, cv2.mean(raised, ink)[0]


def main_axis(colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The direction in which colours, (N, 3), differ most: (3,), unit length."""
    values = colours.astype(np.float64)
    total = np.ones(len(values)) @ values
    covariance = values.T @ values - np.outer(total, total) / len(values)
    axis: npt.NDArray[np.float32] = np.linalg.eigh(covariance)[1][:, -1].astype(np.float32)
    return axis


def _paper(colours: Pixels) -> npt.NDArray[np.float32]:
    """The paper's colour, (H, W, 3): the median of a wide neighbourhood."""
    shrink = COARSE_SIDE / max(colours.shape[:2])
    small = cv2.resize(colours, _shrunk(colours, shrink), interpolation=cv2.INTER_AREA)
    window = min(41, (min(small.shape[:2]) // 2) * 2 - 1)
    coarse = cv2.medianBlur(small, max(3, window))
    size = (colours.shape[1], colours.shape[0])
    return cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _shrunk(picture: npt.NDArray[np.generic], factor: float) -> tuple[int, int]:
    """Width and height, each at least a few pixels."""
    return max(3, round(picture.shape[1] * factor)), max(3, round(picture.shape[0] * factor))


def _ink_direction(difference: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The direction in colour in which points differ most from their paper: (3,), unit length, towards the ink."""
    flat = difference[::2, ::2].reshape(-1, 3)
    _, _, axes = np.linalg.svd(flat.T @ flat)
    direction = axes[0].astype(np.float32)
    along = flat @ direction
    # Ink covers little of the picture but is strong, so the distribution is skewed towards it.
    return direction if float((along**3).mean()) > 0 else -direction


def _ground(values: Strength, rough: Strength) -> Strength:
    """The paper under the ink, (H, W): the picture with everything as thin as a stroke removed."""
    width = _stroke_width_of(rough)
    shrink = min(1.0, 6 / width)
    small = cv2.resize(values, _shrunk(values, shrink), interpolation=cv2.INTER_AREA)
    across = 2 * round(1.25 * width * shrink) + 1
    opened = cv2.morphologyEx(
        small, cv2.MORPH_OPEN, np.ones((across, across), np.uint8), borderType=cv2.BORDER_REPLICATE
    )
    smooth = cv2.GaussianBlur(opened, (0, 0), across / 4)
    return cv2.resize(smooth, (values.shape[1], values.shape[0]), interpolation=cv2.INTER_LINEAR)


def _stroke_width_of(rough: Strength) -> float:
    """Stroke width in pixels, from the first rough difference; at least a few."""
    mask = (rough > 0.4 * float(np.percentile(rough, 99.8))).astype(np.uint8)
    smallest = 0.012 * max(rough.shape)
    return float(np.clip(stroke_width(mask), max(4.0, smallest), 0.3 * min(rough.shape)))


def components(mask: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Connected ink: the picture of names, (H, W), 0 for paper, and for each name left, top, width, height and area.

    Row 0, the paper, has no meaning.
    """
    names = np.zeros(mask.shape, np.int32)
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return names, np.zeros((1, 5), np.int32)
    window = (slice(top, top + height), slice(left, left + width))  # counting only there takes half the time
    _, names[window], boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask[window]), connectivity=8)
    boxes[:, :2] += (left, top)
    return names, boxes


def stroke_width(mask: Mask) -> float:
    """Mean stroke width in pixels: in a long strip the mean distance to the edge is a quarter of the width."""
    if not mask.any():
        return 0.0
    distance = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    inside = distance[distance > 0]
    return float(max(1.0, 4 * (inside.mean() - 0.25)))


def _ink_level(raised: Strength) -> float | None:
    """How strong the ink is in this picture; None if nothing stands out from the paper's grain."""
    flat = raised[::2, ::2]
    peak = 0.6 * float(cv2.blur(raised, (3, 3)).max())
    strongest, grain = float(np.percentile(flat, 99.9)), float(np.percentile(flat, 60))
    if peak > 2.5 * strongest or strongest < max(FAINTEST, 2.2 * grain):  # a speck of ink on a lot of paper
        strongest = peak
        if strongest < max(1.2 * FAINTEST, 3 * grain):
            return None
    return float(np.percentile(flat[flat > 0.35 * strongest], 70)) if (flat > 0.35 * strongest).any() else strongest
