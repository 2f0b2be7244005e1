"""All images of a page in one sheet: a grid in a single PNG, from which the page cuts each image by CSS."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

COLUMNS = 32
MOST_PICTURES = 3_000  # about 0.7 MB of page for MNIST


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Images in a grid, filled row by row."""

    uri: str  # empty if there are no images
    columns: int
    rows: int
    places: dict[int, int]  # image number in the data set -> position in the grid


NO_PICTURES = Sheet(uri="", columns=0, rows=0, places={})


def sheet_of(images: npt.NDArray[np.uint8], wanted: Sequence[int], limit: int = MOST_PICTURES) -> Sheet:
    """Lay out the wanted images, each once; of more than `limit` the first are kept. images: (N, H, W)."""
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
    """Encode an image, (H, W) grey or (H, W, 3) RGB, as a PNG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)  # higher: ten times as long, 3 % smaller
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
