"""All pictures of a page as one sheet: a grid of images in a single PNG, of which the page shows parts."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

COLUMNS = 32
MOST_PICTURES = 3_000  # of MNIST some 0.7 MB in the page


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Images side by side, row by row."""

    uri: str  # empty where there are no pictures
    columns: int
    rows: int
    places: dict[int, int]  # number in the data set -> place in the grid


NO_PICTURES = Sheet(uri="", columns=0, rows=0, places={})


def sheet_of(images: npt.NDArray[np.uint8], wanted: Sequence[int], limit: int = MOST_PICTURES) -> Sheet:
    """The wanted images, each once, those named first if there are more than the limit. images: (N, H, W)."""
    chosen = list(dict.fromkeys(wanted))[:limit]
    if not chosen:
        return NO_PICTURES
    side = images.shape[1]
    columns = min(COLUMNS, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    grid = np.zeros((rows * columns, side, side), dtype=np.uint8)
    grid[: len(chosen)] = images[np.array(chosen)]
    pixels = grid.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(rows * side, columns * side)
    return Sheet(
        uri=png_uri(pixels), columns=columns, rows=rows, places={index: place for place, index in enumerate(chosen)}
    )


def png_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """An image, (H, W) grey or (H, W, 3) coloured, as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)  # more takes ten times as long, for 3 %
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
