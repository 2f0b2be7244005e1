import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digits_core.handwriting.decode import FORMATS, LARGEST_PIXEL_COUNT, UnreadablePicture, decode, read_picture

GREY = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))  # (20, 30)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_all_formats_are_read_as_rgb(kind: str) -> None:
    pixels = decode(encoded(Image.fromarray(np.dstack([GREY, GREY // 2, GREY])), kind, quality=95))
    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels[..., 0].astype(int) - GREY).mean() < 6
    assert np.abs(pixels[..., 1].astype(int) - GREY // 2).mean() < 6


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(GREY).convert("P"),
        Image.fromarray(GREY).convert("L"),
        Image.fromarray(GREY.astype(np.uint16) * 257),
        Image.fromarray(GREY).convert("LA"),
        Image.fromarray(GREY).convert("RGBA"),
    ],
    ids=["palette", "grey", "16-bit", "grey with alpha", "colour with alpha"],
)
def test_every_kind_of_pixel_is_eight_bits(image: Image.Image) -> None:
    pixels = decode(encoded(image))
    assert np.abs(pixels.astype(int) - GREY[..., np.newaxis]).max() <= 2


def test_cmyk_is_decoded_as_a_viewer_shows_it() -> None:
    pixels = decode(encoded(Image.fromarray(np.dstack([GREY] * 3)).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - GREY[..., np.newaxis]).mean() < 6


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to see it upright
    assert np.array_equal(decode(encoded(Image.fromarray(GREY), exif=exif.tobytes()))[..., 0], np.rot90(GREY, -1))


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0)])
def test_ink_on_a_transparent_background_stands_out_whatever_its_colour(ink: int, ground: int) -> None:
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[..., :3] = ink
    rgba[5:9, 3:17, 3] = 255
    pixels = decode(encoded(Image.fromarray(rgba)))
    assert (pixels[6, 10] == ink).all()
    assert (pixels[0, 0] == ground).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "not a picture"),
        (encoded(Image.fromarray(GREY))[:45], "damaged or truncated"),
        (encoded(Image.fromarray(GREY), "JPEG")[:-80], "damaged or truncated"),
        (encoded(Image.fromarray(GREY), "PCX"), "not a picture"),
        (encoded(Image.fromarray(GREY), "TIFF")[:60], "damaged or truncated|not a picture"),
        (encoded(Image.fromarray(GREY[:3])), "too small"),
        (encoded(Image.new("1", (20_000, 20_000))), "20,000 x 20,000 pixels is over the limit of 64 million"),
    ],
    ids=["0 bytes", "text", "half a PNG", "half a JPEG", "PCX", "half a TIFF", "three pixels", "a decompression bomb"],
)
def test_an_unreadable_picture_is_explained_in_one_line(content: bytes, message: str) -> None:
    with pytest.raises(UnreadablePicture, match=message) as caught:
        decode(content)
    assert "\n" not in str(caught.value)


def test_a_missing_or_too_large_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePicture, match="No such file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(UnreadablePicture, match="it is not a file"):
        read_picture(tmp_path)
    with (tmp_path / "large.bmp").open("wb") as stream:
        stream.truncate(70 * 2**20)
    with pytest.raises(UnreadablePicture, match="70 MB is over the limit of 64 MB"):
        read_picture(tmp_path / "large.bmp")


VALID = [encoded(Image.fromarray(np.dstack([GREY] * 3)), kind) for kind in FORMATS]


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_is_decoded_or_refused_in_one_line(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(VALID)))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        pixels = decode(bytes(content[:cut]))
    except UnreadablePicture as error:
        lines = str(error).splitlines()
    else:
        lines = [""]
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert pixels.shape[0] * pixels.shape[1] <= LARGEST_PIXEL_COUNT
    assert len(lines) == 1


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_random_bytes_are_not_a_picture(content: bytes) -> None:
    with pytest.raises(UnreadablePicture):
        decode(content)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(UnreadablePicture, match="it is not a file"):
        read_picture(tmp_path / "a.png")


def test_a_tiff_that_is_cut_off_is_not_read_in_part(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    content = (tmp_path / "a.tif").read_bytes()
    with pytest.raises(UnreadablePicture, match="damaged or truncated"):
        decode(content[: len(content) * 6 // 10])
