"""Made-up handwriting as picture files."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.hands import AUTHORS, written
from benchmarks.papers import SHEETS, picture


def draw(path: Path, digit: int, sheet: int = 0, author: int = 0, seed: int = 0) -> None:
    stream = np.random.default_rng(seed)
    pixels = picture(lambda height, pen: written(AUTHORS[author], digit, height, pen, stream), SHEETS[sheet], stream)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
