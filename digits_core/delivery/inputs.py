"""Which files `digits predict` is to read, and their labels where known."""

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from digits_core.errors import UsageError
from digits_core.handwriting.decode import UnreadablePicture, page_count
from digits_core.handwriting.folders import SUFFIXES, AmbiguousLabel, LeftOut, label_of, list_folder
from digits_core.handwriting.reading import Picture

MOST_FILES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is read, and what lies in the same folders and is not."""

    pictures: tuple[Picture, ...]
    left_out: tuple[LeftOut, ...]


def inputs_of(arguments: Sequence[str], *, labels_from_name: bool) -> Inputs:
    """The files that paths, folders and patterns match, each once; files of a folder in natural order.

    A folder means all pictures in and below it, by the rule of digits_core.handwriting.folders, which also says which
    of its folders are classes and so give labels. With `labels_from_name` the names of files give labels too. Every
    page of a TIFF is a picture. Raises UsageError if an argument matches nothing, if folders disagree on a label, or if
    a name should begin with a digit and does not.
    """
    found: dict[Path, Picture] = {}
    left_out: list[LeftOut] = []
    for argument in arguments:
        for picture in _of_argument(argument, left_out, named=labels_from_name):
            found.setdefault(picture.path, picture)
            if len(found) > MOST_FILES:
                raise UsageError(f"{argument} holds more than {MOST_FILES:,} pictures; name fewer")
    pictures = list(found.values())
    if labels_from_name:
        pictures = list(map(_labelled, pictures))
    return Inputs(pictures=tuple(page for one in pictures for page in _pages(one)), left_out=tuple(left_out))


def _of_argument(argument: str, left_out: list[LeftOut], *, named: bool) -> Iterator[Picture]:
    path = Path(argument).expanduser()
    if path.is_dir():
        inside = _pictures_below(path, left_out, named=named)
        if not inside:
            raise UsageError(f"there is no picture ({', '.join(SUFFIXES)}) in the folder {path}")
        yield from inside
    elif path.exists() or not glob.has_magic(argument):
        yield Picture(path=path)  # a missing or bad file is reported with the other files' results
    else:
        matches = sorted(glob.glob(str(path), recursive=True), key=_natural)
        if not matches:
            raise UsageError(f"no file matches {argument!r}")
        for match in map(Path, matches):
            yield from _pictures_below(match, left_out, named=named) if match.is_dir() else [Picture(path=match)]


def _pictures_below(folder: Path, left_out: list[LeftOut], *, named: bool) -> list[Picture]:
    listing = list_folder(folder)
    left_out += [replace(one, path=str(folder / one.path)) for one in listing.others]
    names = [*listing.pictures, *(one.path for one in listing.unreadable)]  # reading the latter says what is wrong
    return [
        Picture(path=folder / name, label=_class_of(name, folder, named=named)) for name in sorted(names, key=_natural)
    ]


def _class_of(path: str, folder: Path, *, named: bool) -> int | None:
    """The label that the file's folders give; if it lies in none, that of the folder itself. named: its name counts."""
    *folders, name = path.split("/")
    try:
        return label_of(folders or [folder.name], name if named else "")
    except AmbiguousLabel as error:
        raise UsageError(f"{folder / path}: {error}") from error


def _labelled(picture: Picture) -> Picture:
    label = picture.label if picture.label is not None else label_of([], picture.path.name)
    if label is None:
        raise UsageError(
            f"--labels-from-name: the name of {picture.path} does not begin with the digit it shows, as in 7-ana.png"
        )
    return replace(picture, label=label)


def _pages(picture: Picture) -> list[Picture]:
    try:
        return [replace(picture, page=page) for page in range(page_count(picture.path))]
    except UnreadablePicture:
        return [picture]  # reading it says what is wrong


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Sort key for natural order: img2 before img10."""
    return [(1, int(piece), "") if piece.isdigit() else (0, 0, piece) for piece in re.split(r"([0-9]{1,18})", path)]
