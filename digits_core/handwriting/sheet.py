"""Finds the paper in a picture that shows more than the paper: a sheet on a table, a note on a wall."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.handwriting.boxes import Box
from digits_core.handwriting.decode import Pixels
from digits_core.handwriting.ink import Mask, main_axis

COARSE_SIDE = 160  # pixels, the resolution of the search
SMALLEST, LARGEST = 0.1, 0.9  # of the picture: the range of a sheet's area
LEAST_CONTRAST = 30.0  # of 255, between sheet and table
SOLID = 0.88  # of its convex hull: what a sheet with its ink filled in covers at least
FILLED = 0.8  # of what its outline encloses
STRAIGHT = 0.86  # of the smallest rotated rectangle around it: an ellipse covers 0.79
MOST_EDGES = 1  # of the picture's edges that a sheet may reach: whatever reaches more is probably a shadow
INK_REACH = 0.12  # of the coarse side: strokes up to this wide are filled in
NEAR_EDGE = 0.08  # of the width or height: what a scanner adds lies this close to the picture's edges
ALONG = 0.6  # of an edge of the picture: what a scanner adds is at least this long
LEAST_INSIDE = 0.1  # of its points: what reaches further inside was not added by a scanner
RIM = 0.02  # of the coarse side: cut off, so that the sheet's edge is not taken for a stroke


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """box: in the picture's pixels; pixels: the content of the box, with paper painted over the surroundings."""

    box: Box
    pixels: Pixels


@dataclass(frozen=True, kw_only=True)
class Coarse:
    """A picture at a low resolution, parted in two. classes: 0 or 1; apart: distance of their colours, of 255."""

    pixels: Pixels
    classes: Mask
    apart: float

    @property
    def candidates(self) -> tuple[Mask, ...]:
        """Each of the two classes, if they are far enough apart."""
        return (self.classes, 1 - self.classes) if self.apart >= LEAST_CONTRAST else ()


def coarse(pixels: Pixels) -> Coarse:
    """Shrink a picture and part it in two by colour."""
    shrink = min(1.0, COARSE_SIDE / max(pixels.shape[:2]))
    size = (max(3, round(pixels.shape[1] * shrink)), max(3, round(pixels.shape[0] * shrink)))
    small = cv2.medianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), 3)
    classes, apart = _two_classes(small)
    return Coarse(pixels=small, classes=classes, apart=apart)


def find_sheet(pixels: Pixels, small: Coarse) -> Sheet | None:
    """The compact, evenly coloured, straight-edged region that stands out from its surroundings; None without one."""
    if max(pixels.shape[:2]) <= COARSE_SIDE:
        return None
    for candidate in small.candidates:
        region = _region(candidate)
        if region is not None:
            return _cut_out(pixels, region)
    return None


def without_edges(pixels: Pixels, small: Coarse) -> Pixels | None:
    """The picture with the dark strips that a scanner or copier adds along its edges painted over; None without any."""
    for candidate in small.candidates:
        strips = _strips(candidate)
        if strips is not None:
            return _painted(pixels, small.pixels, strips)
    return None


def _strips(candidate: Mask) -> Mask | None:
    """The pieces that lie along an edge of the picture and hardly reach inside."""
    height, width = candidate.shape
    edges = (candidate[0], candidate[-1], candidate[:, 0], candidate[:, -1])
    if max(float(edge.mean()) for edge in edges) < ALONG:
        return None
    count, names, boxes, _ = cv2.connectedComponentsWithStats(candidate, connectivity=4)
    down, across = max(1, round(NEAR_EDGE * height)), max(1, round(NEAR_EDGE * width))
    inner = (slice(down, height - down), slice(across, width - across))
    if candidate[inner].mean() > 0.5:
        return None  # it is the paper around a frame
    inside = np.bincount(names[inner].ravel(), minlength=count)
    sides = (names[0], names[-1], names[:, 0], names[:, -1])
    along = np.max([np.bincount(side, minlength=count) / len(side) for side in sides], axis=0)
    strips = (along >= ALONG) & (inside <= LEAST_INSIDE * boxes[:, 4])
    strips[0] = False
    return strips[names].astype(np.uint8) if strips.any() else None


def _painted(pixels: Pixels, small: Pixels, strips: Mask) -> Pixels:
    """The picture, each point of the strips in the colour of the nearest point beside them."""
    covered = cv2.dilate(strips, np.ones((3, 3), np.uint8))
    _, nearest = cv2.distanceTransformWithLabels(covered, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colour_of = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    colour_of[nearest[covered == 0]] = small[covered == 0]
    size = (pixels.shape[1], pixels.shape[0])
    paper = cv2.resize(colour_of[nearest], size, interpolation=cv2.INTER_LINEAR)
    return np.where(cv2.resize(covered, size, interpolation=cv2.INTER_NEAREST)[..., np.newaxis] > 0, paper, pixels)


def _two_classes(small: Pixels) -> tuple[Mask, float]:
    """Otsu's two classes along the direction in which colours differ most, and the distance between their means."""
    flat = small.reshape(-1, 3).astype(np.float32)
    axis = main_axis(flat)
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
    if filled.sum() < FILLED * area:
        return None  # the outline of a box
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
