"""What stands around and among digits and is none: it is left out and named, and the digits are found as without it."""

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.hands import AUTHORS, written
from benchmarks.pages import PAGES, STYLES, Page, page_and_twin
from benchmarks.papers import SHEETS, finished, picture
from digits_core.handwriting.pipeline import Findings, find_marks
from digits_core.handwriting.reading import left_out_text

LEFT_OUT = {
    "a box around all": {"frame": 1},
    "a box around each": {"frame": 16},
    "a table": {"table": 1},
    "a close table": {"table": 1},
    "joined boxes": {"table": 1},
    "a comb": {"line": 1},
    "a black border": {"edge": 1},
    "a scanner's edge": {"edge": 1},
    "a margin line": {"line": 1},
    "a stamp": {"frame": 2},
}
PLAIN = SHEETS[0]
BY_NAME = {page.name: page for page in PAGES}


def middles(found: Findings) -> np.ndarray:
    boxes = [mark.boxes[0].joined(mark.boxes[-1]) for mark in found.marks]
    return np.array([[(box.left + box.right) / 2, (box.top + box.bottom) / 2] for box in boxes])


def drawn(*strokes: tuple[tuple[int, int], ...], side: int = 600, pen: int = 8) -> np.ndarray:
    """Lines through these points, black on white."""
    pixels = np.full((side, side, 3), 255, np.uint8)
    for stroke in strokes:
        cv2.polylines(pixels, [np.array(stroke)], False, (20, 20, 20), pen, cv2.LINE_AA)
    return pixels


def line_of(text: str, height: int = 110, gap: int = 40) -> np.ndarray:
    """These digits in a row, written by the first author, the tops at 300 of 800 pixels, the first at 60."""
    stream = np.random.default_rng(3)
    ink, left = np.zeros((800, 1200), np.float32), 60
    for digit in text:
        mask = written(AUTHORS[0], int(digit), height, 9, stream)
        ink[300 : 300 + mask.shape[0], left : left + mask.shape[1]] = mask / 255
        left += mask.shape[1] + gap
    return finished(ink, replace(PLAIN, side=800), stream)


@pytest.mark.parametrize(
    ("page", "style", "author"),
    [
        *((page, 0, 0) for page in PAGES),
        *(
            pytest.param(BY_NAME[name], 2, 1, marks=pytest.mark.slow)
            for name in ("a box around all", "a table", "a comb")
        ),
    ],
    ids=lambda one: one.name if isinstance(one, Page) else None,
)
def test_a_page_is_searched_like_its_twin(page: Page, style: int, author: int) -> None:
    whole, twin, digits = page_and_twin(page, STYLES[style], AUTHORS[author], seed=11 + author)
    found, plain = find_marks(whole), find_marks(twin)
    assert len(found.marks) == len(plain.marks) == len(digits)
    assert np.abs(middles(found) - middles(plain)).max() < 12
    assert plain.left_out == []
    kinds = Counter(one.kind for one in found.left_out)
    assert {kind: kinds[kind] for kind in LEFT_OUT[page.name]} == LEFT_OUT[page.name]


@pytest.mark.parametrize(
    ("strokes", "pen"),
    [
        ((((300, 60), (300, 540)),), 40),
        ((((300, 60), (300, 540)),), 5),
        ((((120, 60), (480, 60)), ((480, 60), (260, 540))), 30),  # a seven
        ((((200, 60), (400, 60), (400, 540), (200, 540), (200, 60)),), 20),  # a zero with corners
        ((((200, 60), (200, 330), (420, 330)), ((360, 200), (360, 540))), 25),  # a four
    ],
)
def test_straight_strokes_of_a_digit_are_no_lines(strokes: tuple[tuple[tuple[int, int], ...], ...], pen: int) -> None:
    pixels = drawn(*strokes, pen=pen)
    found = find_marks(pixels)
    assert found.left_out == []
    assert len(found.marks) == 1
    assert found.marks[0].boxes[0].height > 450


def test_a_one_beside_specks_is_no_line() -> None:
    pixels = drawn(((300, 60), (300, 540)), pen=12)
    for at in ((100, 100), (480, 300), (150, 450)):
        cv2.circle(pixels, at, 9, (20, 20, 20), -1)
    found = find_marks(pixels)
    assert [mark.boxes[0].height > 450 for mark in found.marks] == [True]


@pytest.mark.parametrize("line", [((0, 300), (599, 300)), ((300, 0), (300, 599)), ((0, 280), (599, 310))])
def test_a_line_alone_is_no_digit(line: tuple[tuple[int, int], ...]) -> None:
    found = find_marks(drawn(line, pen=3))
    assert found.marks == []
    assert left_out_text(found.left_out) == "a line"


@pytest.mark.parametrize("lean", [60, 90, 130])
def test_a_lying_stroke_is_no_digit_unless_the_picture_is_said_to_show_one(lean: float) -> None:
    across, down = 180 * np.sin(np.deg2rad(lean)), 180 * np.cos(np.deg2rad(lean))
    pixels = drawn(((int(300 - across), int(300 + down)), (int(300 + across), int(300 - down))), pen=14)
    found = find_marks(pixels)
    assert (found.marks, left_out_text(found.left_out)) == ([], "a dash")
    assert len(find_marks(pixels, join="always").marks) == 1


def test_an_empty_frame_that_is_alone_may_be_a_zero() -> None:
    found = find_marks(drawn(((150, 60), (450, 60), (450, 540), (150, 540), (150, 60)), pen=12))
    assert (len(found.marks), found.left_out) == (1, [])


@pytest.mark.parametrize("pen", [3, 12])
def test_a_box_may_be_thick_and_an_empty_one_beside_digits_is_no_zero(pen: int) -> None:
    pixels = line_of("4711")
    plain = find_marks(pixels)
    cv2.rectangle(pixels, (20, 240), (640, 480), (20, 20, 20), pen)
    cv2.rectangle(pixels, (900, 310), (990, 400), (20, 20, 20), min(pen, 6))
    found = find_marks(pixels)
    assert {one.kind for one in found.left_out} <= {"frame", "table"}
    assert np.abs(middles(found) - middles(plain)).max() < 2


def test_a_plus_is_no_digit() -> None:
    pixels = line_of("38", gap=160)
    cv2.line(pixels, (210, 360), (280, 360), (20, 20, 20), 9, cv2.LINE_AA)
    cv2.line(pixels, (245, 325), (245, 395), (20, 20, 20), 9, cv2.LINE_AA)
    found = find_marks(pixels)
    assert (len(found.marks), left_out_text(found.left_out)) == (2, "a plus")


def test_an_underline_is_left_out_and_the_digits_above_it_stay_whole() -> None:
    pixels = line_of("4711")
    plain = find_marks(pixels)
    cv2.line(pixels, (40, 428), (700, 434), (20, 20, 20), 5, cv2.LINE_AA)
    found = find_marks(pixels)
    assert left_out_text(found.left_out) == "a line"
    assert np.abs(middles(found) - middles(plain)).max() < 6


@pytest.mark.parametrize(
    ("stroke", "name"),
    [
        (((0, 402), (1, 402)), "a dot"),
        (((4, 398), (4, 406), (-6, 424)), "a dot"),  # a comma
        (((-18, 355), (18, 355)), "a dash"),
        (((22, 275), (-22, 435)), "a slash"),
    ],
)
def test_signs_between_digits_are_named_and_change_no_digit(stroke: tuple[tuple[int, int], ...], name: str) -> None:
    pixels = line_of("3825", gap=70)
    plain = find_marks(pixels)
    between = (plain.marks[1].boxes[0].right + plain.marks[2].boxes[0].left) // 2
    points = np.array([(between + right, down) for right, down in stroke])
    cv2.polylines(pixels, [points], False, (20, 20, 20), 11, cv2.LINE_AA)
    found = find_marks(pixels)
    assert left_out_text(found.left_out) == name
    assert np.abs(middles(found) - middles(plain)).max() < 2


def test_a_stain_among_digits_is_named() -> None:
    pixels = line_of("3825")
    cv2.ellipse(pixels, (900, 350), (70, 50), 20, 0, 360, (60, 60, 60), -1, cv2.LINE_AA)
    found = find_marks(pixels)
    assert (len(found.marks), left_out_text(found.left_out)) == (4, "a stain")


def test_several_digits_are_no_single_one() -> None:
    pixels = line_of("3825", gap=60)
    found = find_marks(pixels, join="if alone")
    assert (found.several, len(found.marks)) == (4, 4)
    assert len(find_marks(pixels, join="always").marks) == 1
    stream = np.random.default_rng(0)
    alone = picture(lambda height, pen: written(AUTHORS[1], 5, height, pen, stream), PLAIN, stream)
    cv2.circle(alone, (380, 20), 8, (20, 20, 20), -1)
    found = find_marks(alone, join="if alone")
    assert (found.several, len(found.marks)) == (0, 1)


def test_what_is_left_out_is_counted_by_kind() -> None:
    whole, _, _ = page_and_twin(BY_NAME["a box around each"], STYLES[0], AUTHORS[0], seed=11)
    found = find_marks(whole)
    assert left_out_text(found.left_out) == "16 frames"
    box = found.left_out[0].box
    assert abs(box.width - 150) < 12
    assert abs(box.height - 170) < 12
