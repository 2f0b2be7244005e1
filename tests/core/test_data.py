import gzip
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_core import data
from digits_core.data import DataFile, Digits, load_digits, sealed_test_part, split_digits
from digits_core.errors import EnvironmentFailure, UsageError


def test_embedded_data_set(digits: Digits) -> None:
    assert digits.images.shape == (1797, 8, 8)
    assert digits.images.dtype == np.uint8
    assert len(np.unique(digits.images)) == 17  # 0..16, no two levels merged
    assert digits.images.max() == 255
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_split_covers_everything_once_and_is_stratified(digits: Digits) -> None:
    split = split_digits(digits)
    test, test_indices = sealed_test_part(digits)
    assert (len(split.train), len(split.validation), len(test)) == (1078, 360, 359)
    assert not set(split.validation_indices) & set(test_indices)
    assert np.array_equal(digits.images[split.validation_indices], split.validation.images)
    for part in (split.train, split.validation, test):
        share = np.bincount(part.labels, minlength=10) / len(part)
        assert np.abs(share - 0.1).max() < 0.01


def test_split_is_the_same_every_time_and_named_by_its_images(digits: Digits) -> None:
    assert split_digits(digits).split_id == split_digits(digits).split_id
    shuffled = replace(digits, images=digits.images[::-1].copy(), labels=digits.labels[::-1].copy())
    assert split_digits(shuffled).split_id != split_digits(digits).split_id
    assert shuffled.checksum != digits.checksum


def test_published_test_part_is_the_sealed_one(digits: Digits) -> None:
    published = replace(digits, published_test_count=297)
    test, indices = sealed_test_part(published)
    assert indices.tolist() == list(range(1500, 1797))
    assert np.array_equal(test.images, digits.images[1500:])
    assert split_digits(published).validation_indices.max() < 1500
    assert published.published_name(1500) == "test 0"
    assert published.published_name(7) == "train 7"
    assert digits.published_name(7) == "7"


def test_unknown_data_set_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'mnist'"):
        load_digits("mnits")


CONTENT = b"0,16,5\n" * 50


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on loopback: its address and its folder."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", folder
        httpd.shutdown()
        thread.join()


def _file(url: str, content: bytes = CONTENT, packed: bytes | None = None) -> DataFile:
    import hashlib

    return DataFile(
        path="set/file.bin",
        sha256=hashlib.sha256(content).hexdigest(),
        byte_count=len(content),
        url=url,
        packed_md5=hashlib.md5(packed).hexdigest() if packed else None,
    )


def test_missing_file_is_downloaded_checked_and_kept(data_folder: Path, server: tuple[str, Path]) -> None:
    address, served = server
    (served / "file.bin").write_bytes(CONTENT)
    file = _file(f"{address}/file.bin")
    assert data._read_checked(file) == CONTENT
    (served / "file.bin").unlink()
    assert data._read_checked(file) == CONTENT  # from disk
    assert [path.name for path in (data_folder / "set").iterdir()] == ["file.bin"]


def test_packed_file_is_downloaded_and_read_packed(data_folder: Path, server: tuple[str, Path]) -> None:
    address, served = server
    packed = gzip.compress(CONTENT)
    (served / "file.bin.gz").write_bytes(packed)
    assert data._read_checked(_file(f"{address}/file.bin.gz", packed=packed)) == CONTENT
    assert (data_folder / "set" / "file.bin.gz").is_file()


def test_half_a_download_leaves_nothing_behind(data_folder: Path, server: tuple[str, Path]) -> None:
    address, served = server
    file = _file(f"{address}/file.bin")
    (served / "file.bin").write_bytes(CONTENT[:100])
    with pytest.raises(EnvironmentFailure, match="could not fetch"):
        data._read_checked(file)
    assert list((data_folder / "set").iterdir()) == []
    (served / "file.bin").write_bytes(CONTENT)
    assert data._read_checked(file) == CONTENT


def test_no_network_says_what_where_and_what_works_without(data_folder: Path) -> None:
    file = _file("http://127.0.0.1:9/file.bin")  # the discard port: refused
    with pytest.raises(EnvironmentFailure) as caught:
        data._read_checked(file)
    message = str(caught.value)
    assert "\n" not in message
    assert "http://127.0.0.1:9/file.bin" in message
    assert str(data_folder / "set" / "file.bin") in message
    assert "--dataset sklearn-digits, which needs no network" in message


@pytest.mark.parametrize("name", ["file.bin", "file.bin.gz"])
def test_truncated_file_is_refused_in_one_line(data_folder: Path, name: str) -> None:
    (data_folder / "set").mkdir(parents=True)
    content = gzip.compress(CONTENT) if name.endswith(".gz") else CONTENT
    (data_folder / "set" / name).write_bytes(content[:-9])
    with pytest.raises(EnvironmentFailure, match=r"damaged|cannot read") as caught:
        data._read_checked(_file("http://127.0.0.1:9/"))
    assert str(data_folder / "set" / name) in str(caught.value)
    assert (data_folder / "set" / name).is_file()  # a user's file is theirs to delete


def test_packed_bomb_is_not_unpacked_whole(data_folder: Path) -> None:
    (data_folder / "set").mkdir(parents=True)
    (data_folder / "set" / "file.bin.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(EnvironmentFailure, match="350 of 350 bytes could be used"):
        data._read_checked(_file("http://127.0.0.1:9/"))


@pytest.mark.mnist
def test_real_mnist() -> None:
    mnist = load_digits("mnist")
    assert mnist.images.shape == (70_000, 28, 28)
    assert mnist.labels[:5].tolist() == [5, 0, 4, 1, 9]  # as everybody knows them
    assert mnist.labels[60_000:60_005].tolist() == [7, 2, 1, 0, 4]
    assert mnist.images[0].sum() == 27_525
    split = split_digits(mnist)
    assert (len(split.train), len(split.validation)) == (55_000, 5_000)
    assert split.validation_indices.max() < 60_000


@pytest.mark.mnist
def test_sklearn_digits_are_the_test_half_of_optdigits(digits: Digits) -> None:
    optdigits, pooled = load_digits("optdigits"), load_digits("optdigits-pooled")
    assert (len(optdigits), optdigits.published_test_count) == (5_620, 1_797)
    assert np.array_equal(optdigits.images[3_823:], digits.images)
    assert np.array_equal(optdigits.labels[3_823:], digits.labels)
    assert pooled.published_test_count == 0
    assert len(sealed_test_part(pooled)[0]) == 1_124
