"""The pictures in a folder, and the digit that each shows if the names of its folders or its own name say so.

One rule for data sets, their check and `digits predict`:

- A folder's name is a class if it is a digit (7, 07), a digit's word in one of six languages (seven, sieben), or a
  digit after a word such as class (class_7, digit-7). Where folders disagree, a number below a folder such as `writer`
  or `page` counts writers or pages.
- Without such a folder, a file's first character is its label if no other digit follows (7-ana.png, but not 72.png) and
  no folder's name holds a number (set_1).
- Class folders that still disagree (3/7/a.png) are ambiguous.
- Links are followed, to files and to folders; what is reached twice is read once. Hidden files and folders, and what an
  operating system adds (__MACOSX, Thumbs.db), are left out.
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".pgm", ".ppm", ".pbm", ".pnm",
)  # fmt: skip
"""Of the pictures that digits_core.handwriting.decode reads."""
WORDS = (
    "zero one two three four five six seven eight nine",
    "null eins zwei drei vier fünf sechs sieben acht neun",
    "zéro un deux trois quatre cinq six sept huit neuf",
    "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "zero uno due tre quattro cinque sei sette otto nove",
    "zero um dois três quatro cinco seis sete oito nove",
)
DIGIT_OF = {word: digit for language in WORDS for digit, word in enumerate(language.split())}
CLASS_NAME = re.compile(
    r"(?:(?:class|digit|label|number|klasse|ziffer|classe|chiffre|clase|cifra)[ _.-]?)?0?([0-9])", re.ASCII
)
COUNTED = re.compile(
    r"(?:writers?|authors?|persons?|people|users?|subjects?|students?|pages?|sheets?|batch(?:es)?|sessions?|parts?|folds?"
    r"|sets?|runs?|sources?)[ _.-]?",
    re.IGNORECASE,
)
FILE_NAME = re.compile(r"([0-9])(?![0-9])")
SYSTEM_NAMES = ("__macosx", "thumbs.db", "desktop.ini")
OTHER_PICTURES = (
    ".heic", ".heif", ".pdf", ".svg", ".psd", ".dng", ".raw", ".cr2", ".nef", ".arw", ".jp2", ".jxl", ".eps",
)  # fmt: skip
NOT_READ = "this kind of picture is not read; convert it to PNG or JPEG"


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A file or folder that is not read, and why."""

    path: str  # relative to the folder
    why: str


@dataclass(frozen=True, kw_only=True)
class FolderListing:
    """What lies below a folder. All paths are relative to it."""

    pictures: tuple[str, ...]
    unreadable: tuple[LeftOut, ...]  # pictures of another kind, links that lead nowhere
    others: tuple[LeftOut, ...]  # no pictures, or hidden


class AmbiguousLabel(ValueError):
    """The names of a picture's folders say different digits."""


def list_folder(folder: Path) -> FolderListing:
    """Everything below a folder, in order of path."""
    pictures: list[str] = []
    unreadable: list[LeftOut] = []
    others: list[LeftOut] = []
    reached: dict[str, str] = {}
    # Files below a class folder come first: of a file that is reached twice, the path with a label counts.
    found = list(_walk(folder, {os.path.realpath(folder)}, unreadable, others, folder))
    for path in sorted(found, key=lambda one: not _has_class(one, folder)):
        within = path.relative_to(folder).as_posix()
        suffix, real = path.suffix.lower(), os.path.realpath(path)
        if suffix not in (*SUFFIXES, *OTHER_PICTURES):
            others.append(LeftOut(path=within, why="it is not a picture"))
        elif not path.exists():
            unreadable.append(LeftOut(path=within, why="it is a link that leads nowhere"))
        elif not path.is_file():
            unreadable.append(LeftOut(path=within, why="it is not a file"))
        elif suffix not in SUFFIXES:
            unreadable.append(LeftOut(path=within, why=NOT_READ))
        elif real in reached and _disagree(reached[real], within):
            unreadable.append(LeftOut(path=within, why=f"it is the same file as {reached[real]}, in another class"))
        elif real in reached:
            others.append(LeftOut(path=within, why=f"it is the same file as {reached[real]}"))
        else:
            reached[real] = within
            pictures.append(within)
    pictures.sort()
    return FolderListing(pictures=tuple(pictures), unreadable=tuple(unreadable), others=tuple(others))


def _has_class(path: Path, folder: Path) -> bool:
    return any(class_of(part) is not None for part in path.relative_to(folder).parts[:-1])


def _disagree(one: str, other: str) -> bool:
    """Whether the folders of two paths say different digits."""
    try:
        labels = {label_of(path.split("/")[:-1]) for path in (one, other)} - {None}
    except AmbiguousLabel:
        return False  # said of each by itself
    return len(labels) > 1


def _walk(
    folder: Path, reached: set[str], unreadable: list[LeftOut], others: list[LeftOut], root: Path
) -> Iterator[Path]:
    """Files below a folder, links to folders included; `reached`: the real paths of the folders read so far."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        if folder == root:
            raise
        unreadable.append(
            LeftOut(path=folder.relative_to(root).as_posix(), why=f"it cannot be opened: {error.strerror}")
        )
        return
    for path in paths:
        within = path.relative_to(root).as_posix()
        if path.name.startswith(".") or path.name.lower() in SYSTEM_NAMES:
            others.append(LeftOut(path=within, why="it is hidden"))
        elif not path.is_dir():
            yield path
        elif (real := os.path.realpath(path)) in reached:
            others.append(LeftOut(path=within, why="it leads to a folder that is read already"))
        else:
            reached.add(real)
            yield from _walk(path, reached, unreadable, others, root)


def label_of(folders: Sequence[str], name: str = "") -> int | None:
    """The digit that a picture shows; None if no name says so. folders: from the top; name: the file's, if it counts.

    Raises AmbiguousLabel if two folders say different digits.
    """
    classes = [(place, digit) for place, folder in enumerate(folders) if (digit := class_of(folder)) is not None]
    if len({digit for _, digit in classes}) > 1:
        counted = {place for place, _ in classes if place and COUNTED.fullmatch(folders[place - 1])}
        classes = [(place, digit) for place, digit in classes if place not in counted]
    if len({digit for _, digit in classes}) > 1:
        said = " or ".join(f"{digit} (folder {folders[place]})" for place, digit in classes)
        raise AmbiguousLabel(f"its folders disagree: {said}; rename one of them")
    match = FILE_NAME.match(name)
    own = int(match.group(1)) if match else None
    if classes:
        place, digit = classes[0]
        if own not in (None, digit) and place and COUNTED.fullmatch(folders[place - 1]):
            raise AmbiguousLabel(f"it is {digit} by its folder and {own} by its name; rename one of them")
        return digit
    # A folder with a number that is no class (07x, set_1): what its files count is anybody's guess.
    return None if any(re.search("[0-9]", folder) for folder in folders) else own


def class_of(folder: str) -> int | None:
    """The digit that a folder is named after; None if it isn't named after one."""
    name = unicodedata.normalize("NFKC", folder).strip().lower()
    match = CLASS_NAME.fullmatch(name)
    return int(match.group(1)) if match else DIGIT_OF.get(name)
