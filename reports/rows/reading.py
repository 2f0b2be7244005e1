"""Pictures that a model read -> what their page shows: boxes, what the network saw, similar training images."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.data.digits import Digits
from digits_core.handwriting.decode import UnreadablePicture, read_picture
from digits_core.handwriting.reading import ReadDigit, Reading, confusion_of

MOST_PICTURES = 100  # on a page; failed, wrong and unsure ones come first
MOST_DIGITS = 2_000
NEIGHBOURS = 5
LONGEST_SIDE = 720  # pixels, of a picture on the page

CHUNK = 10_000  # images at a time: their float32 copies take 31 MB at 28x28


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training image similar to what the network saw."""

    image: npt.NDArray[np.uint8]
    label: int
    index: int  # its number in the data set
    distance: float


@dataclass(frozen=True, kw_only=True)
class SeenDigit:
    """One digit on the page."""

    read: ReadDigit
    number: int  # within its picture, from 1
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True)
class SeenPicture:
    """One picture on the page. shown: uint8 (H, W, 3), scaled down; None if it cannot be read."""

    reading: Reading
    shown: npt.NDArray[np.uint8] | None
    digits: tuple[SeenDigit, ...]

    @property
    def is_wrong(self) -> bool:
        """Whether it has a label and was read as something else."""
        return self.reading.is_judged and not self.reading.is_right


@dataclass(frozen=True, kw_only=True)
class ReadingPage:
    """Everything on the page of `digits predict --explain`."""

    model: str
    trained_on: str
    pictures: tuple[SeenPicture, ...]
    picture_count: int
    failed_count: int
    known: tuple[Reading, ...]  # those with labels
    confusion: list[list[int]] | None
    why_no_neighbours: str = ""

    @property
    def wrong_count(self) -> int:
        """Number of labelled pictures that were read as something else."""
        return sum(not reading.is_right for reading in self.known)


def reading_page(
    readings: Sequence[Reading], model: str, trained_on: str, digits: Digits | None, why_not: str = ""
) -> ReadingPage:
    """Collect the page. digits: the data set that the model was trained on, or None with the reason in `why_not`."""
    chosen = _chosen(readings)
    images = [digit.image for reading in chosen for digit in reading.digits]
    neighbours = _neighbours(images, digits)
    known = tuple(reading for reading in readings if reading.is_judged)
    return ReadingPage(
        model=model,
        trained_on=trained_on,
        pictures=tuple(_seen(reading, neighbours) for reading in chosen),
        picture_count=len(readings),
        failed_count=sum(bool(reading.error) for reading in readings),
        known=known,
        confusion=confusion_of(known) if known else None,
        why_no_neighbours=why_not,
    )


def _chosen(readings: Sequence[Reading]) -> list[Reading]:
    """All readings if they are few; otherwise failed, wrong and unsure ones first, up to the limits."""

    def order(reading: Reading) -> tuple[bool, bool, bool]:
        is_wrong = reading.is_judged and not reading.is_right
        return not reading.error, not is_wrong, not any(digit.unsure for digit in reading.digits)

    first = sorted(readings, key=order)[:MOST_PICTURES] if len(readings) > MOST_PICTURES else list(readings)
    chosen: list[Reading] = []
    count = 0
    for reading in first:
        count += len(reading.digits)
        if chosen and count > MOST_DIGITS:
            break
        chosen.append(reading)
    return chosen


def _neighbours(images: list[npt.NDArray[np.uint8]], digits: Digits | None) -> list[tuple[Neighbour, ...]]:
    """The nearest training images of every image. The sealed test set stays closed."""
    if digits is None or not images:
        return [()] * len(images)
    train, _, _ = digits.parts
    places, distances = nearest(np.stack(images), digits.images[train], NEIGHBOURS)
    return [
        tuple(
            Neighbour(
                image=digits.images[train[place]],
                label=int(digits.labels[train[place]]),
                index=int(train[place]),
                distance=float(distance),
            )
            for place, distance in zip(row, far, strict=True)
        )
        for row, far in zip(places, distances, strict=True)
    ]


def _seen(reading: Reading, neighbours: list[tuple[Neighbour, ...]]) -> SeenPicture:
    """Removes one entry per digit of the picture from the front of `neighbours`."""
    own, neighbours[:] = neighbours[: len(reading.digits)], neighbours[len(reading.digits) :]
    return SeenPicture(
        reading=reading,
        shown=_shown(reading),
        digits=tuple(
            SeenDigit(read=digit, number=number, neighbours=near)
            for number, (digit, near) in enumerate(zip(reading.digits, own, strict=True), 1)
        ),
    )


def _shown(reading: Reading) -> npt.NDArray[np.uint8] | None:
    try:
        pixels = read_picture(reading.picture.path, reading.picture.page)
    except UnreadablePicture:
        return None
    factor = LONGEST_SIDE / max(pixels.shape[:2])
    if factor < 1:
        size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels


def nearest(
    seen: npt.NDArray[np.uint8], images: npt.NDArray[np.uint8], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Positions and Euclidean distances, both (Q, count), of the nearest images; pixels count as 0..1.

    seen: uint8 (Q, H, W); images: uint8 (N, H, W).
    """
    queries = seen.reshape(len(seen), -1).astype(np.float32) / 255
    distances = np.empty((len(seen), len(images)), np.float32)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK].reshape(-1, queries.shape[1]).astype(np.float32) / 255
        squares = (chunk**2).sum(axis=1)
        distances[:, start : start + len(chunk)] = squares - 2 * queries @ chunk.T
    distances += (queries**2).sum(axis=1, keepdims=True)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return order, np.sqrt(np.maximum(np.take_along_axis(distances, order, axis=1), 0))
