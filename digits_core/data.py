"""Data sets as plain arrays behind one `Digits` value, and the split that training may see."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from digits_core.errors import unknown_name
from digits_core.files import DataFile, read_checked

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

CLASS_COUNT = 10
TEST_FRACTION = 0.2  # of data sets without a published test part
VALIDATION_FRACTION = 0.25  # of what is left for training, but never more than:
LARGEST_VALIDATION_COUNT = 5_000
SPLIT_SEED = 0  # fixed, so that every sweep on a data set keeps the same images sealed


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """images: uint8 (N, H, W), ink is bright; labels: uint8 (N,), 0..9."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "LabelledImages":
        """The first so many of them."""
        return LabelledImages(images=self.images[:count], labels=self.labels[:count])


def published_name(index: int, published_train_count: int) -> str:
    """How an image is named outside this project: "test 947", or its plain number where no test part was published."""
    if not published_train_count:
        return str(index)
    is_test = index >= published_train_count
    return f"test {index - published_train_count}" if is_test else f"train {index}"


@dataclass(frozen=True, kw_only=True)
class Digits(LabelledImages):
    """One whole data set. Where its publisher set a test part aside, those are its last images."""

    name: str
    provenance: str
    published_test_count: int = 0
    is_pool: bool = False  # one pool for cross-validation: its folds take the otherwise sealed part as well

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(self.images.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()

    @cached_property
    def parts(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Image numbers of the train, validation and test parts, each sorted."""
        return _split_indices(self)

    @cached_property
    def split_id(self) -> str:
        """Twelve hexadecimal digits that name the split: data and parts."""
        digest = hashlib.sha256(self.checksum.encode())
        for indices in self.parts:
            digest.update(indices.tobytes())
        return digest.hexdigest()[:12]

    def published_name(self, index: int) -> str:
        """See `published_name`."""
        return published_name(index, len(self) - self.published_test_count if self.published_test_count else 0)

    @property
    def side(self) -> int:
        """Height (and width) in pixels."""
        return int(self.images.shape[1])

    def take(self, indices: npt.NDArray[np.int64]) -> LabelledImages:
        """A copy of the images with these numbers."""
        return LabelledImages(images=self.images[indices], labels=self.labels[indices])


@dataclass(frozen=True, kw_only=True)
class Split:
    """What training and search may see. The sealed test part is not in here."""

    train: LabelledImages
    validation: LabelledImages
    validation_indices: npt.NDArray[np.int64]  # the images' numbers in the data set
    split_id: str

    @property
    def train_count(self) -> int:
        """Images to train on."""
        return len(self.train)

    def first(self, train_count: int) -> "Split":
        """So many training images, and validation images in proportion, to time something on: at least one."""
        validation_count = max(1, len(self.validation) * train_count // len(self.train))
        return replace(
            self,
            train=self.train.first(train_count),
            validation=self.validation.first(validation_count),
            validation_indices=self.validation_indices[:validation_count],
        )


def split_digits(digits: Digits) -> Split:
    """Stratified train and validation parts; the test part stays out."""
    train, validation, _ = digits.parts
    return Split(
        train=digits.take(train),
        validation=digits.take(validation),
        validation_indices=validation,
        split_id=digits.split_id,
    )


def refit_split_id(digits: Digits) -> str:
    """Names the split of `refit_digits`."""
    return f"refit-{digits.split_id}"


def refit_digits(digits: Digits) -> Split:
    """For final models: training sees the validation part as well, which therefore judges nothing any more."""
    train, validation, _ = digits.parts
    return Split(
        train=digits.take(np.sort(np.concatenate([train, validation]))),
        validation=digits.take(validation),
        validation_indices=validation,
        split_id=refit_split_id(digits),
    )


def sealed_test_part(digits: Digits) -> tuple[LabelledImages, npt.NDArray[np.int64]]:
    """The test part and its image numbers in the data set. Only `digits_core.sealed` may call this."""
    _, _, test = digits.parts
    return digits.take(test), test


def _split_indices(digits: Digits) -> tuple[npt.NDArray[np.int64], ...]:
    from sklearn.model_selection import train_test_split  # takes a second to import

    def cut(pool: npt.NDArray[np.int64], count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        kept, drawn = train_test_split(pool, test_size=count, random_state=SPLIT_SEED, stratify=digits.labels[pool])
        return np.sort(kept), np.sort(drawn)

    everything = np.arange(len(digits), dtype=np.int64)
    if digits.published_test_count:
        available, test = np.split(everything, [len(digits) - digits.published_test_count])
    else:
        available, test = cut(everything, round(len(digits) * TEST_FRACTION))
    validation_count = min(LARGEST_VALIDATION_COUNT, round(len(available) * VALIDATION_FRACTION))
    train, validation = cut(available, validation_count)
    return train, validation, test


def _mnist_file(name: str, sha256: str, byte_count: int, packed_md5: str) -> DataFile:
    return DataFile(
        path=f"MNIST/raw/{name}",
        sha256=sha256,
        byte_count=byte_count,
        url=f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz",
        packed_md5=packed_md5,
    )


MNIST_FILES = (
    _mnist_file(
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        47_040_016,
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ),
    _mnist_file(
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        60_008,
        "d53e105ee54ea40749a09fcbcd1e9432",
    ),
    _mnist_file(
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        7_840_016,
        "9fb629c4189551a2d022fa330f9573f3",
    ),
    _mnist_file(
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        10_008,
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)
_UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/optdigits"
OPTDIGITS_FILES = (
    DataFile(
        path="optdigits/optdigits.tra",
        sha256="e1b683cc211604fe8fd8c4417e6a69f31380e0c61d4af22e93cc21e9257ffedd",
        byte_count=563_639,
        url=f"{_UCI}/optdigits.tra",
    ),
    DataFile(
        path="optdigits/optdigits.tes",
        sha256="6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
        byte_count=264_712,
        url=f"{_UCI}/optdigits.tes",
    ),
)


def _sixteenths_to_bytes(values: npt.NDArray[np.generic]) -> Images:
    """Map 0..16 onto 0..255 without merging any two levels."""
    return np.rint(values.astype(np.float64) * (255 / 16)).astype(np.uint8)


def _load_sklearn_digits() -> Digits:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Digits(
        name="sklearn-digits",
        images=_sixteenths_to_bytes(bunch.images),
        labels=bunch.target.astype(np.uint8),
        provenance="scikit-learn load_digits: the test half of UCI optdigits (Alpaydin and Kaynak 1998)",
    )


def _load_mnist() -> Digits:
    train_images, train_labels, test_images, test_labels = (read_checked(file) for file in MNIST_FILES)
    pixels = np.frombuffer(train_images[16:] + test_images[16:], dtype=np.uint8)  # 16 and 8 bytes of IDX header
    return Digits(
        name="mnist",
        images=pixels.reshape(-1, 28, 28),
        labels=np.frombuffer(train_labels[8:] + test_labels[8:], dtype=np.uint8),
        provenance="MNIST, the published IDX files (LeCun, Cortes, Burges)",
        published_test_count=10_000,
    )


def _optdigits(name: str, *, published_test_count: int = 0, is_pool: bool = False) -> Digits:
    rows = np.concatenate(
        [
            np.loadtxt(read_checked(file).decode("ascii").splitlines(), delimiter=",", dtype=np.uint8)
            for file in OPTDIGITS_FILES
        ]
    )
    return Digits(
        name=name,
        images=_sixteenths_to_bytes(rows[:, :64]).reshape(-1, 8, 8),
        labels=rows[:, 64],
        provenance="UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998)",
        published_test_count=published_test_count,
        is_pool=is_pool,
    )


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """How a named data set is loaded, and which files it needs."""

    load: Callable[[], Digits]
    description: str
    side: int
    family: str  # data sets of one family share images
    files: tuple[DataFile, ...] = ()
    published_train_count: int = 0  # images before the published test part; 0 where there is none
    contested: tuple[int, ...] = ()  # numbers in the data set of images whose published label is disputed in print


# The consensus of several people found these labels of MNIST's test images wrong, by their places there: Northcutt,
# Athalye and Mueller 2021 (arXiv 2103.14749), as cleanlab's label-errors lists them.
MNIST_CONTESTED_TESTS = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)

DATASETS: dict[str, DataSource] = {
    "sklearn-digits": DataSource(
        load=_load_sklearn_digits,
        side=8,
        family="optdigits",
        description="1,797 images of 8x8, embedded in scikit-learn",
    ),
    "mnist": DataSource(
        load=_load_mnist,
        side=28,
        family="mnist",
        files=MNIST_FILES,
        description="60,000 + 10,000 images of 28x28",
        published_train_count=60_000,
        contested=tuple(60_000 + place for place in MNIST_CONTESTED_TESTS),
    ),
    "optdigits": DataSource(
        load=lambda: _optdigits("optdigits", published_test_count=1_797),
        side=8,
        family="optdigits",
        files=OPTDIGITS_FILES,
        description="UCI, 3,823 + 1,797 images of 8x8",
        published_train_count=3_823,
    ),
    "optdigits-pooled": DataSource(
        load=lambda: _optdigits("optdigits-pooled", is_pool=True),
        side=8,
        family="optdigits",
        files=OPTDIGITS_FILES,
        description="UCI, all 5,620 images of 8x8 in one pool",
    ),
}


def check_dataset(name: str) -> None:
    """Raise UsageError, with the nearest names, for a data set that does not exist."""
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)


def load_digits(name: str) -> Digits:
    """Load a data set by name. Raises UsageError for an unknown name, EnvironmentFailure for its files."""
    check_dataset(name)
    return DATASETS[name].load()
