"""Data sets of one's own as arrays: CSV and Parquet tables, NPZ files. Never unpickles.

Pixels may be 0 to 255, 0 to 1, or whole numbers up to 16, as in scikit-learn's digits. Any other range has to be
stated: npz:FILE#0..100.
"""

import math
import re
import warnings
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import CLASS_COUNT, Digits, Images
from digits_core.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.generic]
SIDES = (8, 64)  # pixels, the smallest and the largest
LARGEST_BYTE_COUNT = 2 * 2**30  # of a file, unpacked
IMAGE_NAMES = ("images", "image", "x", "data", "pixels")
LABEL_NAMES = ("labels", "label", "y", "target", "targets", "class", "classes", "digit", "digits")
PARTS = (("x_train", "y_train"), ("x_test", "y_test"))
STATED_RANGE = re.compile(r"#(-?[0-9.]+(?:e[+-]?[0-9]+)?)\.\.(-?[0-9.]+(?:e[+-]?[0-9]+)?)$")
PIXEL_NAME = re.compile(r"[^0-9]*(?:([0-9]+)[x_,])?([0-9]+)")  # pixel17, 3x14
FEWEST_LEVELS = 128  # the brightest pixel of images from 0 to 255 is at least this


def split_range(place: str) -> tuple[Path, tuple[float, float] | None]:
    """`FILE#0..16` -> (FILE, (0, 16)). Raises UsageError if that is no range."""
    match = STATED_RANGE.search(place)
    if match is None:
        return Path(place), None
    try:
        low, high = float(match.group(1)), float(match.group(2))
    except ValueError:
        low, high = 0.0, 0.0
    if low >= high:
        raise UsageError(f"{match.group()} is not a range of pixels; write it as #0..16")
    return Path(place[: match.start()]), (low, high)


# --- tables ---


def digits_of_table(name: str, place: str) -> Digits:
    """A CSV or Parquet file: a column of labels and one per pixel, row by row, as in Kaggle's train.csv."""
    path, stated = split_range(place)
    table = _table(path)
    column = _label_column(path, table)
    if column is None:
        raise UsageError(
            f"{path} has no column of labels: name one 'label' in its first row, beside the pixels row by row, as in"
            " Kaggle's train.csv for the Digit Recognizer (its test.csv has no labels: digits predict reads it)"
        )
    labels = table.iloc[:, column].to_numpy(dtype=np.float64)
    pixels = _pixels(table.drop(columns=table.columns[column]))
    return _checked(name, path, stated, pixels, labels, f"{len(table):,} rows of a table")


def images_of_table(place: str) -> Images:
    """A table of pixels without labels, such as Kaggle's test.csv: uint8 (N, side, side), bright ink.

    Raises UsageError if it has labels or holds anything but images.
    """
    path, stated = split_range(place)
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    table = _table(path)
    if _label_column(path, table) is not None:
        raise UsageError(f"{path} has labels; to measure a model on it: digits transfer MODEL --on csv:{place}")
    images, _ = _bytes_of(path, stated, _square(path, _pixels(table)))
    return images


def _table(path: Path) -> "pd.DataFrame":
    """Numbers only. A CSV may have a header or none, and commas, semicolons or tabs."""
    import pandas as pd

    if path.stat().st_size > LARGEST_BYTE_COUNT:
        raise UsageError(f"{path} is larger than {LARGEST_BYTE_COUNT // 2**30} GB")
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        else:
            with path.open(encoding="utf-8-sig", errors="replace") as stream:
                first = stream.readline(100_000).strip()
            separator = max(",;\t", key=first.count)
            cells = [cell.strip().strip('"') for cell in first.split(separator)]
            is_counting = cells == [str(place) for place in range(len(cells))]  # what pandas writes for want of names
            has_header = is_counting or re.search(r"[^0-9eE+\-.,;\s\"]", first) is not None
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
                table = pd.read_csv(
                    path, sep=separator, header=0 if has_header else None, encoding="utf-8-sig", index_col=False
                )
    except pd.errors.ParserWarning as error:
        raise UsageError(f"{path} is not a table of numbers: some rows have more cells than the first") from error
    except (ValueError, OSError, OverflowError, ImportError) as error:  # the libraries' own errors are ValueErrors
        raise UsageError(f"{path} is not a table of numbers: {(str(error).splitlines() or [''])[0]}") from error
    words = [str(name) for name, kind in table.dtypes.items() if not pd.api.types.is_any_real_numeric_dtype(kind)]
    if table.empty:
        raise UsageError(f"{path} is not a table of numbers: it has no rows")
    if words:
        raise UsageError(f"{path} is not a table of numbers: its column {words[0]!r} holds text")
    if table.isna().to_numpy().any():
        raise UsageError(f"{path} has empty cells")
    return table


def _pixels(table: "pd.DataFrame") -> npt.NDArray[np.float64]:
    """The pixels row by row: by their numbers if their columns are numbered (pixel0, 2x14), else as they stand."""
    matches = [PIXEL_NAME.fullmatch(str(name).strip()) for name in table.columns]
    others = [str(name) for name, match in zip(table.columns, matches, strict=True) if match is None]
    if len(others) == 1 and len(matches) > SIDES[0] ** 2:
        raise UsageError(f"the column {others[0]!r} is neither a pixel nor a label; remove it")
    numbers = [(int(match.group(1) or 0), int(match.group(2))) for match in matches if match is not None]
    values = table.to_numpy(dtype=np.float64)
    by_column = [(column, row) for row, column in numbers]
    if len(set(numbers)) < len(table.columns) or by_column == sorted(by_column):
        return values  # not numbered, or named column first and in order
    return values[:, sorted(range(len(numbers)), key=numbers.__getitem__)]


def _label_column(path: Path, table: "pd.DataFrame") -> int | None:
    """The place of the column of labels: by its name or, without names, by its values. None if there is none."""
    names = [str(name).strip().lower() for name in table.columns]
    named = [place for place, name in enumerate(names) if name in LABEL_NAMES]
    if len(named) == 1:
        return named[0]
    if names == [str(place) for place in range(len(names))]:  # no header
        ends = [place for place in {0, len(names) - 1} if _looks_like_labels(table.iloc[:, place].to_numpy())]
        if len(ends) == 1:
            return ends[0]
    if len(named) > 1:
        raise UsageError(
            f"{path} has {len(named)} columns that may be labels: {', '.join(names[one] for one in named)}"
        )
    return None


def _looks_like_labels(values: Array) -> bool:
    return bool(np.isin(values, np.arange(CLASS_COUNT)).all()) and len(np.unique(values)) == CLASS_COUNT


# --- NPZ files ---


def digits_of_npz(name: str, place: str) -> Digits:
    """Images and labels under a usual name, or x_train, y_train and, as the test set, x_test, y_test, as in Keras."""
    path, stated = split_range(place)
    found_arrays = arrays_of(path)
    arrays = {key.lower(): array for key, array in found_arrays.items()}
    are_arrays = all(isinstance(one, np.ndarray) and one.ndim for one in arrays.values())
    if len(arrays) < len(found_arrays) or not are_arrays:
        raise UsageError(f"{path} must hold arrays whose names differ in more than capitals: {', '.join(found_arrays)}")
    if set(PARTS[0]) <= set(arrays):
        used = PARTS[0]
        images, labels = (arrays[key] for key in used)
        if set(PARTS[1]) <= set(arrays):
            tests, test_labels = (arrays[key] for key in PARTS[1])
            if tests.shape[1:] != images.shape[1:]:
                raise UsageError(f"{path}: the shapes of x_test and y_test do not match x_train and y_train")
            own = _checked(name, path, stated, images, labels, f"{len(images):,} images of an NPZ file")
            test = _checked(name, path, stated, tests, test_labels, "")
            return Digits(
                name=name,
                images=np.concatenate([own.images, test.images]),
                labels=np.concatenate([own.labels, test.labels]),
                provenance=f"{own.provenance}, and {len(test):,} as its test set{_unused(arrays, *PARTS)}",
                published_test_count=len(test),
            )
    else:
        found = [[key for key in arrays if key in names] for names in (IMAGE_NAMES, LABEL_NAMES)]
        if [len(keys) for keys in found] != [1, 1]:
            raise UsageError(f"{path} contains {', '.join(arrays) or 'nothing'}; name its arrays 'images' and 'labels'")
        used = (found[0][0], found[1][0])
        images, labels = (arrays[key] for key in used)
    provenance = f"{len(images):,} images of an NPZ file{_unused(arrays, used)}"
    return _checked(name, path, stated, images, labels, provenance)


def _unused(arrays: dict[str, Array], *used: tuple[str, str]) -> str:
    """Which arrays of a file are left out, as the end of a sentence."""
    names = sorted(set(arrays) - {name for pair in used for name in pair})
    return f" (without {', '.join(names)})" if names else ""


def arrays_of(path: Path) -> dict[str, Array]:
    """The arrays of an NPZ file by name. Raises UsageError for any other file, for objects, and for too much data."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked <= LARGEST_BYTE_COUNT:
                for entry in entries:
                    _check_stated_size(archive, entry)
        if unpacked <= LARGEST_BYTE_COUNT:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # numpy evaluates headers as Python: it raises a dozen kinds of errors
        pickled = " (pickled objects are never loaded)" if "pickle" in str(error) else ""
        raise UsageError(f"{path} is not an NPZ file of plain arrays{pickled}; write it again with np.savez") from error
    raise UsageError(f"{path} unpacks to more than {LARGEST_BYTE_COUNT // 2**30} GB")


def npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran's order, and type of an .npy file's array; the stream then stands at the array.

    numpy evaluates the header as Python: it raises a dozen kinds of errors.
    """
    read = np.lib.format.read_array_header_1_0
    if np.lib.format.read_magic(stream) != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, is_transposed, dtype = read(stream)
    return shape, is_transposed, dtype


def _check_stated_size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Raise ValueError if a header promises more than follows: numpy makes room for all of it before it reads."""
    if not entry.filename.endswith(".npy"):
        return
    with archive.open(entry) as stream:
        shape, _, dtype = npy_header(stream)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > entry.file_size:
        raise ValueError("an array is cut off")


# --- values ---


def _checked(
    name: str,
    path: Path,
    stated: tuple[float, float] | None,
    images: Array,
    labels: Array,
    provenance: str,
) -> Digits:
    """Convert to bytes with bright ink. Raises UsageError unless the images are digits with labels 0 to 9."""
    squares, digits = _square(path, images), _whole(path, labels)
    if len(digits) != len(squares) or not len(digits):
        raise UsageError(f"{path} has {len(squares):,} images and {len(digits):,} labels; each image needs one label")
    bytes_of, how = _bytes_of(path, stated, squares)
    return Digits(name=name, images=bytes_of, labels=digits, provenance=f"{provenance}, {how}")


def _bytes_of(path: Path, stated: tuple[float, float] | None, squares: Array) -> tuple[Images, str]:
    """Images as bytes with bright ink, and how they were made."""
    low, high = _range_of(path, squares, stated)
    images: Images = np.rint((squares.astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)
    how = f"pixels from {low:g} to {high:g}"
    corners = np.median(images[:, [0, 0, -1, -1], [0, -1, 0, -1]])
    if corners > 127:  # dark ink on light paper
        images, how = 255 - images, how + ", inverted: its ink was dark"
    return np.ascontiguousarray(images), how


def _square(path: Path, images: Array) -> Array:
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    elif images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim == 2:
        side = round(images.shape[1] ** 0.5)
        if side * side != images.shape[1]:
            raise UsageError(f"{path} has {images.shape[1]} pixels per image, which is not a square number")
        images = images.reshape(-1, side, side)
    low, high = SIDES
    if images.ndim != 3 or images.shape[1] != images.shape[2] or not low <= images.shape[1] <= high:
        raise UsageError(
            f"{path} has images of shape {images.shape[1:]}; they must be grey squares of {low} to {high} pixels"
        )
    return images


def _whole(path: Path, labels: Array) -> npt.NDArray[np.uint8]:
    """Labels (N,), from (N,), (N, 1) or one-hot (N, 10)."""
    if labels.ndim == 2 and labels.shape[1] == CLASS_COUNT and labels.dtype.kind in "iufb":
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise UsageError(f"the labels of {path} have ten columns, but are not one-hot")
        labels = labels.argmax(axis=1)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise UsageError(f"{path} has labels of shape {labels.shape}; each image needs one label")
    if labels.dtype.kind not in "iuf" or not np.isin(labels, np.arange(CLASS_COUNT)).all():
        raise UsageError(f"the labels of {path} must be whole numbers from 0 to 9")
    return labels.astype(np.uint8)


def _range_of(path: Path, images: Array, stated: tuple[float, float] | None) -> tuple[float, float]:
    """The values that stand for no ink and full ink. Raises UsageError if they are in doubt."""
    if images.dtype.kind not in "iufb" or not np.isfinite(images.astype(np.float64)).all():
        raise UsageError(f"the pixels of {path} must be numbers")
    low, high = float(images.min()), float(images.max())
    if stated is not None:
        if low < stated[0] or high > stated[1]:
            raise UsageError(f"the pixels of {path} range from {low:g} to {high:g}, beyond the range that was stated")
        return stated
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and FEWEST_LEVELS <= high <= 255:
        return 0.0, 255.0
    if low >= 0 and high == 16 and not (images.astype(np.float32) % 1).any():
        return 0.0, 16.0
    raise UsageError(
        f"the pixels of {path} range from {low:g} to {high:g}, which is neither 0 to 1 nor 0 to 255; state what they"
        f" are, as in {path}#{_plain(low)}..{_plain(high)}"
    )


def _plain(value: float) -> str:
    """Every digit that matters: a range that is suggested has to be accepted."""
    return str(int(value)) if value.is_integer() else repr(value)
