"""The fifteen corruptions of MNIST-C (Mu and Gilmer 2019, arXiv 1906.02337), reimplemented from the paper's sec. 3.

The images are not the published ones: kinds and their meaning follow the paper, strengths were set here by eye.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from digits_core.errors import unknown_name

Image = npt.NDArray[np.float32]  # (H, W), 0..1
Corruption = Callable[[Image, np.random.Generator], Image]
SEED = 0


def _warped(image: Image, matrix: list[list[float]]) -> Image:
    """Warp about the image's centre. matrix, (2, 3): maps a new position, (x, y, 1), to the old one."""
    import cv2

    middle = (np.array(image.shape[::-1]) - 1) / 2
    linear = np.array(matrix)[:, :2]
    shift = middle - linear @ middle + np.array(matrix)[:, 2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, np.column_stack([linear, shift]), image.shape[::-1], flags=flags), np.float32
    )


def _shot_noise(image: Image, stream: np.random.Generator) -> Image:
    return (stream.poisson(image * 6) / 6).astype(np.float32)


def _impulse_noise(image: Image, stream: np.random.Generator) -> Image:
    hit = stream.random(image.shape)
    return np.where(hit < 0.07, 0, np.where(hit > 0.93, 1, image)).astype(np.float32)


def _glass_blur(image: Image, stream: np.random.Generator) -> Image:
    rows, columns = np.indices(image.shape)
    rows = np.clip(rows + stream.integers(-1, 2, image.shape), 0, image.shape[0] - 1)
    columns = np.clip(columns + stream.integers(-1, 2, image.shape), 0, image.shape[1] - 1)
    return _blurred(image[rows, columns], 0.7)


def _motion_blur(image: Image, stream: np.random.Generator) -> Image:
    import cv2

    length = max(3, round(0.28 * image.shape[0]))
    kernel = np.zeros((length, length), np.float32)
    slope = stream.uniform(-1, 1)
    cv2.line(kernel, (0, round((length - 1) * (1 - slope) / 2)), (length - 1, round((length - 1) * (1 + slope) / 2)), 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.float32)


def _shear(image: Image, stream: np.random.Generator) -> Image:
    return _warped(image, [[1, stream.choice([-1, 1]) * stream.uniform(0.3, 0.6), 0], [0, 1, 0]])


def _scale(image: Image, stream: np.random.Generator) -> Image:
    factor = 1 / stream.uniform(0.55, 0.75)
    return _warped(image, [[factor, 0, 0], [0, factor, 0]])


def _rotate(image: Image, stream: np.random.Generator) -> Image:
    angle = stream.choice([-1, 1]) * np.deg2rad(stream.uniform(20, 40))
    return _warped(image, [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])


def _brightness(image: Image, stream: np.random.Generator) -> Image:
    brighter: Image = image + np.float32(stream.uniform(0.25, 0.45))
    return brighter


def _translate(image: Image, stream: np.random.Generator) -> Image:
    side = image.shape[0]
    return _warped(image, [[1, 0, *(stream.choice([-1, 1]) * stream.uniform(0.07, 0.15, 1) * side)],
                           [0, 1, *(stream.choice([-1, 1]) * stream.uniform(0.07, 0.15, 1) * side)]])  # fmt: skip


def _stripe(image: Image, stream: np.random.Generator) -> Image:
    del stream
    striped = image.copy()
    third = image.shape[1] // 4
    striped[:, third:-third] = 1 - striped[:, third:-third]
    return striped


def _fog(image: Image, stream: np.random.Generator) -> Image:
    fog = _blurred(stream.random(image.shape).astype(np.float32), image.shape[0] / 8)
    fog = (fog - fog.min()) / np.float32(max(float(np.ptp(fog)), 1e-6))
    foggy: Image = ((image + 0.9 * fog) * 0.74).astype(np.float32)
    return foggy


def _spatter(image: Image, stream: np.random.Generator) -> Image:
    drops = _blurred((stream.random(image.shape) > 0.985).astype(np.float32), image.shape[0] / 28)
    return np.maximum(image, np.clip(drops * 9, 0, 0.9)).astype(np.float32)


def _dotted_line(image: Image, stream: np.random.Generator) -> Image:
    return _with_line(image, stream, zigzag=False)


def _zigzag(image: Image, stream: np.random.Generator) -> Image:
    return _with_line(image, stream, zigzag=True)


def _with_line(image: Image, stream: np.random.Generator, *, zigzag: bool) -> Image:
    """A line of dots across the image, straight or zigzag."""
    marked, side = image.copy(), image.shape[0]
    start, end = stream.uniform(0.1, 0.9, 2) * side
    for step in range(0, side, 1 if zigzag else 2):
        swing = (1 if (step // 3) % 2 else -1) * ((step % 3) - 1) * side / 14 if zigzag else 0.0
        row = int(np.clip(start + (end - start) * step / side + swing, 0, side - 1))
        marked[row, step] = 1
    return marked


def _canny_edges(image: Image, stream: np.random.Generator) -> Image:
    import cv2

    del stream
    edges = cv2.Canny(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8), 50, 150)
    return np.asarray(edges > 0, np.float32)


def _blurred(image: Image, deviation: float) -> Image:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.float32)


CORRUPTIONS: dict[str, Corruption] = {
    "brightness": _brightness,
    "canny_edges": _canny_edges,
    "dotted_line": _dotted_line,
    "fog": _fog,
    "glass_blur": _glass_blur,
    "impulse_noise": _impulse_noise,
    "motion_blur": _motion_blur,
    "rotate": _rotate,
    "scale": _scale,
    "shear": _shear,
    "shot_noise": _shot_noise,
    "spatter": _spatter,
    "stripe": _stripe,
    "translate": _translate,
    "zigzag": _zigzag,
}


def corrupted(images: npt.NDArray[np.uint8], kind: str) -> npt.NDArray[np.uint8]:
    """uint8 (N, H, W) -> the same shape. Deterministic. Raises UsageError for an unknown kind."""
    if kind not in CORRUPTIONS:
        raise unknown_name("corruption", kind, CORRUPTIONS)
    streams = np.random.default_rng([SEED, *kind.encode()]).spawn(len(images))
    made = [
        np.clip(CORRUPTIONS[kind](image.astype(np.float32) / 255, stream), 0, 1)
        for image, stream in zip(images, streams, strict=True)
    ]
    return np.rint(255 * np.stack(made)).astype(np.uint8) if made else images
