"""The data sets by name: where each comes from, and how it is loaded as a `Digits` value."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.data import further as further_data
from digits_core.data.digits import Digits, Images, mixed
from digits_core.data.files import DataFile, PackedFile, is_at_hand, read_checked
from digits_core.data.own import KINDS, check_own, is_own, load_own
from digits_core.errors import EnvironmentFailure, UsageError, unknown_name


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
    """Map 0..16 onto 0..255, keeping all 17 levels distinct."""
    return np.rint(values.astype(np.float64) * (255 / 16)).astype(np.uint8)


@functools.cache
def _sklearn_bunch() -> Any:
    from sklearn.datasets import load_digits

    return load_digits()  # parses text for a tenth of a second


def _load_sklearn_digits() -> Digits:
    bunch = _sklearn_bunch()
    return Digits(
        name="sklearn-digits",
        images=_sixteenths_to_bytes(bunch.images),
        labels=bunch.target.astype(np.uint8),
        provenance="scikit-learn load_digits: the test half of UCI optdigits (Alpaydin and Kaynak 1998)",
    )


def _load_mnist() -> Digits:
    train_images, train_labels, test_images, test_labels = (read_checked(file) for file in MNIST_FILES)
    pixels = np.frombuffer(train_images[16:] + test_images[16:], dtype=np.uint8)  # the IDX headers have 16 and 8 bytes
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
    """How a built-in data set is loaded, and which files it needs."""

    load: Callable[[], Digits]
    description: str
    side: int
    family: str  # data sets of the same family share images
    files: tuple[DataFile | PackedFile, ...] = ()
    published_train_count: int = 0  # images before the published test set; 0 if there isn't one
    hub_name: str = ""  # on the Hugging Face hub, where its name there is known to us
    contested: tuple[int, ...] = ()  # numbers of images whose published label is disputed in the literature


# MNIST test images, by position in the test set, whose labels several annotators agreed are wrong: Northcutt, Athalye
# and Mueller 2021 (arXiv 2103.14749), as listed in cleanlab's label-errors.
MNIST_CONTESTED_TESTS = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)

DATASETS: dict[str, DataSource] = {
    "sklearn-digits": DataSource(
        load=_load_sklearn_digits,
        side=8,
        family="optdigits",
        description="1,797 images of 8x8, bundled with scikit-learn",
    ),
    "mnist": DataSource(
        load=_load_mnist,
        side=28,
        family="mnist",
        files=MNIST_FILES,
        description="60,000 + 10,000 images of 28x28",
        published_train_count=60_000,
        hub_name="ylecun/mnist",
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
    "usps": DataSource(
        load=further_data.load_usps,
        side=16,
        family="usps",
        files=further_data.USPS_FILES,
        description="digits from envelopes, 7,291 + 2,007 images of 16x16",
        published_train_count=7_291,
    ),
    "qmnist": DataSource(
        load=further_data.load_qmnist,
        side=28,
        family="mnist",
        files=further_data.QMNIST_FILES,
        description="MNIST's 60,000 rebuilt; the test set is 50,000 that MNIST left out",
        published_train_count=60_000,
    ),
    "emnist-digits": DataSource(
        load=further_data.load_emnist_digits,
        side=28,
        family="emnist",
        files=further_data.EMNIST_FILES,
        description="NIST's digits, 240,000 + 40,000 images of 28x28",
        published_train_count=240_000,
    ),
    "kmnist": DataSource(
        load=further_data.load_kmnist,
        side=28,
        family="kmnist",
        files=further_data.KMNIST_FILES,
        description="ten Japanese characters, 60,000 + 10,000 images of 28x28",
        published_train_count=60_000,
    ),
}


def components_of(name: str) -> tuple[str, ...]:
    """`mnist+folder:mine` -> ("mnist", "folder:mine"). A plus sign inside a path belongs to the path."""
    names = "|".join(map(re.escape, sorted(DATASETS, key=len, reverse=True)))
    return tuple(re.split(rf"\+(?=(?:{'|'.join(KINDS)}):|(?:{names})(?:\+|$))", name))


def check_dataset(name: str) -> None:
    """Raise UsageError, suggesting the closest names, if a data set does not exist."""
    for component in components_of(name):
        if is_own(component):
            check_own(component)
        elif component not in DATASETS:
            raise unknown_name("data set", component, [*DATASETS, "folder:PATH", "csv:FILE", "npz:FILE"])


def absolute(name: str) -> str:
    """The same name with absolute paths, so that it means the same in any working directory."""
    pieces = []
    for component in components_of(name):
        kind, _, place = component.partition(":")
        pieces.append(f"{kind}:{Path(place).expanduser().absolute()}" if is_own(component) and place else component)
    return "+".join(pieces)


def public_name(name: str) -> str:
    """The same name for other people to read, on one line: of your own data only the last part of its path."""
    pieces = []
    for component in components_of(name):
        kind, _, place = component.partition(":")
        pieces.append(f"{kind}:{' '.join(Path(place).name.split())}" if is_own(component) else component)
    return "+".join(pieces)


def side_of(name: str) -> int:
    """Height and width of its images in pixels. Built-in data sets are not loaded to find out."""
    check_dataset(name)
    first = components_of(name)[0]
    return DATASETS[first].side if first in DATASETS else load_digits(name).side


def contested_images(name: str) -> tuple[int, ...]:
    """Numbers of images in the data set whose published label is disputed in the literature."""
    first = components_of(name)[0]  # in a mixture its images come first, so their numbers stay the same
    return DATASETS[first].contested if first in DATASETS else ()


def published_train_count(name: str) -> int:
    """Images before the published test set; 0 if there isn't one, as in a mixture."""
    return DATASETS[name].published_train_count if name in DATASETS else 0


def is_loadable(name: str) -> bool:
    """Whether the data set can be loaded without a download."""
    return all(
        all(is_at_hand(file) for file in DATASETS[one].files) if one in DATASETS else is_own(one)
        for one in components_of(name)
    )


def shares_images(name: str, other: str) -> bool:
    """Whether the two contain different data sets of one family, such as optdigits and sklearn-digits."""
    pairs = ((one, two) for one in components_of(name) for two in components_of(other) if one != two)
    return any(
        one in DATASETS and two in DATASETS and DATASETS[one].family == DATASETS[two].family for one, two in pairs
    )


def load_digits(name: str) -> Digits:
    """Load a data set by name.

    Raises UsageError for an unknown name or an impossible mixture, EnvironmentFailure for missing or damaged files.
    """
    check_dataset(name)
    loaded = tuple(DATASETS[one].load() if one in DATASETS else load_own(one) for one in components_of(name))
    if len(loaded) == 1:
        return loaded[0]
    sides = sorted({one.side for one in loaded})
    if len(sides) > 1:
        raise UsageError(
            f"{name} mixes images of {' and '.join(f'{side}x{side}' for side in sides)} pixels; mix images of one size"
        )
    if any(one.is_pool for one in loaded):
        raise UsageError(f"{name}: a pool for cross-validation cannot be mixed; use optdigits")
    if len(set(components_of(name))) < len(loaded):
        raise UsageError(f"{name} lists the same data set twice; list it once")
    return mixed(name, loaded)


def digits_at_hand(name: str, checksum: str) -> tuple[Digits | None, str]:
    """The data set that a run was trained on, or the reason why it is not here. Nothing is downloaded.

    checksum: as the run's header has it.
    """
    if not is_loadable(name):
        return None, f"the data set {name!r} is not in the data folder on this machine"
    try:
        digits = load_digits(name)
    except (EnvironmentFailure, UsageError) as error:
        return None, str(error)
    if digits.checksum != checksum:
        return None, f"the data set {name!r} on this machine is not the one this run was trained on"
    return digits, ""
