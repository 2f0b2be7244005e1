"""Decodes picture files to plain RGB, or says in one line why it cannot."""

import stat
import warnings
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

WEB_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
FORMATS = (*WEB_FORMATS, "GIF", "TIFF", "AVIF", "PPM")  # AVIF where Pillow has it; of a GIF, the first picture
LARGEST_PIXEL_COUNT = 64_000_000  # decoded, some 200 MB: twice what a good phone takes
LARGEST_BYTE_COUNT = 64 * 2**20
SMALLEST_SIDE = 4  # pixels

Pixels = npt.NDArray[np.uint8]  # (H, W, 3): RGB


class UnreadablePicture(ValueError):
    """The file cannot be read as a picture. The message says why, without naming the file."""


def read_picture(path: Path, page: int = 0) -> Pixels:
    """RGB pixels of a picture, as an image viewer would show it. page: of a TIFF, counted from 0."""
    return decode(_content_of(path), page=page)


def page_count(path: Path) -> int:
    """How many pages a TIFF has; 1 for any other file. Raises UnreadablePicture if it cannot be read."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return 1
    try:
        with Image.open(BytesIO(_content_of(path)), formats=("TIFF",)) as image:
            return int(getattr(image, "n_frames", 1))
    except UnreadablePicture:
        raise
    except Exception as error:
        raise UnreadablePicture(_in_few_words(error)) from error


def _content_of(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadablePicture("it is not a file")
        byte_count = status.st_size
        if byte_count > LARGEST_BYTE_COUNT:
            raise UnreadablePicture(
                f"{byte_count / 2**20:,.0f} MB is over the limit of {LARGEST_BYTE_COUNT // 2**20} MB"
            )
        return path.read_bytes()
    except OSError as error:
        raise UnreadablePicture(error.strerror or "cannot be read") from error


def decode(
    content: bytes, largest: int = LARGEST_PIXEL_COUNT, *, page: int = 0, formats: tuple[str, ...] = FORMATS
) -> Pixels:
    """Like `read_picture`, from a file's content. `largest`: pixels."""
    if not content:
        raise UnreadablePicture("the file is empty (0 bytes)")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata, and about sizes that are refused below
            with _opened(BytesIO(content), largest, page, formats) as image:
                if image.format == "TIFF":
                    getattr(image, "n_frames", 1)  # counting its pages finds out that some of them are cut off
                return _as_rgb(image)
    except UnreadablePicture:
        raise
    except Exception as error:
        raise UnreadablePicture(_in_few_words(error)) from error


def _opened(stream: IO[bytes], largest: int, page: int, formats: tuple[str, ...]) -> Image.Image:
    """The picture, not yet decoded, after checking the size in its header."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own check below has the better message
    try:
        image = Image.open(stream, formats=formats)
        if page:
            image.seek(page)
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    width, height = image.size
    if width * height > largest:
        raise UnreadablePicture(
            f"{width:,} x {height:,} pixels is over the limit of {largest // 10**6} million; make it smaller"
        )
    if min(width, height) < SMALLEST_SIDE:
        raise UnreadablePicture(f"{width} x {height} pixels is too small for a digit")
    return image


def _as_rgb(image: Image.Image) -> Pixels:
    """Upright, eight bits per channel, transparency replaced by a background that the ink stands out from."""
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        upright = _eight_bits(upright)
    if "A" in upright.getbands() or "transparency" in upright.info:
        return _on_ground(np.asarray(upright.convert("RGBA")))
    return np.ascontiguousarray(np.asarray(upright.convert("RGB")))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale deep grey levels to 8 bits: from 16 bits if they look like it, else so that the brightest fits."""
    values = np.asarray(image).astype(np.float64)
    top = 65_535.0 if image.mode.startswith("I;16") or 255 < values.max() <= 65_535 else max(values.max(), 255.0)
    return Image.fromarray(np.clip(values * (255 / top), 0, 255).astype(np.uint8))


def _on_ground(rgba: npt.NDArray[np.uint8]) -> Pixels:
    """White behind dark ink, black behind light ink: white strokes on a transparent background are meant to be seen."""
    opacity = rgba[..., 3:].astype(np.float32) / 255
    colour = rgba[..., :3].astype(np.float32)
    covered = float(opacity.mean())
    brightness = float((colour * opacity).mean()) / covered if covered else 0.0
    ground = 255.0 if brightness < 140 or covered > 0.9 else 0.0  # of 0..255
    return np.rint(colour * opacity + ground * (1 - opacity)).astype(np.uint8)


def _in_few_words(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"not a picture in a supported format ({', '.join(FORMATS)})"
    if isinstance(error, MemoryError):
        return "too large for this machine's memory"
    text = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return f"damaged or truncated: {text}"
