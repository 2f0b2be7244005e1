"""Predictions that were made outside digits, by Keras, scikit-learn or a script, read from NPZ, CSV or Parquet files.

NPZ: `probabilities` (N, 10) or (S, N, 10) for S seeds, or `predictions` (N,) or (S, N); also `labels` (N,), `indices`
(N,), `model` and `seed`, if the file has them. tables.py says which columns of a table are what.

Nothing is ever unpickled. values.py says which values are probabilities and digits.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digits_core.data.arrays import LARGEST_BYTE_COUNT, arrays_of
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.outside.tables import (
    Content,
    content_of_table,
    labels_of_table,
    listed,
    places_by_role,
)
from digits_core.outside.values import (
    Array,
    Positions,
    answers_of,
    digits_of,
    positions_of,
    refuse_twice,
)

LONGEST_MODEL = 80  # characters of a model's name
TABLES = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class HandedIn:
    """Predictions of one model, trained from one seed, made outside digits."""

    model: str  # as the file says, else the file's name without its ending; printable, 80 characters at most
    seed: str  # "" if the file does not say
    source: Path  # for messages
    predicted: npt.NDArray[np.int64]  # (N,); a likeliest digit of `probabilities`, but not always the first of a tie
    probabilities: npt.NDArray[np.float32] | None  # (N, 10); None if only predicted digits were handed in
    indices: Positions | None  # (N,) positions in the data set; None: in the order of the set
    labels: npt.NDArray[np.int64] | None  # (N,) if the file has them

    @property
    def name(self) -> str:
        """Model and seed, for messages."""
        return f"{self.model} (seed {self.seed})" if self.seed else self.model


def read_predictions(path: Path) -> list[HandedIn]:
    """All models and seeds of a file, in its order. If it has several seeds without names, they count from 0.

    Raises UsageError, in one line, for anything but predictions of digits, EnvironmentFailure if it cannot be read.
    """
    _check_file(path, (".npz", *TABLES))
    content = content_of_table(path) if path.suffix.lower() in TABLES else _content_of_npz(path)
    probabilities, predicted = answers_of(path, content.probabilities, content.predictions)
    seed_count, count = predicted.shape
    labels = None if content.labels is None else digits_of(path, "labels", content.labels)
    indices = None if content.indices is None else positions_of(path, content.indices)
    for what, given in (("labels", labels), ("indices", indices)):
        if given is not None and len(given) != count:
            raise UsageError(f"{path} has predictions of {count:,} images, but {len(given):,} {what}; each needs one")
    seeds = content.seeds or tuple(map(str, range(seed_count)) if seed_count > 1 else ("",))
    if len(seeds) != seed_count:
        raise UsageError(f"{path} has predictions from {seed_count} seeds, but names {len(seeds)}; name each seed")
    found = [
        HandedIn(
            model=_printable(model or path.stem) or "unnamed",
            seed=_printable(_plain_number(seeds[place] if seed is None else seed)),
            source=path,
            predicted=predicted[place, rows],
            probabilities=None if probabilities is None else probabilities[place, rows],
            indices=None if indices is None else indices[rows],
            labels=None if labels is None else labels[rows],
        )
        for model, seed, rows in _groups(content, count)
        for place in range(seed_count)
    ]
    for one in found:
        if one.indices is not None:
            refuse_twice(path, one.indices, f" for {one.name}")
    twice = [name for name, times in Counter((one.model, one.seed) for one in found).items() if times > 1]
    if twice:
        model, seed = twice[0]
        raise UsageError(f"{path} has model {model!r} with seed {seed!r} more than once; name each by model and seed")
    return found


def read_labels_file(path: Path) -> tuple[npt.NDArray[np.int64], Positions | None]:
    """Labels (N,) and, if the file has them, the positions of their images (N,): from .npy, .npz, CSV or Parquet.

    Raises UsageError, in one line, for anything but labels of digits, EnvironmentFailure if it cannot be read.
    """
    _check_file(path, (".npy", ".npz", *TABLES))
    given: Array
    indices: Array | None = None
    if path.suffix.lower() == ".npy":
        given = _array_of(path)
    elif path.suffix.lower() == ".npz":
        arrays = _arrays_by_role(path)
        if "labels" not in arrays:
            raise UsageError(f"{path} has no array 'labels'; write it with np.savez(FILE, labels=...)")
        given, indices = arrays["labels"], arrays.get("indices")
    else:
        given, indices = labels_of_table(path)
    labels = digits_of(path, "labels", given)
    if indices is None:
        return labels, None
    positions = positions_of(path, indices)
    if len(positions) != len(labels):
        raise UsageError(f"{path} has {len(labels):,} labels, but {len(positions):,} indices; each label needs one")
    refuse_twice(path, positions)
    return labels, positions


def aligned(one: HandedIn, indices: Positions, labels: npt.NDArray[np.int64], what: str) -> HandedIn:
    """The same predictions in the order of `indices`, (N,), the positions of the images of `what` in the data set.

    labels: of those images, (N,). what: for messages, as in "the validation set of mnist". Without indices in its file
    a model's order is taken as it is. Raises UsageError if they are not predictions of exactly these images.
    """
    start, count = f"{one.source}: {one.name}", len(one.predicted)
    if one.indices is not None:
        is_other = ~np.isin(one.indices, indices)
        if is_other.any():
            raise UsageError(
                f"{start} has {is_other.sum():,} of {count:,} predictions of images that are not in {what}, such as"
                f" {one.indices[is_other.argmax()]}{_likely_mistake(one.indices, indices)}"
            )
    if count != len(indices):
        raise UsageError(
            f"{start} has {count:,} predictions, but {what} has {len(indices):,} images; predict each once"
        )
    order = np.arange(count)
    if one.indices is not None:
        places = np.argsort(one.indices)
        order = places[np.searchsorted(one.indices, indices, sorter=places)]
    if one.labels is not None:
        differing = int((one.labels[order] != labels).sum())
        if differing:
            remedy = "check the indices" if one.indices is not None else "perhaps in another order: hand in indices"
            raise UsageError(
                f"{start} has other labels than {what}, for {differing:,} of {len(indices):,} images; {remedy}"
            )
    return replace(
        one,
        predicted=one.predicted[order],
        probabilities=None if one.probabilities is None else one.probabilities[order],
        indices=indices.astype(np.int64),
        labels=labels.astype(np.int64),
    )


def _likely_mistake(given: Positions, indices: Positions) -> str:
    """What to do about indices of other images, as the end of a sentence."""
    if np.array_equal(np.sort(given), np.sort(indices) + 1):
        return "; they count from 1: subtract 1"
    if len(given) == len(indices) and np.array_equal(np.sort(given), np.arange(len(indices))):
        return "; hand in positions in the data set, or none if the order is that of the set"
    return "; leave them out"


def _groups(content: Content, count: int) -> Iterator[tuple[str | None, str | None, Positions]]:
    """Model and seed, where the file says so, and the rows of each; in the order in which they first occur."""
    rows: dict[tuple[str | None, str | None], list[int]] = {}
    for row in range(count):
        model = content.row_models[row] if content.row_models else content.model
        seed = content.row_seeds[row] if content.row_seeds else None
        rows.setdefault((model, seed), []).append(row)
    for (model, seed), its_rows in rows.items():
        yield model, seed, np.array(its_rows, np.int64)


# --- files ---


def _check_file(path: Path, endings: tuple[str, ...]) -> None:
    """Raise UsageError for what is no file of this kind, EnvironmentFailure if it cannot be opened."""
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise UsageError(f"{path} is a folder; name a {', '.join(endings[:-1])} or {endings[-1]} file in it")
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            raise UsageError(f"{path} is not a regular file; name a {', '.join(endings[:-1])} or {endings[-1]} file")
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"there is no file {path}") from error
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {path}: {error.strerror}; make it readable") from error
    if path.suffix.lower() not in endings:
        raise UsageError(f"{path} is not a {', '.join(endings[:-1])} or {endings[-1]} file; write one of these")
    if not found.st_size:
        raise UsageError(f"{path} is empty; write it again")
    if found.st_size > LARGEST_BYTE_COUNT:
        raise UsageError(f"{path} is larger than {LARGEST_BYTE_COUNT // 2**30} GB")


def _array_of(path: Path) -> Array:
    try:
        return np.array(np.lib.format.open_memmap(path, mode="r"))  # unlike np.load, takes no header at its word
    except Exception as error:  # numpy evaluates the header as Python: it raises a dozen kinds of errors
        raise UsageError(f"{path} is not a whole .npy file of numbers; write it again with np.save") from error


def _arrays_by_role(path: Path) -> dict[str, Array]:
    arrays = {name: array for name, array in arrays_of(path).items() if isinstance(array, np.ndarray)}
    names = list(arrays)
    return {role: arrays[names[place]] for role, place in places_by_role(path, names).items()}


def _content_of_npz(path: Path) -> Content:
    arrays = _arrays_by_role(path)
    if not {"probabilities", "predictions"} & set(arrays):
        raise UsageError(
            f"{path} has no predictions, but the arrays {listed(list(arrays_of(path)))}; name them"
            " np.savez(FILE, probabilities=...) or predictions=..."
        )
    models = _words(path, "model", arrays["model"]) if "model" in arrays else []
    if len(models) > 1:
        raise UsageError(f"{path} names {len(models)} models; write a file for each")
    return Content(
        probabilities=arrays.get("probabilities"),
        predictions=arrays.get("predictions"),
        labels=arrays.get("labels"),
        indices=arrays.get("indices"),
        model=models[0] if models else None,
        seeds=tuple(_words(path, "seed", arrays["seed"])) if "seed" in arrays else (),
    )


def _words(path: Path, what: str, array: Array) -> list[str]:
    if array.ndim > 1 or array.dtype.kind not in "iufUS" or not array.size:
        raise UsageError(f"{path}: its array {what!r} has shape {array.shape} and type {array.dtype}; write a word")
    values = np.atleast_1d(array).tolist()
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values]


def _printable(text: str) -> str:
    """A name that is safe to show: one line without control characters."""
    line = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return line if len(line) <= LONGEST_MODEL else f"{line[: LONGEST_MODEL - 3]}..."


def _plain_number(text: str) -> str:
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", text)  # what a column with an empty cell somewhere makes of a seed
