"""Published data files: found where torchvision and UCI lay them out, downloaded if missing, always checked.

What only a download needs is imported there: workers start faster, and a host without a network needs none of it.
"""

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from digits_core.errors import EnvironmentFailure


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One published file: where it lies, what it must contain, where it comes from."""

    path: str  # below data_folder(); a packed copy may lie beside it as path + ".gz"
    sha256: str  # of the unpacked content
    byte_count: int
    url: str
    packed_md5: str | None = None  # of the .gz at `url`, where the publisher packs it


@dataclass(frozen=True, kw_only=True)
class PackedFile:
    """One published archive, which is checked as it is published."""

    path: str  # below data_folder()
    md5: str  # the only checksum that its publishers and torchvision give
    url: str


def cache_folder() -> Path:
    """Where what can be had again is kept for this user."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("digits"))


def data_folder() -> Path:
    """Where data sets are read from and downloaded to: $DIGITS_DATA_DIR, else the platform's user cache."""
    configured = os.environ.get("DIGITS_DATA_DIR")
    if configured:
        return Path(os.path.expanduser(configured))
    return cache_folder()


def is_at_hand(file: DataFile | PackedFile) -> bool:
    """Whether the file, or its packed form, lies in the data folder (its content is not checked)."""
    path = data_folder() / file.path
    return path.is_file() or _packed(path).is_file()


def _packed(path: Path) -> Path:
    return path.with_name(path.name + ".gz")


def checked_path(file: PackedFile) -> Path:
    """Where an archive lies, downloaded if it is missing, and only if it is what was published."""
    path = data_folder() / file.path
    if not path.is_file():
        _fetch(file.url, path, f"md5:{file.md5}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != file.md5:
        raise EnvironmentFailure(f"{path} is damaged or not the published file; delete it to have it downloaded again")
    return path


def read_checked(file: DataFile) -> bytes:
    """The content of a data file, downloaded if it is missing, and only if it is the published content."""
    path = data_folder() / file.path
    source = path if path.is_file() or not _packed(path).is_file() else _packed(path)
    if not source.is_file():
        source = _download(file, path)
    try:
        with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as stream:
            content = stream.read(file.byte_count + 1)  # never more, whatever a packed file claims
    except (OSError, EOFError, zlib.error) as error:
        raise EnvironmentFailure(f"cannot read {source}: {error}; delete it to have it downloaded again") from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise EnvironmentFailure(
            f"{source} is damaged or not the published file ({min(len(content), file.byte_count):,} of"
            f" {file.byte_count:,} bytes could be used); delete it to have it downloaded again"
        )
    return content


def _download(file: DataFile, path: Path) -> Path:
    target = _packed(path) if file.packed_md5 else path
    _fetch(file.url, target, f"md5:{file.packed_md5}" if file.packed_md5 else f"sha256:{file.sha256}")
    return target


def _fetch(url: str, target: Path, known_hash: str) -> None:
    """Under a temporary name, checked, then renamed."""
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(
            url,
            known_hash=known_hash,
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=30),
        )
    except (requests.RequestException, OSError, ValueError) as error:
        raise EnvironmentFailure(
            f"could not fetch {url}: {_download_problem(error)}. Put that file at {target} by hand"
            " (`digits doctor` lists all that are missing), or use --dataset sklearn-digits, which needs no network"
        ) from error


def _download_problem(error: Exception) -> str:
    """Why a download failed, in a few words: the libraries' own texts run over many lines."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, requests.RequestException):
        return type(error).__name__
    if isinstance(error, OSError):
        return f"cannot write there ({error.strerror})"
    return "what arrived is not the published file"
