"""Removes the lines around digits: boxes, tables, margin lines, underlines. Strokes that cross them are mended."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digits_core.handwriting.boxes import Box, Kind, NoDigit
from digits_core.handwriting.ink import Ink, Mask, components, stroke_width
from digits_core.handwriting.marks import SPECK_SHARE
from digits_core.handwriting.rulings import without_lines

PIECE = 0.03  # of the side: a line is straight over this length
SHORTEST = 0.06  # of the side: shorter lines are strokes of digits
THICKEST, THICKEST_ALONE = 0.04, 0.02  # of the side: thicker pieces are no lines, or no lines of their own
SQUARE = 0.8  # of its height: an empty box that is as wide isn't a zero
THIN = 8.0  # a line is this many times as long as thick
HEAVY = 0.08  # of a frame's shorter side: its lines are no thicker
AS_THIN = 1.5  # of the usual thickness of a table's lines: thicker ones are strokes of digits
SPANNING = 0.8  # of a frame's side or the picture's: a line that spans it is at least this long
IN_CELL = 0.15  # of a frame's cell: what is written in it is at least this tall
LONG_DOWN, LONG_ACROSS = 3.0, 2.0  # of the height of the tallest digit: a straight line this long isn't part of one
BESIDE_DOWN, BESIDE_ACROSS = 0.25, 0.1  # of a line's length: how tall digits beside it are, unless it spans the picture
LEAST_WRITING = 0.012  # of the side: smaller marks are no digits
WHOLE, HAIRLINE = 0.95, 0.012  # of the side: a line alone that is as long and no thicker isn't a one
STEADY = 0.08  # of its thickness: a line drawn with a ruler wobbles less
MOSTLY_STRAIGHT = 0.7  # of a component's ink: a line, or a one
REMAINS = 0.5  # of a digit's usual height: a smaller piece that touched a line belongs to it
LONGER = 3.0  # stroke widths: how long a digit is at least; a speck isn't
MOST_LOOKED_AT = 40  # components, the largest


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A straight line, across or down. name: the value of its pixels in the picture of lines."""

    box: Box
    down: bool
    length: int
    thickness: float
    name: int

    @property
    def area(self) -> float:
        return self.length * self.thickness


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """All thin straight pieces in a mask, and the pictures of their names: (H, W), 0 where there is none."""

    across: npt.NDArray[np.int32]
    down: npt.NDArray[np.int32]
    lines: list[_Line]

    def removed(self, mask: Mask, group: list[_Line], ink: Ink) -> Mask:
        """The mask without these lines; strokes that crossed them are mended."""
        for names, down in ((self.across, False), (self.down, True)):
            own = [line.name for line in group if line.down is down]
            if own:
                pixels = (np.isin(names, own) & (mask > 0)).astype(np.uint8)
                mask = without_lines(mask, pixels, ink.strength, down=down)
        return mask

    def pixels(self, line: _Line) -> npt.NDArray[np.bool_]:
        """The line within its box."""
        box = line.box
        return (self.down if line.down else self.across)[box.top : box.bottom, box.left : box.right] == line.name

    def component(self, line: _Line, names: npt.NDArray[np.int32]) -> int:
        """The connected component that the line belongs to."""
        box = line.box
        return int(np.bincount(names[box.top : box.bottom, box.left : box.right][self.pixels(line)]).argmax())

    def is_steady(self, line: _Line) -> bool:
        """Whether the line is as straight as if it was drawn with a ruler."""
        pixels = self.pixels(line).T if line.down else self.pixels(line)
        columns = np.flatnonzero(pixels.any(axis=0))
        middles = pixels[:, columns].argmax(axis=0) + (pixels[:, columns].sum(axis=0) - 1) / 2
        wobble = np.std(middles - np.polyval(np.polyfit(columns, middles, 1), columns))
        return bool(wobble <= STEADY * line.thickness)


@dataclass(frozen=True, kw_only=True)
class _Written:
    """A connected component that was drawn with a pen. straight: it is hardly more than one line."""

    name: int
    height: int
    length: int
    area: int
    straight: bool


def without_frames(ink: Ink) -> tuple[Mask, list[NoDigit]]:
    """The mask without frames, tables and lone lines, and what was removed."""
    mask, found = ink.mask, list[NoDigit]()
    lines = _lines_in(mask)
    lone = list(lines.lines)
    for touching in _networks(lines.lines):
        kind, group = _form(touching, SHORTEST * max(mask.shape))
        if kind is None:
            continue
        rest = lines.removed(mask, group, ink)
        if _holds_writing(rest, group) or (_is_square(group) and _has_writing(rest)):
            mask, lone = rest, [line for line in lone if line not in group]
            found.append(NoDigit(kind=kind, box=_around(group)))
    side = max(mask.shape)
    lone = [line for line in lone if line.length >= SHORTEST * side and line.thickness <= THICKEST_ALONE * side]
    long = _too_long(mask, lines, lone)
    if long:
        mask = lines.removed(mask, long, ink)
        found += [NoDigit(kind="line", box=_around(group)) for group in _networks(long)]
    return (_without_remains(mask, ink.mask) if found else mask), found


def _without_remains(mask: Mask, before: Mask) -> Mask:
    """Drop small pieces that touched what was removed: the teeth of a comb, the ends of lines."""
    names, boxes = components(mask)
    heights = boxes[_written(names, boxes), 3]
    usual = float(np.median(heights[heights >= 0.5 * heights.max()])) if len(heights) else SHORTEST * max(mask.shape)
    removed = cv2.dilate(before & ~mask, np.ones((3, 3), np.uint8))
    small = boxes[:, 2:4].max(axis=1) < REMAINS * usual
    dropped = [name for name in np.unique(names[removed > 0]) if name and small[name]]
    return np.where(np.isin(names, dropped), 0, mask).astype(np.uint8) if dropped else mask


def _lines_in(mask: Mask) -> _Lines:
    across, level = _level(mask, down=False)
    down, upright = _level(np.ascontiguousarray(mask.T), down=True)
    return _Lines(across=across, down=np.ascontiguousarray(down.T), lines=[*level, *upright])


def _level(mask: Mask, *, down: bool) -> tuple[npt.NDArray[np.int32], list[_Line]]:
    """The lines across a mask, which is transposed if they are `down`."""
    length = max(16, round(PIECE * max(mask.shape)))
    tolerant = cv2.dilate(mask, np.ones((3, 1), np.uint8))
    straight = cv2.morphologyEx(tolerant, cv2.MORPH_OPEN, np.ones((1, length), np.uint8), borderValue=0)
    joined = cv2.morphologyEx(straight, cv2.MORPH_CLOSE, np.ones((3, length // 4 * 2 + 1), np.uint8))
    names, boxes = components(joined)
    if len(boxes) == 1:
        return names, []
    names *= straight & mask
    areas = np.bincount(names[names > 0], minlength=len(boxes))
    lines = []
    for name in range(1, len(boxes)):
        box, thickness = _box(boxes[name]), float(areas[name] / boxes[name, 2])
        if box.width >= THIN * thickness and thickness <= max(4, THICKEST * max(mask.shape)):
            place = Box(left=box.top, top=box.left, right=box.bottom, bottom=box.right) if down else box
            lines.append(_Line(box=place, down=down, length=box.width, thickness=thickness, name=name))
    return names, lines


def _networks(lines: list[_Line]) -> list[list[_Line]]:
    """Lines that touch each other, the largest group first."""
    groups: list[list[_Line]] = []
    for line in lines:
        touching = [group for group in groups if any(_touch(line, other) for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append([line, *(one for group in touching for one in group)])
    return sorted(groups, key=lambda group: -_around(group).width * _around(group).height)


def _touch(one: _Line, other: _Line) -> bool:
    return one.box.gap(other.box) <= 2 + 2 * max(one.thickness, other.thickness)


def _around(group: list[_Line]) -> Box:
    box = group[0].box
    for line in group[1:]:
        box = box.joined(line.box)
    return box


def _form(touching: list[_Line], shortest: float) -> tuple[Kind | None, list[_Line]]:
    """What lines that touch form together, and which of them belong to it; None if they may be strokes of digits."""
    box = _around(touching)
    if min(box.width, box.height) < shortest:
        return None, []
    spanning = [line for line in touching if line.length >= SPANNING * (box.height if line.down else box.width)]
    usual = float(np.median([line.thickness for line in spanning] or [0.0]))
    thin = [line for line in touching if line.thickness <= AS_THIN * usual]
    spanning = [line for line in spanning if line in thin]
    down = sum(line.down for line in spanning)
    if down < 2 or len(spanning) - down < 2 or usual > HEAVY * min(box.width, box.height):
        return None, []
    whole = _with_inner(spanning, [line for line in thin if line not in spanning], 2 + 2 * usual)
    return ("frame" if len(whole) == 4 else "table"), whole


def _with_inner(whole: list[_Line], others: list[_Line], near: float) -> list[_Line]:
    """A table's lines with those that lead from one of them to another."""
    inner = [line for line in others if _leads_between(line, whole, near)]
    if not inner:
        return whole
    return _with_inner([*whole, *inner], [line for line in others if line not in inner], near)


def _leads_between(line: _Line, others: list[_Line], near: float) -> bool:
    """Whether both ends of a line are near others."""
    return all(any(one.box.gap(end) <= near for one in others) for end in _ends(line))


def _ends(line: _Line) -> tuple[Box, Box]:
    left, top, right, bottom = line.box.left, line.box.top, line.box.right, line.box.bottom
    if line.down:
        first, last = (left, top, right, top), (left, bottom, right, bottom)
    else:
        first, last = (left, top, left, bottom), (right, top, right, bottom)
    return Box.of(first), Box.of(last)


def _is_square(group: list[_Line]) -> bool:
    """Whether a frame is too wide for a zero and has sharp corners: a box to tick, perhaps."""
    box = _around(group)
    crossing = {down: [line for line in group if line.down is not down] for down in (False, True)}
    return box.width >= SQUARE * box.height and all(_leads_between(line, crossing[line.down], 2) for line in group)


def _has_writing(mask: Mask, least: float = 0.0) -> bool:
    """Whether there is something written, `least` pixels tall."""
    least = max(least, LEAST_WRITING * max(mask.shape))
    names, boxes = components(mask)
    return any(boxes[name, 3] >= least for name in _written(names, boxes))


def _holds_writing(rest: Mask, group: list[_Line]) -> bool:
    """Whether something is written in the cells of a frame, whose lines `rest` has no longer."""
    box = _around(group)
    window = np.ascontiguousarray(rest[box.top : box.bottom, box.left : box.right])
    rows = max(1, sum(not line.down and line.length >= SPANNING * box.width for line in group) - 1)
    return _has_writing(window, IN_CELL * box.height / rows)


def _written(names: npt.NDArray[np.int32], boxes: npt.NDArray[np.int32]) -> list[int]:
    """The largest components that were drawn with a pen."""
    largest = np.argsort(-boxes[1:, 4], kind="stable")[:MOST_LOOKED_AT] + 1
    return [int(name) for name in largest if _is_written(names, int(name), _box(boxes[name]))]


def _is_written(names: npt.NDArray[np.int32], name: int, box: Box) -> bool:
    """Whether a component was drawn with a pen, as a digit is: it is longer than its stroke is wide, unlike a speck."""
    window = names[box.top : box.bottom, box.left : box.right]
    longest = max(box.width, box.height)
    return longest >= 8 and longest >= LONGER * stroke_width((window == name).astype(np.uint8))


def _too_long(mask: Mask, lines: _Lines, lone: list[_Line]) -> list[_Line]:
    """Lines that are much longer than the digits beside them are tall, or that span the picture alone."""
    if not lone:
        return []
    names, boxes = components(mask)
    component = {line: lines.component(line, names) for line in lines.lines}
    straight = {own for line, own in component.items() if line.area > MOSTLY_STRAIGHT * boxes[own, 4]}
    written = [
        _Written(
            name=name, height=int(boxes[name, 3]), length=int(boxes[name, 2:4].max()), area=int(boxes[name, 4]),
            straight=name in straight,
        )
        for name in _written(names, boxes)
    ]  # fmt: skip
    long = [line for line in lone if _is_too_long(line, component[line], written, mask.shape)]
    return [line for line in long if component[line] in straight or lines.is_steady(line)]  # else strokes that touch


def _is_too_long(line: _Line, component: int, written: list[_Written], shape: tuple[int, ...]) -> bool:
    beside = [
        one.height
        for one in written
        if not (one.straight and (one.name == component or one.length > 0.5 * line.length))  # itself, another line
        and one.area >= SPECK_SHARE * line.area
    ]
    tallest, side = max(beside, default=0), shape[0 if line.down else 1]
    least = (BESIDE_DOWN if line.down else BESIDE_ACROSS) * line.length
    if tallest >= (LEAST_WRITING * max(shape) if line.length >= SPANNING * side else least):
        return line.length > (LONG_DOWN if line.down else LONG_ACROSS) * tallest
    is_narrow = min(shape) < 0.3 * max(shape)  # a one that was cut out closely
    return not beside and line.length >= WHOLE * side and line.thickness <= HAIRLINE * max(shape) and not is_narrow


def _box(stats: npt.NDArray[np.integer]) -> Box:
    left, top, width, height = (int(value) for value in stats[:4])
    return Box(left=left, top=top, right=left + width, bottom=top + height)
