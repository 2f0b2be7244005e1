"""A data set in numbers: how many images of each digit it has, and examples. The test set stays sealed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import CLASS_COUNT, Digits

EXAMPLE_COUNT = 24
GAP = 1  # pixels between two examples


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """What the page shows of a data set; of the sealed test set only its size."""

    name: str
    provenance: str
    side: int
    checksum: str
    train_counts: tuple[int, ...]  # by digit
    validation_counts: tuple[int, ...]
    test_n: int
    ink: tuple[float, ...]  # by digit: mean brightness of the training images, 0..1
    examples: tuple[npt.NDArray[np.uint8], ...]  # by digit: the first training images side by side


def summary_of(digits: Digits, validation: npt.NDArray[np.int64] | None = None) -> DatasetSummary:
    """Count the images of each digit and lay out the examples. validation: the validation set's images, if known."""
    train, validation, test = digits.parts if validation is None else digits.parts_around(validation)
    by_digit = [train[digits.labels[train] == digit] for digit in range(CLASS_COUNT)]
    return DatasetSummary(
        name=digits.name,
        provenance=digits.provenance,
        side=digits.side,
        checksum=digits.checksum,
        train_counts=tuple(len(indices) for indices in by_digit),
        validation_counts=tuple(np.bincount(digits.labels[validation], minlength=CLASS_COUNT).tolist()),
        test_n=len(test),
        ink=tuple(float(digits.images[indices].mean() / 255) for indices in by_digit),
        examples=tuple(strip(digits.images[indices[:EXAMPLE_COUNT]]) for indices in by_digit),
    )


def strip(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Images (N, H, W) side by side with a dark gap: (H, N * (W + gap) - gap)."""
    widened = np.pad(images, ((0, 0), (0, 0), (0, GAP)))
    return np.concatenate(list(widened), axis=1)[:, :-GAP]
