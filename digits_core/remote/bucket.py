"""A folder for runs elsewhere: s3://BUCKET/FOLDER, gs://..., az://..., or a plain folder, through obstore.

Credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL and their
like), never from the address, which is stored and printed.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits_core.errors import EnvironmentFailure, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,7}")
"""Names that are safe as local paths. Everything that this project writes has such a name."""

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/|$)(.*)")  # not a drive's letter
SCHEMES = ("s3", "gs", "az")
RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
CLIENT = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=60)}

Version = dict[str, Any]
"""What a conditional write compares: obstore's e_tag, or a generation."""


class Conflict(Exception):
    """Somebody else has written the file since it was read."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A file there."""

    content: bytes
    version: Version


def check_elsewhere(address: str) -> str:
    """The address without a trailing slash. Raises UsageError, which does not repeat it, if it could hold a secret."""
    match = URL.fullmatch(address)
    if not address.strip():
        raise UsageError("an address is s3://BUCKET/FOLDER, gs://..., az://... or a folder, not an empty text")
    if match is None:
        return str(Path(address).absolute())
    scheme, place = match.group(1).lower(), match.group(2).removeprefix("//").rstrip("/")
    if scheme not in SCHEMES:
        raise UsageError(f"an address is s3://BUCKET/FOLDER, gs://..., az://... or a folder, not {scheme}://")
    if not SAFE_NAME.fullmatch(place):
        raise UsageError(
            f"this {scheme}:// address does not name a folder in a bucket: use letters, digits, dots, dashes and"
            " underscores; credentials, region and endpoint come from the environment (AWS_ENDPOINT_URL, ...)"
        )
    return f"{scheme}://{place}"


class Bucket:
    """Every method raises EnvironmentFailure, in one line, if the place cannot be reached or refuses."""

    def __init__(self, address: str) -> None:
        self.address = check_elsewhere(address)
        self.folder = None if URL.fullmatch(self.address) else Path(self.address)
        with self._reaching():
            self.store = self._opened()

    def _opened(self) -> "ObjectStore":
        from obstore.store import LocalStore, from_url

        if self.folder is not None:
            return LocalStore(self.folder, mkdir=True) if self.folder.is_dir() else LocalStore()
        is_plain = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", "")).startswith("http://")
        return from_url(self.address, client_options={**CLIENT, "allow_http": is_plain}, retry_config=RETRIES)  # type: ignore[call-overload, no-any-return]

    def create(self) -> None:
        """Make the folder, if it is one on disk."""
        if self.folder is not None and not self.folder.is_dir():
            with self._reaching():
                self.folder.mkdir(parents=True, exist_ok=True)
                self.store = self._opened()

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise EnvironmentFailure(
                f"cannot use {self.address}: {_reason(error)}; check the address and the credentials in the environment"
            ) from error

    def read(self, name: str) -> Stored | None:
        """A file; None if it does not exist."""
        if self.folder is not None and not self.folder.is_dir():
            return None
        with self._reaching():
            try:
                found = self.store.get(name)
                meta = found.meta
                return Stored(content=bytes(found.bytes()), version=_version(meta))
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file. Readers see all of it or none."""
        with self._reaching():
            self.store.put(name, content)

    def write_if(self, name: str, content: bytes, known: Version | None) -> Version:
        """Write a file that is still in the version that we know; None: that does not exist.

        Returns its new version. Raises Conflict if somebody else has written it.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._reaching():
            try:
                if known is not None and self.folder is not None:
                    return self._replace_in_folder(name, content, known)
                written = self.store.put(name, content, mode="create" if known is None else known)  # type: ignore[arg-type]
            except (AlreadyExistsError, PreconditionError) as error:
                raise Conflict(name) from error
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                raise Conflict(name) from error
        return _version(written)

    def _replace_in_folder(self, name: str, content: bytes, known: Version) -> Version:
        """A file system has no conditional write: a lock beside the file makes it one."""
        from filelock import FileLock

        assert self.folder is not None
        with FileLock(self.folder / Path(name).parent / ".lock"):
            if _version(self.store.head(name)) != known:
                raise Conflict(name)
            return _version(self.store.put(name, content))

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; those that do not exist are passed over."""
        with self._reaching():
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self.store.delete(name)

    def names(self, under: str) -> list[str]:
        """The files in a folder, by path inside it. Leaves out names that are not safe as local paths."""
        with self._reaching():
            found = [meta["path"] for page in self.store.list(prefix=under) for meta in page]
        inside = (path.removeprefix(f"{under}/") for path in found)
        return sorted(name for name in inside if SAFE_NAME.fullmatch(name))

    def folders(self) -> list[str]:
        """The names of the folders in it."""
        if self.folder is not None and not self.folder.is_dir():
            raise EnvironmentFailure(f"there is no folder {self.folder}")
        with self._reaching():
            found = self.store.list_with_delimiter()["common_prefixes"]
        return sorted(name for name in found if SAFE_NAME.fullmatch(name))


def _version(meta: Any) -> Version:
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name) is not None}


def _reason(error: Exception) -> str:
    """The part of a long message that says what is wrong."""
    message = re.search(r"<Code>(\w+)</Code>\s*(?:<Message>([^<]*)</Message>)?", str(error))
    if message is not None:
        return f"{message.group(1)} ({message.group(2)})" if message.group(2) else message.group(1)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0].removesuffix(".")[:200]
