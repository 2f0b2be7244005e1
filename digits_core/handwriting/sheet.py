"""Finds the paper in a picture that shows more than the paper: a sheet on a table, a note on a wall."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.handwriting.decode import Pixels
from digits_core.handwriting.ink import Mask
from digits_core.handwriting.marks import Box

COARSE_SIDE = 160  # pixels, the resolution of the search
SMALLEST, LARGEST = 0.1, 0.9  # of the picture: the range of a sheet's area
LEAST_CONTRAST = 30.0  # of 255, between sheet and table
SOLID = 0.88  # of its convex hull: what a sheet with its ink filled in covers at least
STRAIGHT = 0.86  # of the smallest rotated rectangle around it: an ellipse covers 0.79
MOST_EDGES = 1  # of the picture's edges that a sheet may reach: whatever reaches more is probably a shadow
INK_REACH = 0.12  # of the coarse side: strokes up to this wide are filled in
RIM = 0.02  # of the coarse side: cut off, so that the sheet's edge is not taken for a stroke


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """box: in the picture's pixels; pixels: the content of the box, with paper painted over the surroundings."""

    box: Box
    pixels: Pixels


def find_sheet(pixels: Pixels) -> Sheet | None:
    """The compact, evenly coloured, straight-edged region that stands out from its surroundings; None without one."""
    shrink = COARSE_SIDE / max(pixels.shape[:2])
    if shrink >= 1:
        return None
    size = (max(3, round(pixels.shape[1] * shrink)), max(3, round(pixels.shape[0] * shrink)))
    small = cv2.medianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), 3)
    classes, apart = _two_classes(small)
    if apart < LEAST_CONTRAST:
        return None
    for candidate in (classes, 1 - classes):
        region = _region(candidate)
        if region is not None:
            return _cut_out(pixels, region)
    return None


def _two_classes(small: Pixels) -> tuple[Mask, float]:
    """Otsu's two classes along the direction in which colours differ most, and the distance between their means."""
    flat = small.reshape(-1, 3).astype(np.float32)
    axis = np.linalg.eigh(np.cov(flat.T))[1][:, -1].astype(np.float32)
    values = cv2.transform(small.astype(np.float32), axis[np.newaxis])
    levels = cv2.normalize(values, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    _, upper = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if not upper.any() or upper.all():
        return upper, 0.0
    return upper, float(values[upper > 0].mean() - values[upper == 0].mean())


def _region(candidate: Mask) -> Mask | None:
    """The largest piece with its ink filled in and its rim cut off; None unless it has the shape of a sheet."""
    count, names, boxes, _ = cv2.connectedComponentsWithStats(candidate, connectivity=4)
    if count < 2:
        return None
    largest = 1 + int(boxes[1:, 4].argmax())
    across = 2 * round(INK_REACH * COARSE_SIDE / 2) + 1
    alone = cv2.copyMakeBorder((names == largest).astype(np.uint8), across, across, across, across, cv2.BORDER_CONSTANT)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    filled = cv2.morphologyEx(alone, cv2.MORPH_CLOSE, kernel)[across:-across, across:-across]
    outline = max(cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    area, hull = cv2.contourArea(outline), cv2.convexHull(outline)
    share = area / filled.size
    if not SMALLEST <= share <= LARGEST or _edges_reached(filled) > MOST_EDGES:
        return None
    (_, _), (width, height), _ = cv2.minAreaRect(outline)
    if area < SOLID * cv2.contourArea(hull) or area < STRAIGHT * width * height:
        return None
    inside = cv2.fillConvexPoly(np.zeros_like(filled), hull, 1)
    rim = 2 * round(RIM * COARSE_SIDE) + 1
    return cv2.erode(inside, np.ones((rim, rim), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)


def _edges_reached(region: Mask) -> int:
    return sum(int(side.mean() > 0.05) for side in (region[0], region[-1], region[:, 0], region[:, -1]))


def _cut_out(pixels: Pixels, region: Mask) -> Sheet | None:
    height, width = pixels.shape[:2]
    whole: npt.NDArray[np.uint8] = cv2.resize(region, (width, height), interpolation=cv2.INTER_NEAREST)
    left, top, across, down = cv2.boundingRect(whole)
    if min(across, down) < 8:
        return None
    window = (slice(top, top + down), slice(left, left + across))
    inside, cut = whole[window] > 0, pixels[window].copy()
    cut[~inside] = np.median(cut[inside][::7], axis=0).astype(np.uint8)
    return Sheet(box=Box(left=left, top=top, right=left + across, bottom=top + down), pixels=cut)
