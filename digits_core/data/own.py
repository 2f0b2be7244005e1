"""The user's own data sets: a folder of pictures, or a file of arrays (see digits_core.data.arrays)."""

import hashlib
import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digits_core.data.arrays import digits_of_npz, digits_of_table, split_range
from digits_core.data.digits import Digits, Images, Labels
from digits_core.data.files import data_folder
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.handwriting.folders import AmbiguousLabel, FolderListing, LeftOut, label_of, list_folder

KINDS = ("folder", "csv", "npz")
PICTURE_SIDE = 28  # pixels, of the images made from pictures
TEST_FOLDERS = ("test", "testing", "t10k")  # at the top of a folder: its own test set
MOST_NAMED = 5  # files listed in one message


@dataclass(frozen=True, kw_only=True)
class FolderContent:
    """What a folder contains. `paths`: one per image, relative to the folder. `refused`: pictures without an image."""

    images: Images
    labels: Labels
    paths: tuple[str, ...]
    refused: tuple[LeftOut, ...]
    others: tuple[LeftOut, ...]  # no pictures, or hidden

    @property
    def test_count(self) -> int:
        """How many of the last images are a test set of the folder's own: those below `test`, if there are others."""
        count = sum(_is_test(path) for path in self.paths)
        return count if count < len(self.paths) else 0


def split_name(name: str) -> tuple[str, str]:
    """`folder:mine` -> ("folder", "mine"). Raises UsageError if nothing follows the kind."""
    kind, _, place = name.partition(":")
    if not place:
        raise UsageError(f"{name!r} lacks the path of a {'folder' if kind == 'folder' else 'file'}; write {kind}:PATH")
    return kind, place


def is_own(name: str) -> bool:
    """Whether a data set's name is a kind and a path, such as `folder:mine`."""
    return name.partition(":")[0] in KINDS and ":" in name


def check_own(name: str) -> None:
    """Raise UsageError if the folder or file does not exist, or if a run could not keep its name."""
    kind, place = split_name(name)
    if not all(ord(letter) < 0xD800 or ord(letter) > 0xDFFF for letter in place):
        raise UsageError(f"the name {place} is no text (UTF-8), so a run could not keep it; rename it or link to it")
    path = Path(place if kind == "folder" else split_range(place)[0])
    if kind == "folder" and not path.is_dir():
        raise UsageError(f"there is no folder {place}")
    if kind != "folder" and not path.is_file():
        raise UsageError(f"there is no file {path}")


def load_own(name: str) -> Digits:
    """Load the data set. Raises UsageError, with the fix, if anything in it is not a labelled digit."""
    check_own(name)
    kind, place = split_name(name)
    if kind == "folder":
        return _of_folder(name, Path(place))
    return digits_of_table(name, place) if kind == "csv" else digits_of_npz(name, place)


# --- a folder of pictures ---


def _of_folder(name: str, folder: Path) -> Digits:
    content = read_folder(folder)
    if content.refused:
        shown = "; ".join(f"{one.path}: {one.why}" for one in content.refused[:MOST_NAMED])
        more = f" and {len(content.refused) - MOST_NAMED} more" if len(content.refused) > MOST_NAMED else ""
        raise UsageError(
            f"{len(content.refused)} of the {len(content.refused) + len(content.paths)} pictures in {folder} cannot be"
            f" used ({shown}{more}); remove them (see: digits datasets check {name})"
        )
    if not content.paths:
        raise UsageError(f"there are no pictures in the folder {folder}")
    return Digits(
        name=name,
        images=content.images,
        labels=content.labels,
        provenance=f"{len(content.paths):,} pictures from a folder, each cropped and centred like MNIST",
        published_test_count=content.test_count,
    )


def read_folder(folder: Path) -> FolderContent:
    """All pictures below a folder, framed like MNIST, and those that cannot be used. Cached in the data folder."""
    listing = list_folder(folder)
    files, refused = _files_of(listing)
    key = _key(folder, files)
    cached = data_folder() / "own" / f"{key}.npz"
    kept = _read_cache(cached)
    if kept is None:
        kept = _framed(folder, files)
        _write_cache(cached, kept)
    images, usable, reasons = kept
    refused += [LeftOut(path=path, why=str(why)) for (path, _), why in zip(files, reasons, strict=True) if why]
    labels = np.array([label for (_, label), use in zip(files, usable, strict=True) if use], dtype=np.uint8)
    paths = tuple(path for (path, _), use in zip(files, usable, strict=True) if use)
    return FolderContent(
        images=images, labels=labels, paths=paths, refused=(*listing.unreadable, *refused), others=listing.others
    )


def _files_of(listing: FolderListing) -> tuple[list[tuple[str, int]], list[LeftOut]]:
    """Paths and labels of the pictures, those below a top folder `test` last; and the pictures without a label."""
    files, refused = [], []
    for path in sorted(listing.pictures, key=lambda path: (_is_test(path), path)):
        *folders, name = path.split("/")
        try:
            label = label_of(folders, name)
        except AmbiguousLabel as error:
            refused.append(LeftOut(path=path, why=str(error)))
            continue
        if label is None:
            why = "neither in a folder named after a digit nor with a name that starts with one digit"
            refused.append(LeftOut(path=path, why=why))
        else:
            files.append((path, label))
    return files, refused


def _is_test(path: str) -> bool:
    return path.split("/")[0].lower() in TEST_FOLDERS


def _key(folder: Path, files: list[tuple[str, int]]) -> str:
    """The cache key: a hash of the files' paths and bytes."""
    digest = hashlib.sha256(b"digits own folder 3")
    for path, _ in files:
        try:
            content = (folder / path).read_bytes()
        except OSError as error:
            raise EnvironmentFailure(f"cannot read {folder / path}: {error.strerror}") from error
        digest.update(os.fsencode(path) + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


Framed = tuple[Images, npt.NDArray[np.bool_], npt.NDArray[np.str_]]  # usable images; for each file: usable?, why not


def _framed(folder: Path, files: list[tuple[str, int]]) -> Framed:
    from digits_core.handwriting.decode import UnreadablePicture, page_count, read_picture
    from digits_core.handwriting.pipeline import find_marks

    def one(path: str) -> tuple[npt.NDArray[np.uint8] | None, str]:
        try:
            if (count := page_count(folder / path)) > 1:
                return None, f"it has {count} pages; a data set needs one digit per file"
            found = find_marks(read_picture(folder / path), join="if alone")
        except UnreadablePicture as error:
            return None, str(error)
        if found.several:
            return None, f"it shows {found.several} digits; a data set needs one digit per file"
        return (found.marks[0].images[0], "") if found.marks else (None, "no digit found")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(one, [path for path, _ in files]))
    images = [image for image, _ in found if image is not None]
    stacked = np.stack(images) if images else np.zeros((0, PICTURE_SIDE, PICTURE_SIDE), np.uint8)
    return stacked, np.array([image is not None for image, _ in found], bool), np.array([why for _, why in found], str)


def _read_cache(path: Path) -> Framed | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            kept = (arrays["images"], arrays["usable"], arrays["reasons"])
            return kept if str(arrays["checksum"]) == _checksum(kept) else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write_cache(path: Path, kept: Framed) -> None:
    """Failing to write the cache is not an error: the pictures are then read again next time."""
    import contextlib
    import tempfile

    images, usable, reasons = kept
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images, usable=usable, reasons=reasons, checksum=np.array(_checksum(kept)))
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            stream.write(buffer.getvalue())
        os.replace(stream.name, path)


def _checksum(kept: Framed) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in kept)).hexdigest()
