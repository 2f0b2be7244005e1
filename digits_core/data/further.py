"""USPS, QMNIST, EMNIST digits and KMNIST: the published archives, at torchvision's paths and with its checksums.

Read without torchvision, because that imports torch, which a report page does not need.
"""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import Digits, Images, Labels
from digits_core.data.files import PackedFile, checked_path
from digits_core.errors import EnvironmentFailure

LARGEST_BYTE_COUNT = 2**30  # unpacked, of one file
UINT8, INT32 = 0x08, 0x0C  # IDX element types


def _files(folder: str, address: str, names: tuple[tuple[str, str], ...]) -> tuple[PackedFile, ...]:
    """Files of one publisher, from pairs of name and MD5."""
    return tuple(PackedFile(path=folder + name, md5=md5, url=f"{address}/{name}") for name, md5 in names)


_KMNIST = "http://codh.rois.ac.jp/kmnist/dataset/kmnist"
KMNIST_FILES = _files(
    "KMNIST/raw/",
    _KMNIST,
    (
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ),
)
_QMNIST = "https://raw.githubusercontent.com/facebookresearch/qmnist/master"
QMNIST_FILES = _files(
    "QMNIST/raw/",
    _QMNIST,
    (
        ("qmnist-train-images-idx3-ubyte.gz", "ed72d4157d28c017586c42bc6afe6370"),
        ("qmnist-train-labels-idx2-int.gz", "0058f8dd561b90ffdd0f734c6a30e5e4"),
        ("qmnist-test-images-idx3-ubyte.gz", "1394631089c404de565df7b7aeaf9412"),
        ("qmnist-test-labels-idx2-int.gz", "5b5b05890a5e13444e108efe57b788aa"),
    ),
)
EMNIST_FILES = (
    PackedFile(
        path="EMNIST/raw/gzip.zip",
        md5="58c8d27c78d21e728a6bc7b3cc06412e",
        url="https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    ),
)
_LIBSVM = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass"
USPS_FILES = _files(
    "",
    _LIBSVM,
    (
        ("usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197"),
        ("usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118"),
    ),
)
MNIST_TEST_COUNT = 10_000  # QMNIST's first test images are MNIST's; the 50,000 after them were never in MNIST


def load_kmnist() -> Digits:
    """Ten cursive Japanese characters instead of digits (Clanuwat et al. 2018, arXiv 1812.01718)."""
    arrays = [_idx(_unpacked(file, gzip.open), file.path) for file in KMNIST_FILES]
    return _joined("kmnist", "Kuzushiji-MNIST (Clanuwat et al. 2018)", *arrays)


def load_qmnist() -> Digits:
    """MNIST rebuilt from NIST's images; the test set is the 50,000 that MNIST left out (Yadav and Bottou 2019)."""
    images, labels, test_images, test_labels = (_idx(_unpacked(file, gzip.open), file.path) for file in QMNIST_FILES)
    rest = slice(MNIST_TEST_COUNT, None)
    provenance = "QMNIST (Yadav and Bottou 2019): 60,000 training images; its test set is the 50,000 MNIST left out"
    return _joined("qmnist", provenance, images, labels[:, 0], test_images[rest], test_labels[rest, 0])


def load_emnist_digits() -> Digits:
    """EMNIST's digits, 240,000 + 40,000 (Cohen et al. 2017, arXiv 1702.05373), transposed: NIST stored columns."""
    arrays = []
    with zipfile.ZipFile(checked_path(EMNIST_FILES[0])) as archive:
        for part in ("train", "test"):
            for kind in ("images-idx3", "labels-idx1"):
                name = f"gzip/emnist-digits-{part}-{kind}-ubyte.gz"
                arrays.append(_idx(gzip.decompress(archive.read(name)), name))
    arrays[0], arrays[2] = (images.swapaxes(1, 2) for images in (arrays[0], arrays[2]))
    return _joined("emnist-digits", "EMNIST's digits (Cohen et al. 2017)", *arrays)


def load_usps() -> Digits:
    """Digits from envelopes, 7,291 + 2,007 of 16x16 (Hull 1994), as on libsvm's page: -1 is paper, 1 is ink."""
    arrays: list[npt.NDArray[np.generic]] = []
    for file in USPS_FILES:
        lines = _unpacked(file, bz2.open).decode("ascii").splitlines()
        rows = [line.split() for line in lines if line]
        values = np.array([[float(field.partition(":")[2]) for field in row[1:]] for row in rows])
        arrays.append(np.rint((values.reshape(-1, 16, 16) + 1) * 127.5).astype(np.uint8))
        arrays.append(np.array([int(row[0]) - 1 for row in rows], dtype=np.uint8))
    return _joined("usps", "USPS, from libsvm's page (Hull 1994)", *arrays)


def _joined(
    name: str,
    provenance: str,
    images: npt.NDArray[np.generic],
    labels: npt.NDArray[np.generic],
    test_images: npt.NDArray[np.generic],
    test_labels: npt.NDArray[np.generic],
) -> Digits:
    everything: Images = np.ascontiguousarray(np.concatenate([images, test_images]).astype(np.uint8))
    digits: Labels = np.concatenate([labels, test_labels]).astype(np.uint8)
    return Digits(
        name=name, images=everything, labels=digits, provenance=provenance, published_test_count=len(test_labels)
    )


def _unpacked(file: PackedFile, opener: Callable[[io.BytesIO], io.BufferedIOBase]) -> bytes:
    content = checked_path(file).read_bytes()
    try:
        with opener(io.BytesIO(content)) as stream:
            return stream.read(LARGEST_BYTE_COUNT)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise EnvironmentFailure(f"cannot unpack {file.path}: {error}") from error


def _idx(content: bytes, name: str) -> Any:
    """Parse LeCun's IDX format: two zero bytes, type, number of axes, their lengths, the values."""
    kinds = {UINT8: "u1", INT32: ">i4"}
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in kinds:
        raise EnvironmentFailure(f"{name} is not an IDX file")
    axes, kind = content[3], kinds[content[2]]
    shape = tuple(int(length) for length in np.frombuffer(content[4 : 4 + 4 * axes], ">i4"))
    values: npt.NDArray[np.generic] = np.frombuffer(content[4 + 4 * axes :], kind)
    if values.size != int(np.prod(shape)):
        raise EnvironmentFailure(f"{name} is truncated")
    return values.reshape(shape)
