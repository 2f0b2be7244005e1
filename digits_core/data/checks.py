"""Checks of a data set before training: class counts, unusable files, duplicate images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digits_core.data.datasets import DATASETS, components_of, is_loadable, load_digits
from digits_core.data.digits import CLASS_COUNT, SMALLEST_CLASS, Digits, LabelledImages
from digits_core.data.own import FolderContent, is_own, read_folder, split_name
from digits_core.errors import UsageError
from digits_core.handwriting.folders import LeftOut

MOST_EXAMPLES = 3
FAINT = 0.01  # of full brightness: an image with a lower mean has hardly any ink


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """The findings. `problems` prevent training, `remarks` do not."""

    name: str
    provenance: str
    image_count: int
    side: int
    counts: tuple[int, ...]  # by digit
    checksum: str
    refused: tuple[LeftOut, ...]
    left_out: tuple[LeftOut, ...]  # files of its folder that are no pictures, or hidden
    examples: tuple[str, ...]  # of a folder: which label a name gives
    test_count: int  # images of a test set of its own
    twice: int  # duplicates: copies beyond the first
    contradictions: int  # images that occur under different labels
    shared: dict[str, int]  # built-in data set -> how many of its images are in this one too; local ones only
    problems: tuple[str, ...]
    remarks: tuple[str, ...]


def image_hashes(images: LabelledImages) -> list[bytes]:
    """A hashable key for each image, equal for equal pixels."""
    return [image.tobytes() for image in images.images]


def check_data(name: str) -> DataCheck:
    """Check a data set. Raises UsageError if it cannot be read at all."""
    refused: tuple[LeftOut, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    examples: list[str] = []
    if is_own(name) and len(components_of(name)) == 1 and split_name(name)[0] == "folder":
        content = read_folder(Path(split_name(name)[1]))
        refused = content.refused
        if not content.paths:
            raise UsageError(f"{name} contains no usable picture" + (f": {refused[0].why}" if refused else ""))
        left_out, examples = content.others, _examples(content)
        digits = Digits(
            name=name,
            images=content.images,
            labels=content.labels,
            provenance="",
            published_test_count=content.test_count,
        )
    else:
        digits = load_digits(name)
    hashes = image_hashes(digits)
    counts = np.bincount(digits.labels, minlength=CLASS_COUNT)
    labels_of: dict[bytes, set[int]] = {}
    for image, label in zip(hashes, digits.labels, strict=True):
        labels_of.setdefault(image, set()).add(int(label))
    contradictions = sum(len(labels) > 1 for labels in labels_of.values())
    return DataCheck(
        name=name,
        provenance=digits.provenance,
        image_count=len(digits),
        side=digits.side,
        counts=tuple(int(count) for count in counts),
        checksum=digits.checksum,
        refused=refused,
        left_out=left_out,
        examples=tuple(examples),
        test_count=digits.published_test_count,
        twice=len(hashes) - len(labels_of),
        contradictions=contradictions,
        shared=_shared(name, digits.side, set(labels_of)),
        problems=tuple(_problems(digits, refused, contradictions)),
        remarks=tuple(_remarks(digits)),
    )


def _examples(content: FolderContent) -> list[str]:
    """For a few pictures of different digits, which label their names give."""
    first = {int(label): path for path, label in zip(reversed(content.paths), reversed(content.labels), strict=True)}
    return [f"{first[label]} -> {label}" for label in sorted(first)[:MOST_EXAMPLES]]


def _problems(digits: Digits, refused: tuple[LeftOut, ...], contradictions: int) -> list[str]:
    found = []
    if refused:
        found.append(f"{len(refused)} of its files cannot be used")
    if contradictions:
        found.append(f"{contradictions} images occur under different labels")
    if not digits.components and not digits.can_be_split:
        counts = digits.counts_to_split
        few = ", ".join(f"{digit} ({counts[digit]})" for digit in np.flatnonzero(counts < SMALLEST_CLASS))
        found.append(
            f"fewer than {SMALLEST_CLASS} images of {few}: too few to split; mix it with another set, as in mnist+..."
        )
    return found


def _remarks(digits: Digits) -> list[str]:
    counts = np.bincount(digits.labels, minlength=CLASS_COUNT)
    found = []
    if counts.min() and counts.max() > 3 * counts.min():
        found.append(f"unbalanced: {counts.max():,} images of {counts.argmax()}, {counts.min():,} of {counts.argmin()}")
    empty = int((digits.images.reshape(len(digits), -1).mean(axis=1) < 255 * FAINT).sum())
    if empty:
        found.append(f"{empty} images are almost empty")
    return found


def _shared(name: str, side: int, contents: set[bytes]) -> dict[str, int]:
    """Images shared with built-in data sets that have the same image size and need no download."""
    own = set(components_of(name))
    others = [one for one, source in DATASETS.items() if one not in own and source.side == side and is_loadable(one)]
    counts = {one: sum(image in contents for image in image_hashes(load_digits(one))) for one in others}
    return {one: count for one, count in counts.items() if count}
