"""Pictures of handwriting read by a model, in batches: one of a stored run, or an exported ONNX file."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.delivery.onnx_model import FILE_NAME, onnx_path, open_onnx
from digits_core.environment import how_to_install, is_installed
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.handwriting.boxes import NoDigit
from digits_core.handwriting.cutting import best_chain
from digits_core.handwriting.decode import Pixels, UnreadablePicture, read_picture
from digits_core.handwriting.folders import NOT_READ, OTHER_PICTURES
from digits_core.handwriting.framing import frame_for
from digits_core.handwriting.pipeline import Findings, FoundMark, Join, find_marks
from digits_core.handwriting.reading import Picture, ReadDigit, Reading, left_out_text

AT_ONCE = 128  # pictures per batch
NOTHING = Findings(marks=[], left_out=[])


class Model(Protocol):
    """What can classify images: a stored network or ensemble (a `Classifier`), or an ONNX file (an `OnnxModel`)."""

    @property
    def name(self) -> str:
        """As `--model` takes it."""

    @property
    def dataset(self) -> str:
        """The data set it was trained on."""

    @property
    def data_checksum(self) -> str | None:
        """That data set's checksum, if it is known."""

    @property
    def member_count(self) -> int:
        """How many networks vote."""

    @property
    def side(self) -> int:
        """Height and width, in pixels, of the images it takes."""

    @property
    def pose_count(self) -> int:
        """How often each network is asked about an image: more than once with test-time augmentation."""

    def finite(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Probabilities (N, 10) of images, uint8 (N, side, side). Raises EnvironmentFailure if they are none."""

    def on_one_thread(self) -> AbstractContextManager["Model"]:
        """The same model on one thread, for as long as the context lasts."""


def open_model(runs: Path, selector: str | None, *, tta: bool | None = None) -> Model:
    """What `--model` names: an exported ONNX file, its folder, or a stored model as `open_classifier` takes it.

    Raises UsageError if --tta or --no-tta contradicts how an ONNX file was exported.
    """
    path = onnx_path(selector)
    if path is not None:
        opened = open_onnx(path)
        if tta is not None and tta != (opened.pose_count > 1):
            was = "with" if opened.pose_count > 1 else "without"
            asked = "--tta" if tta else "--no-tta"
            raise UsageError(
                f"{path} was exported {was} test-time augmentation: leave out {asked}, or export the model again"
                f" with {asked}"
            )
        return opened
    if not is_installed("torch"):
        raise EnvironmentFailure(
            f"stored networks need torch, which this install leaves out; run: {how_to_install('train')}; or export the"
            f" model where it was trained, and predict with --model FOLDER/{FILE_NAME}"
        )
    from digits_core.inference.classifier import open_classifier

    return open_classifier(runs, selector, tta=tta)


class Reader:
    """Finds and classifies the digits in pictures."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.frame = frame_for(model.side)
        cv2.setNumThreads(1)  # pictures are spread over the processors, so OpenCV need not split one

    def read_files(self, pictures: Sequence[Picture], *, one_digit: bool = False) -> Iterator[Reading]:
        """Read every picture, in order. If one cannot be read, its Reading has an error; the others are still read.

        A picture with a label is read as one digit unless it shows several; with `one_digit`, every picture is.
        """
        batches = [pictures[start : start + AT_ONCE] for start in range(0, len(pictures), AT_ONCE)]
        found_in = partial(self._found, one_digit=one_digit)
        # Pictures are prepared on all processors meanwhile: on busy ones, two threads take three times as long.
        classifying = self.model.on_one_thread() if len(batches) > 1 else nullcontext(self.model)
        with classifying as model, ThreadPoolExecutor(_processor_count()) as pool:
            ahead = pool.map(found_in, batches[0]) if batches else iter(())
            for number, batch in enumerate(batches):
                found = list(ahead)
                if number + 1 < len(batches):
                    ahead = pool.map(found_in, batches[number + 1])  # prepared while this batch is classified
                yield from _answered(model, batch, found)

    def read_pixels(self, pixels: Pixels, *, most_marks: int | None = None) -> Reading:
        """Read one picture that is already decoded. Raises TooManyMarks for more than `most_marks`."""
        picture = Picture(path=Path())
        findings = find_marks(pixels, self.frame, most=most_marks)
        (reading,) = _answered(self.model, [picture], [_Found(findings=findings, shape=pixels.shape[:2])])
        return reading

    def _found(self, picture: Picture, *, one_digit: bool) -> "_Found":
        try:
            pixels = read_picture(picture.path, picture.page)
        except UnreadablePicture as error:
            return _Found(error=NOT_READ if picture.path.suffix.lower() in OTHER_PICTURES else str(error))
        try:
            join: Join = "always" if one_digit else "never" if picture.label is None else "if alone"
            findings = find_marks(pixels, self.frame, join=join)
        except (cv2.error, ValueError) as error:  # an unforeseen shape must not stop the other pictures
            return _Found(error=f"cannot search it for digits ({str(error).splitlines()[0][:100]})")
        return _Found(findings=findings, shape=pixels.shape[:2])


def nothing_found(left_out: Sequence[NoDigit]) -> str:
    """Why a picture has no digits."""
    if left_out:
        return f"no digit found, only {left_out_text(left_out)}"
    return "no digit found: the picture is blank or has no contrast"


@dataclass(frozen=True, kw_only=True)
class _Found:
    findings: Findings = NOTHING
    shape: tuple[int, ...] = (0, 0)
    error: str = ""


def _answered(model: Model, pictures: Sequence[Picture], found: Sequence[_Found]) -> Iterator[Reading]:
    marks = [mark for one in found for mark in one.findings.marks]
    if marks:
        said = model.finite(np.concatenate([mark.images for mark in marks]))
    place = 0
    for picture, one in zip(pictures, found, strict=True):
        digits: list[ReadDigit] = []
        for mark in one.findings.marks:
            count = len(mark.pieces)
            digits += _digits_of(mark, said[place : place + count])
            place += count
        left_out, (height, width) = one.findings.left_out, one.shape
        error = one.error or ("" if digits else nothing_found(left_out))
        yield Reading(
            picture=picture, width=width, height=height, digits=tuple(digits), left_out=tuple(left_out),
            several=one.findings.several, error=error,
        )  # fmt: skip


def _processor_count() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digits_of(mark: FoundMark, said: npt.NDArray[np.float64]) -> list[ReadDigit]:
    chain = best_chain(list(mark.pieces), said.max(axis=1)) if len(mark.pieces) > 1 else [0]
    return [
        ReadDigit(box=mark.boxes[piece], row=mark.row, image=mark.images[piece], probabilities=said[piece])
        for piece in chain
    ]
