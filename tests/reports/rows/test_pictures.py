import base64
import io

import numpy as np
import pytest
from PIL import Image

from digits_core.data.digits import Digits
from reports.rows.pictures import NO_PICTURES, png_uri, sheet_of


def pixels_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


@pytest.mark.parametrize("count", [1, 31, 32, 33, 70])
def test_every_image_is_at_its_place(digits: Digits, count: int) -> None:
    wanted = list(range(5, 5 + count))
    sheet = sheet_of(digits.images, [*wanted, *wanted])
    pixels = pixels_of(sheet.uri)
    assert pixels.shape == (sheet.rows * 8, sheet.columns * 8)
    for index in wanted:
        row, column = divmod(sheet.places[index], sheet.columns)
        assert np.array_equal(pixels[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8], digits.images[index])


def test_a_full_sheet_keeps_the_first_images(digits: Digits) -> None:
    assert list(sheet_of(digits.images, [9, 3, 9, 7], limit=2).places) == [9, 3]
    assert sheet_of(digits.images, []) == NO_PICTURES


def test_an_image_survives_png() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    coloured = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    assert np.array_equal(pixels_of(png_uri(grey)), grey)
    assert np.array_equal(pixels_of(png_uri(coloured)), coloured)
