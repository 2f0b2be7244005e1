"""A folder in an object store (s3://BUCKET/FOLDER), through pyarrow's filesystems.

Credentials come from the environment (AWS_ACCESS_KEY_ID and so on, ~/.aws, a machine's role), never from the URL, which
is stored and printed. A store other than Amazon's is named in the URL: ?endpoint_override=host:port&scheme=http.
"""

import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.runs.durable import write_atomically

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: two states of a file differ in their stamps."""

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,7}")
"""Names that are safe as local paths. Everything that this project writes has such a name."""


SECONDS_TO_CONNECT, SECONDS_TO_ANSWER = 10, 60  # per try, of a few; a store that never responds must not hang us
OPTIONS = {"region": r"[a-z0-9-]+", "endpoint_override": r"[A-Za-z0-9.-]+(:\d+)?", "scheme": "https?"}


def url_of(runs: Path) -> str | None:
    """The URL of a `--runs` value, None for a folder. As a Path the value has lost one slash of `s3://`.

    Raises UsageError for a malformed or unsupported URL.
    """
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", str(runs))
    if match is None:
        return None
    scheme, rest = match.groups()
    if scheme.lower() != "s3":
        raise UsageError(f"--runs takes a folder or s3://BUCKET/FOLDER, not {scheme}://")
    place, _, query = rest.partition("?")
    bucket, _, folder = place.strip("/").partition("/")
    if not SAFE_NAME.fullmatch(bucket) or not SAFE_NAME.fullmatch(folder):
        raise UsageError(
            "--runs s3://... does not name a folder in a bucket: write s3://BUCKET/FOLDER, using letters, digits, dots,"
            " dashes and underscores (credentials are taken from the environment)"
        )
    for option in filter(None, query.split("&")):  # refuse anything that could hold a secret
        name, _, value = option.partition("=")
        if name not in OPTIONS or not re.fullmatch(OPTIONS[name], value):
            raise UsageError(
                "--runs s3://...?: after the question mark only region=NAME, endpoint_override=HOST:PORT and"
                " scheme=http are allowed, joined by & (credentials are taken from the environment)"
            )
    return f"s3://{bucket}/{folder}" + (f"?{query}" if query else "")


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """One folder in a bucket. Every method raises EnvironmentFailure if the store cannot be reached or refuses."""

    url: str

    @functools.cached_property
    def _place(self) -> "tuple[FileSystem, str]":
        from pyarrow.fs import S3FileSystem, resolve_s3_region

        place, _, query = self.url.removeprefix("s3://").partition("?")
        options = dict(option.split("=", 1) for option in query.split("&") if option)
        with self._reaching():
            if "region" not in options and "endpoint_override" not in options:
                options["region"] = resolve_s3_region(place.partition("/")[0])
            system = S3FileSystem(connect_timeout=SECONDS_TO_CONNECT, request_timeout=SECONDS_TO_ANSWER, **options)
        return system, place.strip("/")

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # pyarrow's errors derive from these
            raise EnvironmentFailure(
                f"cannot use {self.url}: {_reason(error)}; check the address and the credentials in the environment"
            ) from error

    def entries(self, under: str = "") -> dict[str, Stamp]:
        """All files in the folder, or in `under` inside it, by path. Skips names that are not safe as local paths."""
        from pyarrow.fs import FileSelector, FileType

        system, base = self._place
        with self._reaching():
            found = system.get_file_info(
                FileSelector(f"{base}/{under}".rstrip("/"), recursive=True, allow_not_found=True)
            )
            bucket = base.partition("/")[0]
            if not found and system.get_file_info(bucket).type == FileType.NotFound:  # a missing one lists as empty
                raise FileNotFoundError(f"there is no bucket {bucket}")
        files = {info.path.removeprefix(f"{base}/"): info for info in found if info.type == FileType.File}
        return {name: (info.size, info.mtime_ns or 0) for name, info in files.items() if SAFE_NAME.fullmatch(name)}

    def read(self, name: str) -> bytes | None:
        """A file's content; None if it does not exist."""
        system, base = self._place
        with self._reaching():
            try:
                with system.open_input_file(f"{base}/{name}") as stream:
                    content: bytes = stream.read()
            except FileNotFoundError:
                return None
        return content

    def fetch(self, name: str, target: Path) -> bool:
        """Download a file, complete or not at all. Returns whether it exists."""
        content = self.read(name)
        if content is None:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content, durable=False)
        return True

    def write(self, name: str, content: bytes) -> None:
        """Upload a file. Readers see all of it or none."""
        system, base = self._place
        with self._reaching(), system.open_output_stream(f"{base}/{name}") as stream:
            stream.write(content)

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        system, base = self._place
        with self._reaching(), contextlib.suppress(FileNotFoundError):
            system.delete_file(f"{base}/{name}")


def _reason(error: Exception) -> str:
    """The part of Arrow's long messages that says what is wrong."""
    match = re.search(r"AWS Error ([A-Z_0-9]+) during \w+ operation: (?:curlCode: \d+, )?([^;(]*)", str(error))
    if match is None:
        return str(error).splitlines()[0]
    kind, words = match.group(1).replace("_", " ").lower(), match.group(2).strip(" .")
    return f"{kind} ({words})" if words else kind
