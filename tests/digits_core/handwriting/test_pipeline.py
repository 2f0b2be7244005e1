"""The whole way from a picture to framed digits, on synthetic handwriting (benchmarks.hands, benchmarks.papers)."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.hands import AUTHORS, FORMS, written
from benchmarks.papers import LARGE, SHEETS, Sheet, finished, picture
from digits_core.handwriting.decode import _on_ground
from digits_core.handwriting.framing import MNIST_FRAME, OPTDIGITS_FRAME, Frame, frame_for
from digits_core.handwriting.ink import find_ink, stroke_width
from digits_core.handwriting.pipeline import FoundMark, Join, find_marks
from digits_core.handwriting.rulings import without_rulings

PLAIN = SHEETS[0]


def drawn(sheet: Sheet, digit: int, author: int = 0, seed: int = 0) -> np.ndarray:
    stream = np.random.default_rng(seed)
    pixels = picture(lambda height, pen: written(AUTHORS[author], digit, height, pen, stream), sheet, stream)
    return np.ascontiguousarray(_on_ground(pixels) if pixels.shape[2] == 4 else pixels)


def marks_in(pixels: np.ndarray, frame: Frame = MNIST_FRAME, join: Join = "never") -> list[FoundMark]:
    return find_marks(pixels, frame, join=join).marks


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])


@pytest.mark.parametrize("sheet", [*SHEETS, LARGE], ids=lambda sheet: sheet.name)
def test_the_same_digit_looks_the_same_on_every_paper(sheet: Sheet) -> None:
    for digit, author in ((2, 2), (7, 2), (0, 2), (5, 2))[: 1 if sheet is LARGE else 4]:
        (reference,) = marks_in(drawn(replace(PLAIN, height=0.6, pen=0.08), digit, author, seed=digit))
        found = marks_in(drawn(sheet, digit, author, seed=digit))
        assert len(found) == 1, digit
        assert likeness(found[0].images[0], reference.images[0]) > 0.55, digit


def test_the_frame_is_like_mnists() -> None:
    for digit in range(10):
        (mark,) = marks_in(drawn(PLAIN, digit, seed=digit))
        image = mark.images[0].astype(float)
        rows, columns = np.flatnonzero((image > 60).any(axis=1)), np.flatnonzero((image > 60).any(axis=0))
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        mass = image.sum()
        assert abs((image.sum(axis=1) @ np.arange(28)) / mass - 13.5) <= 0.6
        assert abs((image.sum(axis=0) @ np.arange(28)) / mass - 13.5) <= 0.6


def test_strokes_become_as_thick_as_the_data_sets_whatever_the_pen() -> None:
    thicknesses = []
    for pen in (0.004, 0.03, 0.2):
        (mark,) = marks_in(drawn(replace(PLAIN, side=900, pen=pen), 3))
        thicknesses.append(stroke_width((mark.images[0].repeat(8, 0).repeat(8, 1) > 127).astype(np.uint8)) / 8)
    assert all(MNIST_FRAME.thinnest - 0.5 <= thickness <= MNIST_FRAME.thickest + 0.7 for thickness in thicknesses)


def test_other_data_sets_have_frames_of_their_own() -> None:
    (mark,) = marks_in(drawn(PLAIN, 4), OPTDIGITS_FRAME)
    assert mark.images.shape == (1, 8, 8)
    assert (mark.images[0].max(axis=1) > 100).all()  # it fills the height, as in optdigits
    assert frame_for(14).fitted == 10


@pytest.mark.parametrize("shade", [0, 40, 128, 215, 255])
def test_an_empty_picture_has_no_marks(shade: int) -> None:
    assert marks_in(np.full((120, 90, 3), shade, np.uint8)) == []
    noise = np.random.default_rng(0).normal(shade, 5, (300, 300, 3)).clip(0, 255).astype(np.uint8)
    assert marks_in(noise) == []


def test_a_box_is_where_the_digit_is() -> None:
    pixels = np.full((300, 500, 3), 255, np.uint8)
    pixels[100:180, 350:362] = 0
    (mark,) = marks_in(pixels)
    box = mark.boxes[0]
    assert np.abs(np.array([box.left, box.top, box.right, box.bottom]) - [350, 100, 362, 180]).max() <= 2


def page(rows: list[str], sheet: Sheet, gap: float = 0.35, author: int = 0) -> np.ndarray:
    """Draw rows of digits on one sheet."""
    stream = np.random.default_rng(0)
    ink = np.zeros((sheet.side, sheet.side), np.float32)
    height = 0.5 * sheet.side / max(len(rows), 3)
    for number, row in enumerate(rows):
        left, top = 0.1 * sheet.side, (number + 0.25) * sheet.side / len(rows)
        for digit in row:
            mask = written(AUTHORS[author], int(digit), height, 0.07 * height, stream)
            window = ink[int(top) : int(top) + mask.shape[0], int(left) : int(left) + mask.shape[1]]
            window[:] = np.maximum(window, mask / 255)
            left += mask.shape[1] + gap * height
    return np.ascontiguousarray(finished(ink, sheet, stream))


@pytest.mark.parametrize("name", ["drawn", "scan, squared", "photograph, shadow", "photograph, ruled"])
def test_a_page_is_read_by_rows_from_the_left(name: str) -> None:
    sheet = replace(next(sheet for sheet in SHEETS if sheet.name == name), side=1000)
    marks = marks_in(page(["4711", "20", "385"], sheet))
    assert [mark.row for mark in marks] == [0] * 4 + [1] * 2 + [2] * 3
    for row in range(3):
        lefts = [mark.boxes[0].left for mark in marks if mark.row == row]
        assert lefts == sorted(lefts)


def test_pieces_of_one_digit_belong_together() -> None:
    pixels = np.full((200, 200, 3), 255, np.uint8)
    pixels[60:140, 80:92] = 0
    pixels[140:150, 80:130] = 0  # an L
    pixels[60:110, 118:130] = 0  # and a separate stroke above its foot
    assert len(marks_in(pixels)) == 1
    pixels[60:110, 118:130] = 255
    pixels[40:52, 60:150] = 0  # a bar above it, like that of a five
    assert len(marks_in(pixels)) == 1


def test_a_picture_known_to_hold_one_digit_is_read_as_one() -> None:
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[40:160, 60:76] = 0
    pixels[40:160, 100:116] = 0
    assert len(marks_in(pixels)) == 2
    (mark,) = marks_in(pixels, join="always")
    assert len(mark.pieces) == 1
    assert mark.boxes[0].width >= 55


def on_a_table(sheet: np.ndarray, colour: int) -> np.ndarray:
    """The sheet, slightly rotated, on a table of this colour."""
    large = np.full((2 * len(sheet), 2 * len(sheet), 3), colour, np.uint8)
    at = len(sheet) // 2
    large[at : at + len(sheet), at : at + len(sheet)] = sheet
    turn = cv2.getRotationMatrix2D((len(sheet), len(sheet)), 8, 1.0)
    return np.ascontiguousarray(cv2.warpAffine(large, turn, large.shape[:2], borderValue=(colour,) * 3))


@pytest.mark.parametrize("colour", [30, 90, 150])
def test_a_sheet_on_a_table_is_found(colour: int) -> None:
    for digit in (0, 3, 7):
        alone = drawn(PLAIN, digit, 2, seed=digit)
        (reference,), (mark,) = marks_in(alone), marks_in(on_a_table(alone, colour))
        assert likeness(mark.images[0], reference.images[0]) > 0.6
        assert mark.boxes[0].left > len(alone) // 2


def test_a_box_or_circle_around_a_digit_is_not_read() -> None:
    alone = drawn(PLAIN, 4, 2)
    (reference,) = marks_in(alone)
    boxed, circled = alone.copy(), alone.copy()
    cv2.rectangle(boxed, (30, 30), (370, 370), (60, 60, 60), 4)
    cv2.circle(circled, (200, 200), 185, (40, 40, 120), 5)
    for pixels in (boxed, circled):
        (mark,) = marks_in(pixels)
        assert likeness(mark.images[0], reference.images[0]) > 0.9


def test_a_zero_with_a_dot_stays_a_zero() -> None:
    pixels = drawn(PLAIN, 0, 0)
    (plain,) = marks_in(pixels)
    box = plain.boxes[0]
    cv2.circle(pixels, ((box.left + box.right) // 2, (box.top + box.bottom) // 2), 9, (30, 30, 30), -1)
    (mark,) = marks_in(pixels)
    assert mark.boxes[0] == box


def test_a_speck_of_ink_on_a_lot_of_grainy_paper_is_found() -> None:
    pixels = np.random.default_rng(0).normal(225, 3, (700, 700, 3)).clip(0, 255).astype(np.uint8)
    small = cv2.resize(drawn(PLAIN, 5), (24, 24), interpolation=cv2.INTER_AREA)
    pixels[400:424, 300:324] = np.minimum(pixels[400:424, 300:324], small)
    (mark,) = marks_in(pixels)
    assert 395 <= mark.boxes[0].top <= 424
    assert 295 <= mark.boxes[0].left <= 324


def test_rulings_are_removed_and_strokes_across_them_stay_whole() -> None:
    plain = find_ink(drawn(replace(PLAIN, side=500, pen=0.06), 7, 1))
    ruled = find_ink(drawn(replace(PLAIN, side=500, pen=0.06, ruled=0.2, rule=(70, 70, 75)), 7, 1))
    bare = without_rulings(ruled)
    assert ruled.mask.sum() > 1.2 * plain.mask.sum()
    assert int(bare.sum()) == pytest.approx(int(plain.mask.sum()), rel=0.06)
    assert np.array_equal(without_rulings(plain), plain.mask)


def test_a_digit_that_fills_its_picture_is_not_a_ruling() -> None:
    for digit in FORMS:
        pixels = drawn(replace(PLAIN, height=0.97, pen=0.1, off_centre=0.0), int(digit))
        (mark,) = marks_in(pixels)
        assert mark.boxes[0].height > 0.85 * len(pixels)


def test_an_image_of_the_data_set_is_used_as_it_is() -> None:
    (mark,) = marks_in(drawn(PLAIN, 3))
    image = mark.images[0]
    for shown in (image, 255 - image):
        (again,) = marks_in(np.dstack([shown] * 3))
        assert np.array_equal(again.images[0], image)
    moved = np.roll(image, 3, axis=1)
    (again,) = marks_in(np.dstack([moved] * 3))
    assert not np.array_equal(again.images[0], moved)
