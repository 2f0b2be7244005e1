import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from digits_core.data.files import DataFile, read_checked
from digits_core.errors import EnvironmentFailure

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
    assert read_checked(file) == CONTENT
    (served / "file.bin").unlink()
    assert read_checked(file) == CONTENT  # from disk
    assert [path.name for path in (data_folder / "set").iterdir()] == ["file.bin"]


def test_packed_file_is_downloaded_and_read_packed(data_folder: Path, server: tuple[str, Path]) -> None:
    address, served = server
    packed = gzip.compress(CONTENT)
    (served / "file.bin.gz").write_bytes(packed)
    assert read_checked(_file(f"{address}/file.bin.gz", packed=packed)) == CONTENT
    assert (data_folder / "set" / "file.bin.gz").is_file()


def test_a_truncated_download_leaves_nothing_behind(data_folder: Path, server: tuple[str, Path]) -> None:
    address, served = server
    file = _file(f"{address}/file.bin")
    (served / "file.bin").write_bytes(CONTENT[:100])
    with pytest.raises(EnvironmentFailure, match="the downloaded file is not the published one"):
        read_checked(file)
    assert list((data_folder / "set").iterdir()) == []
    (served / "file.bin").write_bytes(CONTENT)
    assert read_checked(file) == CONTENT


def test_an_http_error_is_reported_with_its_status(data_folder: Path, server: tuple[str, Path]) -> None:
    with pytest.raises(EnvironmentFailure, match="the server responded with 404"):
        read_checked(_file(f"{server[0]}/file.bin"))


def test_an_unwritable_data_folder_is_reported(data_folder: Path, server: tuple[str, Path]) -> None:
    data_folder.write_text("not a folder")
    with pytest.raises(EnvironmentFailure, match=r"cannot write to the data folder .*DIGITS_DATA_DIR"):
        read_checked(_file(f"{server[0]}/file.bin"))


def test_without_a_network_the_error_says_what_to_put_where_and_what_works_offline(data_folder: Path) -> None:
    file = _file("http://127.0.0.1:9/file.bin")  # the discard port: connection refused
    with pytest.raises(EnvironmentFailure) as caught:
        read_checked(file)
    message = str(caught.value)
    assert "\n" not in message
    assert "could not download http://127.0.0.1:9/file.bin: no connection." in message
    assert str(data_folder / "set" / "file.bin") in message
    assert "--dataset sklearn-digits, which needs no network" in message


@pytest.mark.parametrize("name", ["file.bin", "file.bin.gz"])
def test_truncated_file_is_refused_in_one_line(data_folder: Path, name: str) -> None:
    (data_folder / "set").mkdir(parents=True)
    content = gzip.compress(CONTENT) if name.endswith(".gz") else CONTENT
    (data_folder / "set" / name).write_bytes(content[:-9])
    with pytest.raises(EnvironmentFailure, match=r"damaged|cannot read") as caught:
        read_checked(_file("http://127.0.0.1:9/"))
    assert str(data_folder / "set" / name) in str(caught.value)
    assert (data_folder / "set" / name).is_file()  # only users delete their files


def test_a_decompression_bomb_is_not_unpacked_whole(data_folder: Path) -> None:
    (data_folder / "set").mkdir(parents=True)
    (data_folder / "set" / "file.bin.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(EnvironmentFailure, match="350 of 350 bytes read"):
        read_checked(_file("http://127.0.0.1:9/"))
