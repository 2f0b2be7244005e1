"""Digits that touch: where a mark may be cut, and which pieces to keep once a classifier has read them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.handwriting.boxes import Box
from digits_core.handwriting.ink import Mask, components
from digits_core.handwriting.marks import Cutout

SLIMMEST, WIDEST = 0.1, 1.3  # of the mark's height: the range of a digit's width
LOWEST = 0.55  # of the mark's height: a shorter piece is only part of a digit
WIDE = 0.75  # of the mark's height: a wider mark may be two digits
LOW = 0.5  # of the most ink in any column: cuts go only through columns with less
MOST_CUTS = 14
CUT_COST = 1.2  # in log confidence, of the first cut through something as slim as a digit
DEBRIS = 0.08  # of a piece's ink: a separate bit with less was cut off a neighbour


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The part of a mark between two cuts. Cuts are numbered from the left edge (0) to the right."""

    start: int
    end: int
    box: Box


def pieces_of(mark: Cutout) -> list[tuple[Piece, Mask]]:
    """All pieces of a mark that could be a digit, with their ink: always the whole, for a slim mark nothing else."""
    edges = _edges(mark.ink) if mark.box.width > WIDE * mark.box.height else [0, mark.box.width]
    found = []
    for start, left in enumerate(edges):
        for end, right in enumerate(edges[start + 1 :], start + 1):
            is_whole = right - left == mark.box.width
            if not is_whole and not SLIMMEST <= (right - left) / mark.box.height <= WIDEST:
                continue
            cutout = mark if is_whole else _between(mark, left, right)
            if cutout is not None:
                found.append((Piece(start=start, end=end, box=cutout.box), cutout.ink))
    return found


def best_chain(pieces: list[Piece], confidences: npt.NDArray[np.floating]) -> list[int]:
    """Indices of the pieces, side by side from edge to edge, with the best mean log confidence after costs.

    confidences: (P,), the probability of each piece's likeliest digit. A mark that reads well as a whole is not cut.
    """
    last = max(piece.end for piece in pieces)
    chains: dict[int, dict[int, tuple[float, list[int]]]] = {0: {0: (0.0, [])}}  # edge -> length -> best chain
    for number in sorted(range(len(pieces)), key=lambda each: pieces[each].end):
        piece = pieces[number]
        for length, (total, chain) in list(chains.get(piece.start, {}).items()):
            better = total + float(np.log(max(float(confidences[number]), 1e-6)))
            known = chains.setdefault(piece.end, {}).get(length + 1)
            if known is None or better > known[0]:
                chains[piece.end][length + 1] = (better, [*chain, number])
    whole = next(piece.box for piece in pieces if piece.start == 0 and piece.end == last)
    return max(chains[last].values(), key=lambda one: _worth(one, pieces, whole))[1]


def _worth(chain: tuple[float, list[int]], pieces: list[Piece], whole: Box) -> float:
    """Mean log confidence, minus costs for cuts (the slimmer the whole, the higher) and for pieces too wide."""
    total, numbers = chain
    boxes = [pieces[number].box for number in numbers]
    too_wide = sum(max(0.0, box.width / whole.height - 1.0) for box in boxes)
    cost = max(0.1, CUT_COST * (WIDEST - whole.width / whole.height))
    return total / len(numbers) - 1.5 * too_wide - cost * (len(numbers) - 1)


def _edges(ink: Mask) -> list[int]:
    """Columns with less ink than their neighbours, plus the two edges of the mark."""
    width = ink.shape[1]
    columns = np.convolve(ink.sum(axis=0), np.ones(3) / 3, mode="same")
    reach = max(2, round(0.06 * ink.shape[0]))
    lowest = [
        column
        for column in range(reach, width - reach)
        if columns[column] <= columns[column - reach : column + reach + 1].min()
        and columns[column] < LOW * columns.max()
    ]
    apart: list[int] = []
    for column in sorted(lowest, key=lambda each: (columns[each], abs(each - width / 2))):
        if all(abs(column - other) > reach for other in apart):
            apart.append(column)
    return [0, *sorted(apart[:MOST_CUTS]), width]


def _between(mark: Cutout, left: int, right: int) -> Cutout | None:
    """The ink between two columns, without bits of a neighbour; None if too little is left for a digit."""
    ink = np.ascontiguousarray(mark.ink[:, left:right])
    names, boxes = components(ink)
    areas = boxes[1:, 4]
    if not len(areas):
        return None
    kept = np.flatnonzero(areas >= DEBRIS * areas.sum()) + 1
    ink = np.isin(names, kept).astype(np.uint8)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if len(rows) < LOWEST * mark.box.height:
        return None
    box = Box(
        left=mark.box.left + left + int(columns[0]),
        top=mark.box.top + int(rows[0]),
        right=mark.box.left + left + int(columns[-1]) + 1,
        bottom=mark.box.top + int(rows[-1]) + 1,
    )
    return Cutout(box=box, row=mark.row, ink=ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
