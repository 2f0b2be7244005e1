"""The images of a data set that look most like what a network saw."""

import numpy as np
import numpy.typing as npt

CHUNK = 10_000  # images at a time: float32 copies of 28x28 take 31 MB


def nearest(
    seen: npt.NDArray[np.uint8], images: npt.NDArray[np.uint8], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Numbers (Q, count) and distances of the nearest images, by the pixels' squared difference.

    seen: uint8 (Q, H, W); images: uint8 (N, H, W).
    """
    queries = seen.reshape(len(seen), -1).astype(np.float32) / 255
    distances = np.empty((len(seen), len(images)), np.float32)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK].reshape(-1, queries.shape[1]).astype(np.float32) / 255
        squares = (chunk**2).sum(axis=1)
        distances[:, start : start + len(chunk)] = squares - 2 * queries @ chunk.T
    distances += (queries**2).sum(axis=1, keepdims=True)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return order, np.sqrt(np.maximum(np.take_along_axis(distances, order, axis=1), 0))
