"""A table of images without labels, such as Kaggle's test.csv, read into a table of digits, as Kaggle takes it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from digits_core.data.arrays import images_of_table, split_range
from digits_core.delivery.reader import Model
from digits_core.errors import UsageError
from digits_core.handwriting.framing import frame_for, reframed
from digits_core.runs.durable import write_output


def check_output(place: str, output: Path) -> None:
    """Raise UsageError if the digits would replace the images."""
    table, _ = split_range(place)
    if output.exists() and table.exists() and output.samefile(table):
        raise UsageError(f"--output {output} is the table itself; name another file")


def read_table(model: Model, place: str) -> npt.NDArray[np.intp]:
    """The likeliest digit of every image, (N,). Images of another size than the model's are converted first."""
    images = images_of_table(place)
    if images.shape[1] != model.side:
        images = reframed(images, frame_for(model.side))
    digits: npt.NDArray[np.intp] = model.finite(images).argmax(axis=1)
    return digits


def write_submission(path: Path, digits: npt.NDArray[np.intp]) -> None:
    """Write ImageId, counted from 1, and Label, a row per image. Raises EnvironmentFailure if that fails."""
    rows = "".join(f"{number},{digit}\n" for number, digit in enumerate(digits.tolist(), 1))
    write_output(path, f"ImageId,Label\n{rows}".encode())
