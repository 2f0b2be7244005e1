"""The images that handed-in predictions are judged on, and their labels: a run's, a data set's, or handed in too."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import Digits
from digits_core.errors import UsageError
from digits_core.outside.predictions import HandedIn, aligned, read_labels_file
from digits_core.runs.run import Run

Labels = npt.NDArray[np.int64]  # (N,)
Indices = npt.NDArray[np.int64]  # (N,): positions in the data set
Part = Literal["validation", "out of fold", "sealed test", "labels"]  # "labels": they were handed in
SEALED: Literal["sealed test"] = "sealed test"


@dataclass(frozen=True, kw_only=True)
class Images:
    """What is judged on. indices: positions in the data set, None if it is not known."""

    labels: Labels
    indices: npt.NDArray[np.int64] | None
    part: Part
    what: str  # in words, such as "the validation set of mnist"
    dataset: str | None = None


def in_order(one: HandedIn, images: Images) -> HandedIn:
    """The predictions in the order of the images. Raises UsageError if they are not predictions of exactly these."""
    if images.indices is not None:
        return aligned(one, images.indices, images.labels, images.what)
    if one.indices is not None:
        raise UsageError(
            f"{one.source}: {one.name} has indices, but the labels have none; hand in both with indices or both without"
        )
    return aligned(one, np.arange(len(images.labels)), images.labels, images.what)


def are_for_test(handed: Sequence[HandedIn], run: Run, digits: Digits | None) -> bool:
    """Whether these are predictions of the run's sealed test set rather than of its validation set.

    By their indices; without any, by their number. digits: the run's data set, None if it is not on this machine.
    """
    if digits is None or run.header.fold_count:
        return False
    test = digits.parts[2]
    found = {_is_for_test(one, run, test) for one in handed}
    if len(found) > 1:
        raise UsageError(
            f"some of these predictions are of {run.name}'s validation set and some of its test set; judge them apart"
        )
    return found == {True}


def _is_for_test(one: HandedIn, run: Run, test: Indices) -> bool:
    if one.indices is not None:
        return bool(np.isin(one.indices, test).all())
    return len(one.predicted) == len(test) != run.header.validation_n


def unopened_test_images(handed: Sequence[HandedIn], run: Run, digits: Digits) -> Images:
    """The test images with zeros for labels, to see whether the predictions fit before anything is opened.

    Raises UsageError if they bring labels: saying how many of these are right would leak the test labels bit by bit.
    """
    labelled = next((one for one in handed if one.labels is not None), None)
    if labelled is not None:
        raise UsageError(
            f"{labelled.source} has labels, but {run.name}'s test set is sealed; hand in the predictions without them"
        )
    test = digits.parts[2]
    zeros, what = np.zeros(len(test), np.int64), f"the test set of {run.name}"
    return Images(labels=zeros, indices=test, part=SEALED, what=what, dataset=run.header.dataset)


def images_of_run(run: Run, *, on_test: bool) -> Images:
    """A run's validation images or, once its labels are opened, its test images."""
    dataset = run.header.dataset
    if on_test:
        what = f"the test set of {run.name}"
        return Images(labels=run.test_labels, indices=run.test_indices, part=SEALED, what=what, dataset=dataset)
    part: Part = "out of fold" if run.header.fold_count else "validation"
    what = f"the images of {run.name}" if run.header.fold_count else f"the validation set of {run.name}"
    return Images(labels=run.validation_labels, indices=run.validation_indices, part=part, what=what, dataset=dataset)


def images_of_dataset(digits: Digits) -> Images:
    """A data set's validation images, as every run on it has them."""
    _, validation, _ = digits.parts
    labels = digits.labels[validation].astype(np.int64)
    what = f"the validation set of {digits.name}"
    return Images(labels=labels, indices=validation, part="validation", what=what, dataset=digits.name)


def images_of_file(path: Path) -> Images:
    """Images whose labels are in a file of their own."""
    labels, indices = read_labels_file(path)
    return Images(labels=labels, indices=indices, part="labels", what=f"the labels in {path}")


def images_of_handed(handed: Sequence[HandedIn]) -> Images:
    """Images whose labels were handed in with the predictions. Raises UsageError if they were not."""
    first = next((one for one in handed if one.labels is not None), None)
    if first is None or first.labels is None:
        raise UsageError(
            f"{handed[0].source} has no labels; name the run or data set that it predicts (--against, --dataset), or a"
            " file with labels (--labels)"
        )
    what = f"the labels in {first.source}"
    return Images(labels=first.labels, indices=first.indices, part="labels", what=what)
