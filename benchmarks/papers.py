"""Made-up pictures of ink on paper: drawings, scans and photographs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]  # (H, W): ink 255 on 0
Picture = npt.NDArray[np.uint8]  # (H, W, 3) or, with transparency, (H, W, 4): RGB
Pen = Callable[[float, float], Mask]  # (height of the digit, width of the pen), in pixels -> ink
WHITE, INK = (250, 250, 247), (35, 35, 40)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """side of the square picture: pixels; height of the digit: share of the side; pen width: share of the height."""

    name: str
    side: int = 400
    height: float = 0.6
    pen: float = 0.06
    paper: tuple[int, int, int] = WHITE
    ink: tuple[int, int, int] = INK
    opacity: float = 1.0
    ruled: float = 0.0  # distance between lines, as a share of the side; 0 for none
    squared: bool = False
    rule: tuple[int, int, int] = (150, 180, 215)
    rule_width: float = 0.004
    off_centre: float = 0.12
    grain: float = 0.0  # standard deviation of the noise, in grey levels
    blur: float = 0.0  # sigma, as a share of the side
    shade: float = 0.0  # how much darker the darkest corner is
    shadow: float = 0.0  # how dark a shadow with a sharp edge is
    tilt: float = 0.0  # strength of the perspective
    turn: float = 0.0  # largest rotation of the whole sheet, in degrees
    jpeg: int = 0
    transparent: bool = False


BLACKBOARD, CHALK = (45, 62, 52), (225, 228, 220)
SHEETS = (
    Sheet(name="drawn"),
    Sheet(name="drawn, 28 px", side=28, height=0.75, pen=0.11, off_centre=0.05),
    Sheet(name="drawn, 64 px, thick", side=64, height=0.7, pen=0.16),
    Sheet(name="drawn, light on dark", paper=(12, 12, 20), ink=(255, 255, 255), pen=0.08),
    Sheet(name="drawn, transparent ground", transparent=True, pen=0.07),
    Sheet(name="drawn, white on transparent", transparent=True, ink=(255, 255, 255), pen=0.07),
    Sheet(name="drawn, red on yellow", paper=(250, 225, 90), ink=(205, 40, 40)),
    Sheet(name="drawn, blue on red", paper=(190, 60, 55), ink=(40, 60, 190)),
    Sheet(name="drawn, tight", height=0.97, pen=0.1, off_centre=0.0),
    Sheet(name="hair-thin", side=800, pen=0.004),
    Sheet(name="hair-thin, small in the picture", side=1000, height=0.25, pen=0.012, off_centre=0.6),
    Sheet(name="marker", pen=0.2, height=0.65, ink=(20, 90, 60)),
    Sheet(name="scan, ruled", side=500, ruled=0.18, grain=4, pen=0.05),
    Sheet(name="scan, ruled in ink's own colour", side=500, ruled=0.22, rule=(70, 70, 75), grain=4, pen=0.06),
    Sheet(name="scan, squared", side=500, ruled=0.12, squared=True, grain=4, pen=0.055, ink=(30, 45, 140)),
    Sheet(name="scan, pencil", side=500, opacity=0.35, grain=7, pen=0.04),
    Sheet(name="photograph", side=900, grain=7, blur=0.002, shade=0.45, tilt=0.05, turn=4, jpeg=75),
    Sheet(name="photograph, shadow", side=900, grain=7, blur=0.002, shade=0.3, shadow=0.45, tilt=0.05, turn=4, jpeg=75),
    Sheet(name="photograph, ruled", side=900, ruled=0.16, grain=7, blur=0.002, shade=0.4, tilt=0.05, turn=4, jpeg=75),
    Sheet(name="photograph, squared", side=900, ruled=0.1, squared=True, grain=8, blur=0.002, shade=0.4, shadow=0.25,
          tilt=0.04, turn=4, jpeg=70, ink=(40, 40, 120)),
    Sheet(name="photograph, red pen", side=900, ink=(200, 40, 50), grain=7, blur=0.003, shade=0.5, turn=5, jpeg=70),
    Sheet(name="photograph, yellow light", side=900, paper=(220, 190, 130), grain=9, blur=0.003, shade=0.5, jpeg=60),
    Sheet(name="photograph, blackboard", side=900, paper=BLACKBOARD, ink=CHALK, opacity=0.8, grain=10, shade=0.3,
          blur=0.002, jpeg=75, pen=0.08),
    Sheet(name="photograph, out of focus", side=900, blur=0.012, grain=6, shade=0.3, jpeg=80),
    Sheet(name="photograph, small on the page", side=1600, height=0.12, off_centre=0.7, grain=8, blur=0.001, shade=0.4,
          jpeg=75, pen=0.08),
)  # fmt: skip
LARGE = Sheet(name="photograph, 12 MP", side=3464, grain=8, blur=0.001, shade=0.45, shadow=0.2, tilt=0.05, turn=4,
              jpeg=80, pen=0.03)  # fmt: skip


def picture(pen: Pen, sheet: Sheet, stream: np.random.Generator) -> Picture:
    """A picture of one digit on this sheet."""
    height = sheet.side * sheet.height * (1 if sheet.off_centre == 0 else stream.uniform(0.85, 1.1))
    mask = pen(height, max(1.0, sheet.pen * height))
    largest = 0.99 * sheet.side
    if max(mask.shape) > largest:
        factor = largest / max(mask.shape)
        mask = cv2.resize(mask, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    room = np.array([sheet.side - mask.shape[0], sheet.side - mask.shape[1]])
    middle = room / 2 * (1 + sheet.off_centre * stream.uniform(-1, 1, 2))
    top, left = np.clip(np.rint(middle), 0, room).astype(int)
    ink = np.zeros((sheet.side, sheet.side), dtype=np.float32)
    ink[top : top + mask.shape[0], left : left + mask.shape[1]] = mask.astype(np.float32) / 255 * sheet.opacity
    return finished(ink, sheet, stream)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Ink of another colour. mask: (H, W), 0 to 1."""

    mask: npt.NDArray[np.float32]
    colour: tuple[int, int, int]


def finished(
    ink: npt.NDArray[np.float32], sheet: Sheet, stream: np.random.Generator, over: Sequence[Layer] = ()
) -> Picture:
    """Put ink, (H, W) from 0 to 1, on paper, and other layers over it; light it and photograph it."""
    if sheet.transparent:
        colour = np.broadcast_to(np.array(sheet.ink, np.uint8), (*ink.shape, 3))
        return np.dstack([colour, np.rint(255 * ink).astype(np.uint8)])
    colours = _paper(ink.shape, sheet, stream)
    for layer in (Layer(mask=ink, colour=sheet.ink), *over):
        colours += layer.mask[..., np.newaxis] * (np.array(layer.colour, np.float32) - colours)
    if sheet.turn or sheet.tilt:
        colours = _seen_at_an_angle(colours, sheet, stream)
    if sheet.blur:
        colours = cv2.GaussianBlur(colours, (0, 0), sheet.blur * len(ink))
    if sheet.shade or sheet.shadow:
        colours *= _light(ink.shape, sheet, stream)[..., np.newaxis]
    if sheet.grain:
        colours += stream.normal(0, sheet.grain, ink.shape)[..., np.newaxis].astype(np.float32)
        colours += stream.normal(0, sheet.grain / 3, colours.shape).astype(np.float32)
    flat = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
    return flat if not sheet.jpeg else _through_jpeg(flat, sheet.jpeg)


def _paper(shape: Sequence[int], sheet: Sheet, stream: np.random.Generator) -> npt.NDArray[np.float32]:
    colours = np.empty((*shape, 3), dtype=np.float32)
    colours[:] = sheet.paper
    if sheet.ruled:
        distance, width = sheet.ruled * shape[0], max(1, round(sheet.rule_width * shape[0]))
        for axis in (0, 1) if sheet.squared else (0,):
            for line in np.arange(stream.uniform(0, distance), shape[axis], distance).astype(int):
                np.moveaxis(colours, axis, 0)[line : line + width] = sheet.rule
    return colours


def _seen_at_an_angle(
    colours: npt.NDArray[np.float32], sheet: Sheet, stream: np.random.Generator
) -> npt.NDArray[np.float32]:
    side = float(len(colours))
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], dtype=np.float32)
    angle = np.deg2rad(sheet.turn * stream.uniform(-1, 1))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (corners - side / 2) @ rotation.T * 1.04 + side / 2 + stream.uniform(-1, 1, (4, 2)) * sheet.tilt * side
    seen = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return np.asarray(
        cv2.warpPerspective(
            colours, seen, (int(side), int(side)), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
    )


def _light(shape: Sequence[int], sheet: Sheet, stream: np.random.Generator) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32) / max(shape)
    angle = stream.uniform(0, 2 * np.pi)
    along = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)
    light = 1 - sheet.shade * np.clip(along / 1.4 + 0.5, 0, 1) ** 1.3
    if sheet.shadow:
        edge = np.cos(angle + 1.1) * (x - 0.5) + np.sin(angle + 1.1) * (y - 0.5) - stream.uniform(-0.15, 0.15)
        light = light * (1 - sheet.shadow / (1 + np.exp(-edge * 90)))
    return light


def _through_jpeg(colours: Picture, quality: int) -> Picture:
    done, packed = cv2.imencode(".jpg", colours[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1]
