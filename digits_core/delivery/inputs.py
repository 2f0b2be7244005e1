"""Which files `digits predict` is to read, and their labels where known."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from digits_core.errors import UsageError
from digits_core.handwriting.decode import SUFFIXES
from digits_core.handwriting.reading import Picture

MOST_FILES = 1_000_000


def pictures_of(arguments: Sequence[str], *, labels_from_name: bool) -> list[Picture]:
    """The files that paths, folders and patterns match, each once; files of a folder in natural order.

    A folder means all pictures in and below it. Those in a sub-folder named after a digit ("0", "1", ...) get that
    label. With `labels_from_name` the first character of a file's name is its label instead. Raises UsageError if an
    argument matches nothing, or if a name should begin with a digit and does not.
    """
    found: dict[Path, Picture] = {}
    for argument in arguments:
        for picture in _of_argument(argument):
            found.setdefault(picture.path, picture)
            if len(found) > MOST_FILES:
                raise UsageError(f"{argument} holds more than {MOST_FILES:,} pictures; name fewer")
    pictures = list(found.values())
    return [_labelled(picture) for picture in pictures] if labels_from_name else pictures


def _of_argument(argument: str) -> list[Picture]:
    path = Path(argument).expanduser()
    if path.is_dir():
        inside = _pictures_below(path)
        if not inside:
            raise UsageError(f"there is no picture ({', '.join(SUFFIXES)}) in the folder {path}")
        return inside
    if path.exists() or not glob.has_magic(argument):
        return [Picture(path=path)]  # a missing or bad file is reported with the other files' results
    matches = sorted(glob.glob(str(path), recursive=True), key=_natural)
    if not matches:
        raise UsageError(f"no file matches {argument!r}")
    pictures: list[Picture] = []
    for match in map(Path, matches):
        pictures += _pictures_below(match) if match.is_dir() else [Picture(path=match)]
    return pictures


def _pictures_below(folder: Path) -> list[Picture]:
    paths = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()),
        key=lambda path: _natural(str(path)),
    )
    return [Picture(path=path, label=_class_of(path, folder)) for path in paths]


def _class_of(path: Path, folder: Path) -> int | None:
    """The digit that the file's folder is named after; None if it isn't named after one."""
    within = path.relative_to(folder).parts[:-1] or (folder.name,)
    return int(within[0]) if re.fullmatch("[0-9]", within[0]) else None


def _labelled(picture: Picture) -> Picture:
    first = picture.path.name[:1]
    if not re.fullmatch("[0-9]", first):
        raise UsageError(
            f"--labels-from-name: the name of {picture.path} does not begin with the digit it shows, as in 7-ana.png"
        )
    return Picture(path=picture.path, label=int(first))


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Sort key for natural order: img2 before img10."""
    return [(1, int(piece), "") if piece.isdigit() else (0, 0, piece) for piece in re.split(r"([0-9]{1,18})", path)]
