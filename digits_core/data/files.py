"""Published data files: looked up where torchvision and UCI put them, downloaded if missing, always verified.

Packages that only a download needs are imported there: workers start faster, and an offline host can do without them.
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
    """A published file: its path, its checksum and where to download it."""

    path: str  # below data_folder(); a packed copy may be next to it as path + ".gz"
    sha256: str  # of the unpacked content
    byte_count: int
    url: str
    packed_md5: str | None = None  # of the .gz at `url`, if the publisher packs it


@dataclass(frozen=True, kw_only=True)
class PackedFile:
    """A published archive, verified without unpacking it."""

    path: str  # below data_folder()
    md5: str  # the only checksum that its publishers and torchvision give
    url: str


def cache_folder() -> Path:
    """The user's folder for files that can be downloaded or computed again."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("digits"))


def data_folder() -> Path:
    """Where data sets are read from and downloaded to: $DIGITS_DATA_DIR, or else the platform's user cache."""
    configured = os.environ.get("DIGITS_DATA_DIR")
    if configured:
        return Path(os.path.expanduser(configured))
    return cache_folder()


def is_at_hand(file: DataFile | PackedFile) -> bool:
    """Whether the file, or a packed copy, is in the data folder. Its content is not verified."""
    path = data_folder() / file.path
    return path.is_file() or _packed(path).is_file()


def _packed(path: Path) -> Path:
    return path.with_name(path.name + ".gz")


def checked_path(file: PackedFile) -> Path:
    """The path of an archive, downloaded if missing. Raises EnvironmentFailure unless it is the published file."""
    path = data_folder() / file.path
    if not path.is_file():
        _fetch(file.url, path, f"md5:{file.md5}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != file.md5:
        raise EnvironmentFailure(f"{path} is damaged or not the published file; delete it to have it downloaded again")
    return path


def read_checked(file: DataFile) -> bytes:
    """The content of a data file, downloaded if missing. Raises EnvironmentFailure unless it is the published file."""
    path = data_folder() / file.path
    source = path if path.is_file() or not _packed(path).is_file() else _packed(path)
    if not source.is_file():
        source = _download(file, path)
    try:
        with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as stream:
            content = stream.read(file.byte_count + 1)  # never more, however much a packed file unpacks to
    except (OSError, EOFError, zlib.error) as error:
        raise EnvironmentFailure(f"cannot read {source}: {error}; delete it to have it downloaded again") from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise EnvironmentFailure(
            f"{source} is damaged or not the published file ({min(len(content), file.byte_count):,} of"
            f" {file.byte_count:,} bytes read); delete it to have it downloaded again"
        )
    return content


def _download(file: DataFile, path: Path) -> Path:
    target = _packed(path) if file.packed_md5 else path
    _fetch(file.url, target, f"md5:{file.packed_md5}" if file.packed_md5 else f"sha256:{file.sha256}")
    return target


def _fetch(url: str, target: Path, known_hash: str) -> None:
    """Download under a temporary name, verify, then rename."""
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
            f"could not download {url}: {_download_problem(error)}. Put the file at {target} yourself"
            " (`digits doctor` lists all missing files), or use --dataset sklearn-digits, which needs no network"
        ) from error


def _download_problem(error: Exception) -> str:
    """Why a download failed, in a few words: the libraries' own messages run over many lines."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server responded with {error.response.status_code}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, requests.RequestException):
        return type(error).__name__
    if isinstance(error, OSError):
        return f"cannot write to the data folder ({error.strerror or 'no access'}); name another with DIGITS_DATA_DIR"
    return "the downloaded file is not the published one"
