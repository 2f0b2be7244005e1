import numpy as np
import pytest

from benchmarks.hands import AUTHORS, written
from digits_core.handwriting.cutting import Piece, best_chain, pieces_of
from digits_core.handwriting.marks import Box, Cutout


def touching(digits: str) -> Cutout:
    stream = np.random.default_rng(1)
    masks = [written(AUTHORS[0], int(digit), 100, 9, stream) for digit in digits]
    height = max(mask.shape[0] for mask in masks)
    ink = np.zeros((height, sum(mask.shape[1] for mask in masks) - 3 * (len(masks) - 1)), np.uint8)
    left = 0
    for mask in masks:
        window = ink[: mask.shape[0], left : left + mask.shape[1]]
        window |= (mask > 127).astype(np.uint8)
        left += mask.shape[1] - 3
    return Cutout(box=Box(left=10, top=20, right=10 + ink.shape[1], bottom=20 + height), row=0, ink=ink)


def test_a_slim_mark_is_one_digit() -> None:
    (only,) = pieces_of(touching("1"))
    assert (only[0].start, only[0].end) == (0, 1)


@pytest.mark.parametrize("digits", ["20", "35", "286"])
def test_one_of_the_cuts_separates_touching_digits(digits: str) -> None:
    mark = touching(digits)
    pieces = [piece for piece, _ in pieces_of(mark)]
    widths = [written(AUTHORS[0], int(digit), 100, 9, np.random.default_rng(1)).shape[1] for digit in digits]
    wanted = mark.box.left + widths[0] - 3
    assert any(abs(piece.box.right - wanted) <= 12 for piece in pieces if piece.start == 0)
    assert any(piece.box.left == mark.box.left and piece.box.right == mark.box.right for piece in pieces)


def test_the_chain_read_with_the_highest_confidence_is_chosen() -> None:
    def piece(start: int, end: int) -> Piece:
        return Piece(start=start, end=end, box=Box(left=50 * start, top=0, right=50 * end, bottom=70))

    pieces = [piece(0, 1), piece(0, 2), piece(1, 2)]
    assert best_chain(pieces, np.array([0.99, 0.4, 0.98])) == [0, 2]
    assert best_chain(pieces, np.array([0.5, 0.99, 0.5])) == [1]


def test_a_mark_that_reads_well_as_a_whole_is_not_cut() -> None:
    whole = Piece(start=0, end=2, box=Box(left=0, top=0, right=60, bottom=70))
    halves = [Piece(start=at, end=at + 1, box=Box(left=30 * at, top=0, right=30 * at + 30, bottom=70)) for at in (0, 1)]
    assert best_chain([whole, *halves], np.array([0.8, 1.0, 1.0])) == [0]
