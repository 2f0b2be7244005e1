"""A data set as plain arrays in one `Digits` value, and the split that training may see."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from digits_core.errors import UsageError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

CLASS_COUNT = 10
TEST_FRACTION = 0.2  # for data sets without a published test set
VALIDATION_FRACTION = 0.25  # of the rest, but never more than:
LARGEST_VALIDATION_COUNT = 5_000
SMALLEST_CLASS = 5  # images per digit: with fewer, a data set cannot be split three ways
SPLIT_SEED = 0  # fixed, so that every run on a data set seals the same images


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """images: uint8 (N, H, W), ink is bright; labels: uint8 (N,), 0..9."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "LabelledImages":
        return LabelledImages(images=self.images[:count], labels=self.labels[:count])


def published_name(index: int, published_train_count: int) -> str:
    """An image's name outside this project: "test 947", or just its number if no test set was published."""
    if not published_train_count:
        return str(index)
    is_test = index >= published_train_count
    return f"test {index - published_train_count}" if is_test else f"train {index}"


@dataclass(frozen=True, kw_only=True)
class Digits(LabelledImages):
    """A whole data set. If a test set was published, it is the last `published_test_count` images."""

    name: str
    provenance: str
    published_test_count: int = 0
    components: tuple["Digits", ...] = ()  # of a mixture: each is split as it would be on its own
    is_pool: bool = False  # one pool for cross-validation: folds also use the images otherwise sealed

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(self.images.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()

    @cached_property
    def parts(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Image numbers of the training, validation and test sets, each sorted."""
        return _split_indices(self)

    def parts_around(self, validation: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
        """`parts`, of which the validation set is known from a run: saves drawing it where a test set was published.

        Any other validation set, as that of a cross-validation, gives `parts`.
        """
        available = len(self) - self.published_test_count
        if not self.published_test_count or self.components or len(validation) > LARGEST_VALIDATION_COUNT:
            return self.parts
        everything = np.arange(len(self), dtype=np.int64)
        train = np.setdiff1d(everything[:available], validation, assume_unique=True)
        return train, validation, everything[available:]

    @cached_property
    def split_id(self) -> str:
        """Twelve hexadecimal digits that identify the split: the data and which images are in which set."""
        digest = hashlib.sha256(self.checksum.encode())
        for indices in self.parts:
            digest.update(indices.tobytes())
        return digest.hexdigest()[:12]

    def published_name(self, index: int) -> str:
        return published_name(index, len(self) - self.published_test_count if self.published_test_count else 0)

    @cached_property
    def counts_to_split(self) -> npt.NDArray[np.int64]:
        """How many images of each digit there are to split, without a published test set, (10,)."""
        return np.bincount(self.labels[: len(self) - self.published_test_count], minlength=CLASS_COUNT)

    @property
    def can_be_split(self) -> bool:
        """Whether every digit has enough images for the sets."""
        return int(self.counts_to_split.min()) >= SMALLEST_CLASS

    @property
    def side(self) -> int:
        """Height and width of the images in pixels."""
        return int(self.images.shape[1])

    def take(self, indices: npt.NDArray[np.int64]) -> LabelledImages:
        """A copy of the images with these numbers."""
        return LabelledImages(images=self.images[indices], labels=self.labels[indices])


@dataclass(frozen=True, kw_only=True)
class Split:
    """What training and search may see. The sealed test set is not part of it."""

    train: LabelledImages
    validation: LabelledImages
    validation_indices: npt.NDArray[np.int64]  # image numbers in the data set
    split_id: str

    @property
    def train_count(self) -> int:
        return len(self.train)

    def first(self, train_count: int) -> "Split":
        """A smaller split, for timing: `train_count` training images, and validation images in proportion (>= 1)."""
        validation_count = max(1, len(self.validation) * train_count // len(self.train))
        return replace(
            self,
            train=self.train.first(train_count),
            validation=self.validation.first(validation_count),
            validation_indices=self.validation_indices[:validation_count],
        )


def split_digits(digits: Digits) -> Split:
    """The training and validation sets, stratified by digit; the test set stays out."""
    train, validation, _ = digits.parts
    return Split(
        train=digits.take(train),
        validation=digits.take(validation),
        validation_indices=validation,
        split_id=digits.split_id,
    )


def refit_split_id(digits: Digits) -> str:
    """The `split_id` of `refit_digits`."""
    return f"refit-{digits.split_id}"


def refit_digits(digits: Digits) -> Split:
    """For final models: the validation set is trained on as well, so validation scores no longer count."""
    train, validation, _ = digits.parts
    return Split(
        train=digits.take(np.sort(np.concatenate([train, validation]))),
        validation=digits.take(validation),
        validation_indices=validation,
        split_id=refit_split_id(digits),
    )


def sealed_test_part(digits: Digits) -> tuple[LabelledImages, npt.NDArray[np.int64]]:
    """The sealed test set and its image numbers. Only `digits_core.inference.sealed` may call this."""
    _, _, test = digits.parts
    return digits.take(test), test


def mixed(name: str, components: tuple[Digits, ...]) -> Digits:
    """Several data sets as one. A component too small to split is used for training only."""
    return Digits(
        name=name,
        images=np.concatenate([one.images for one in components]),
        labels=np.concatenate([one.labels for one in components]),
        provenance="; ".join(one.provenance for one in components),
        components=components,
    )


def _split_mixture(components: tuple[Digits, ...]) -> tuple[npt.NDArray[np.int64], ...]:
    parts: list[list[npt.NDArray[np.int64]]] = [[], [], []]
    offset = 0
    for one in components:
        nothing = np.zeros(0, np.int64)
        own = one.parts if one.can_be_split else (np.arange(len(one), dtype=np.int64), nothing, nothing)
        for part, indices in zip(parts, own, strict=True):
            part.append(indices + offset)
        offset += len(one)
    return tuple(np.concatenate(part) for part in parts)


def _split_indices(digits: Digits) -> tuple[npt.NDArray[np.int64], ...]:
    if digits.components:
        return _split_mixture(digits.components)
    if not digits.can_be_split:
        counts = digits.counts_to_split
        raise UsageError(
            f"{digits.name} has {counts.min()} images of the digit {counts.argmin()}, but splitting it needs at least"
            f" {SMALLEST_CLASS} of each; add more, or mix it with another data set: mnist+{digits.name}"
        )
    from sklearn.model_selection import train_test_split  # takes a second to import

    def cut(pool: npt.NDArray[np.int64], count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        kept, drawn = train_test_split(pool, test_size=count, random_state=SPLIT_SEED, stratify=digits.labels[pool])
        return np.sort(kept), np.sort(drawn)

    everything = np.arange(len(digits), dtype=np.int64)
    if digits.published_test_count:
        available, test = np.split(everything, [len(digits) - digits.published_test_count])
    else:
        available, test = cut(everything, round(len(digits) * TEST_FRACTION))
    validation_count = max(CLASS_COUNT, min(LARGEST_VALIDATION_COUNT, round(len(available) * VALIDATION_FRACTION)))
    train, validation = cut(available, validation_count)
    return train, validation, test
