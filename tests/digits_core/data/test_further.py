"""Small archives in the published layouts; the published ones would need a network."""

import bz2
import gzip
import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_core.data import further as further_data
from digits_core.data.datasets import DATASETS
from digits_core.data.digits import Digits
from digits_core.data.files import PackedFile
from digits_core.errors import EnvironmentFailure

STREAM = np.random.default_rng(0)
IMAGES = STREAM.integers(0, 256, (60, 28, 28)).astype(np.uint8)
LABELS = (np.arange(60) % 10).astype(np.uint8)
TEST_IMAGES, TEST_LABELS = IMAGES[::-1][:30].copy(), LABELS[::-1][:30].copy()


def idx(array: np.ndarray) -> bytes:
    kind = b"\x08" if array.dtype == np.uint8 else b"\x0c"
    head = b"\0\0" + kind + bytes([array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return head + (array if array.dtype == np.uint8 else array.astype(">i4")).tobytes()


def placed(folder: Path, files: tuple[PackedFile, ...], contents: list[bytes]) -> tuple[PackedFile, ...]:
    """Write the contents where the files are looked up. Returns the files with matching checksums."""
    known = []
    for file, content in zip(files, contents, strict=True):
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(content)
        known.append(replace(file, md5=hashlib.md5(content).hexdigest()))
    return tuple(known)


def check(loaded: Digits, images: np.ndarray, tests: np.ndarray, labels: np.ndarray, test_labels: np.ndarray) -> None:
    assert np.array_equal(loaded.images, np.concatenate([images, tests]))
    assert loaded.labels.tolist() == [*labels.tolist(), *test_labels.tolist()]
    assert loaded.published_test_count == len(tests)
    assert len(loaded.parts[2]) == len(tests)


def test_kmnist(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [gzip.compress(idx(array)) for array in (IMAGES, LABELS, TEST_IMAGES, TEST_LABELS)]
    monkeypatch.setattr(further_data, "KMNIST_FILES", placed(data_folder, further_data.KMNIST_FILES, contents))
    check(further_data.load_kmnist(), IMAGES, TEST_IMAGES, LABELS, TEST_LABELS)


def test_qmnist_test_set_is_what_mnist_left_out(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = np.full((60, 7), 3)
    tables = [np.column_stack([each, rest[: len(each)]]).astype(np.int32) for each in (LABELS, TEST_LABELS)]
    contents = [gzip.compress(idx(array)) for array in (IMAGES, tables[0], TEST_IMAGES, tables[1])]
    monkeypatch.setattr(further_data, "QMNIST_FILES", placed(data_folder, further_data.QMNIST_FILES, contents))
    monkeypatch.setattr(further_data, "MNIST_TEST_COUNT", 10)
    check(further_data.load_qmnist(), IMAGES, TEST_IMAGES[10:], LABELS, TEST_LABELS[10:])


def test_emnist_is_transposed(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data_folder / "packed.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for part, images, labels in (("train", IMAGES, LABELS), ("test", TEST_IMAGES, TEST_LABELS)):
            turned = np.ascontiguousarray(images.swapaxes(1, 2))
            archive.writestr(f"gzip/emnist-digits-{part}-images-idx3-ubyte.gz", gzip.compress(idx(turned)))
            archive.writestr(f"gzip/emnist-digits-{part}-labels-idx1-ubyte.gz", gzip.compress(idx(labels)))
    files = placed(data_folder, further_data.EMNIST_FILES, [path.read_bytes()])
    monkeypatch.setattr(further_data, "EMNIST_FILES", files)
    check(further_data.load_emnist_digits(), IMAGES, TEST_IMAGES, LABELS, TEST_LABELS)


def test_usps(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, tests = IMAGES[:, :16, :16], TEST_IMAGES[:, :16, :16]

    def packed(pixels: np.ndarray, labels: np.ndarray) -> bytes:
        lines = [
            " ".join([str(label + 1), *(f"{at}:{value:.4f}" for at, value in enumerate(image.ravel() / 127.5 - 1, 1))])
            for image, label in zip(pixels, labels, strict=True)
        ]
        return bz2.compress("\n".join(lines).encode())

    contents = [packed(images, LABELS), packed(tests, TEST_LABELS)]
    monkeypatch.setattr(further_data, "USPS_FILES", placed(data_folder, further_data.USPS_FILES, contents))
    check(further_data.load_usps(), images, tests, LABELS, TEST_LABELS)


def test_an_archive_with_the_wrong_checksum_is_refused(data_folder: Path) -> None:
    placed(data_folder, further_data.KMNIST_FILES, [b"x"] * 4)
    with pytest.raises(EnvironmentFailure, match="damaged or not the published file"):
        further_data.load_kmnist()


def test_further_data_sets_are_registered() -> None:
    assert {"usps", "qmnist", "emnist-digits", "kmnist"} <= set(DATASETS)
    assert DATASETS["usps"].side == 16
