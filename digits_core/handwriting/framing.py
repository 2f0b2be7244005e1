"""Puts a digit's ink into a data set's frame: its size, position and stroke width."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.handwriting.decode import Pixels
from digits_core.handwriting.ink import Mask, stroke_width

GROUND = 60  # of 255: brighter is ink, in a picture that is already framed
LEAST_COLOUR = 8  # of 255: pixels whose red, green and blue differ by no more are grey
FINE = 8  # points per pixel of the frame: ink is drawn this finely, then averaged


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How a data set places its digits; lengths in pixels. `fitted`: the side of the box that the digit fills."""

    side: int
    fitted: int
    by_mass: bool  # centred by centre of mass, else by bounding box
    thinnest: float  # stroke width: thinner strokes are grown, those above `thickest` shrunk
    thickest: float


MNIST_FRAME = Frame(side=28, fitted=20, by_mass=True, thinnest=2.0, thickest=3.6)  # MNIST's own strokes: 1.7 to 4.1
OPTDIGITS_FRAME = Frame(side=8, fitted=8, by_mass=False, thinnest=1.2, thickest=2.0)
USPS_FRAME = Frame(side=16, fitted=16, by_mass=False, thinnest=1.8, thickest=3.2)
FRAMES = {frame.side: frame for frame in (MNIST_FRAME, OPTDIGITS_FRAME, USPS_FRAME)}


def frame_for(side: int) -> Frame:
    """The frame of data sets with images of this side; for other sides, MNIST's frame scaled in proportion."""
    if side in FRAMES:
        return FRAMES[side]
    scale = side / MNIST_FRAME.side
    return Frame(
        side=side,
        fitted=max(1, round(MNIST_FRAME.fitted * scale)),
        by_mass=True,
        thinnest=MNIST_FRAME.thinnest * scale,
        thickest=MNIST_FRAME.thickest * scale,
    )


def framed(ink: Mask, frame: Frame = MNIST_FRAME) -> npt.NDArray[np.uint8]:
    """uint8 (side, side), ink bright: cropped, strokes as thick as the data set's, scaled into the box, centred."""
    fine = _even_strokes(_laid_out(ink, frame.fitted * FINE), frame)
    height, width = fine.shape
    factor = frame.fitted / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    top, left = _place(small, frame)
    framed_digit = np.zeros((frame.side, frame.side), np.float32)
    framed_digit[top : top + small.shape[0], left : left + small.shape[1]] = small
    return np.clip(np.rint(255 * framed_digit), 0, 255).astype(np.uint8)


def _laid_out(ink: Mask, longest: int) -> Mask:
    """The ink resampled to `longest` points along its longer side, with smooth edges."""
    factor = longest / max(ink.shape)
    size = (max(1, round(ink.shape[1] * factor)), max(1, round(ink.shape[0] * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    soft = cv2.resize(ink.astype(np.float32), size, interpolation=way)
    if factor > 1:
        soft = cv2.GaussianBlur(soft, (0, 0), factor / 2)
    hard = (soft > min(0.5, 0.5 * float(soft.max()))).astype(np.uint8)
    return hard if factor >= 1 else hard | (soft > 0.3).astype(np.uint8)


def _even_strokes(ink: Mask, frame: Frame) -> npt.NDArray[np.float32]:
    """The ink, (H, W) 0..1, cropped, with strokes grown or shrunk until they are as thick as the data set's."""
    width = stroke_width(ink)
    wanted = float(np.clip(width, frame.thinnest * FINE, frame.thickest * FINE))
    growth = (wanted - width) / 2
    margin = int(max(0.0, growth)) + 2
    room = cv2.copyMakeBorder(ink, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    outside = cv2.distanceTransform(1 - room, cv2.DIST_L2, 5)
    inside = cv2.distanceTransform(room, cv2.DIST_L2, 5)
    soft = np.clip(0.5 + growth + inside - outside, 0, 1).astype(np.float32)
    if not (soft > 0.5).any():
        soft = room.astype(np.float32)
    rows, columns = np.flatnonzero((soft > 0.3).any(axis=1)), np.flatnonzero((soft > 0.3).any(axis=0))
    return soft[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _place(small: npt.NDArray[np.float32], frame: Frame) -> tuple[int, int]:
    """Top and left of the digit within its frame."""
    height, width = small.shape
    if frame.by_mass:
        mass = float(small.sum())
        down = float((small.sum(axis=1) * np.arange(height)).sum()) / mass
        across = float((small.sum(axis=0) * np.arange(width)).sum()) / mass
        top, left = round(frame.side / 2 - 0.5 - down), round(frame.side / 2 - 0.5 - across)
    else:
        top, left = (frame.side - height) // 2, (frame.side - width) // 2
    return min(max(top, 0), frame.side - height), min(max(left, 0), frame.side - width)


def already_framed(pixels: Pixels, frame: Frame = MNIST_FRAME) -> npt.NDArray[np.uint8] | None:
    """The picture itself, ink bright, if it is already an image of such a data set, say saved to a file; else None.

    It must be grey, of the frame's size, on an even background, with ink as large and as centred as the frame's.
    """
    if pixels.shape[:2] != (frame.side, frame.side) or not frame.by_mass or np.ptp(pixels, axis=2).max() > LEAST_COLOUR:
        return None
    image = pixels[..., 1]
    if np.median(image) > 127:
        image = 255 - image
    edge = np.concatenate([image[:2].ravel(), image[-2:].ravel(), image[:, :2].ravel(), image[:, -2:].ravel()])
    if edge.max() > GROUND or image.max() < 2 * GROUND:
        return None
    rows, columns = np.flatnonzero((image > GROUND).any(axis=1)), np.flatnonzero((image > GROUND).any(axis=0))
    longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    mass, middle = float(image.sum()), (frame.side - 1) / 2
    down = float(image.sum(axis=1) @ np.arange(frame.side)) / mass
    across = float(image.sum(axis=0) @ np.arange(frame.side)) / mass
    is_as_large = abs(int(longest) - frame.fitted) <= 1
    return image if is_as_large and max(abs(down - middle), abs(across - middle)) <= 1 else None


def reframed(images: npt.NDArray[np.uint8], frame: Frame) -> npt.NDArray[np.uint8]:
    """Convert one data set's images to another's layout: uint8 (N, H, W) -> (N, side, side).

    The only conversion between sizes: cropped to the ink (brighter than a quarter of its brightest point), scaled into
    the frame's box keeping proportions, centred by mass or box. Stroke width is not adjusted.
    """
    empty = np.zeros((len(images), frame.side, frame.side), np.uint8)
    return np.stack([_in_frame(image, frame) for image in images]) if len(images) else empty


def _in_frame(image: npt.NDArray[np.uint8], frame: Frame) -> npt.NDArray[np.uint8]:
    ink = image > max(1, int(image.max()) // 4)
    placed = np.zeros((frame.side, frame.side), np.uint8)
    if not ink.any():
        return placed
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    crop = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = frame.fitted / max(crop.shape)
    size = (max(1, round(crop.shape[1] * factor)), max(1, round(crop.shape[0] * factor)))
    scaled = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    top, left = _place(scaled.astype(np.float32), frame)
    placed[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return placed
