"""Files that are read back complete or not at all, and the error that says what to do about a damaged one."""

import contextlib
import fcntl
import glob
import hashlib
import io
import json
import math
import os
import stat
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from packaging.version import Version

from digits_core.data.arrays import npy_header
from digits_core.data.digits import CLASS_COUNT
from digits_core.errors import EnvironmentFailure, shortened
from digits_core.stored import UnknownField, from_json

T = TypeVar("T")
Content = npt.NDArray[np.uint8]
"""A file's content as an array: Ray takes four times as long for four megabytes of `bytes`."""
UMASK = os.umask(0o077)  # it can only be read by setting it
os.umask(UMASK)
PART = ".digits-part"  # ends the name of a file that is being written
SECONDS_TO_LOCK = 1.0  # from making a file to locking it
MOST_IMAGES = 2**40  # in a data set: no position is larger
LARGEST_GAP = 1e-3  # how far an image's probabilities may sum from one; single precision stays well below


def as_utf8(text: str) -> bytes:
    """UTF-8. What is no character, such as a byte in the name of a file, becomes a question mark."""
    return text.encode("utf-8", "replace")


def write_atomically(path: Path, content: bytes | Content, *, durable: bool = True) -> None:
    """Write under a temporary name in the same folder, sync, rename: readers see the old file or all of the new one.

    With `durable=False` it is not synced: a crash of the machine may lose it.
    """
    _remove_leftovers(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
    try:
        with os.fdopen(handle, "wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(content.data if isinstance(content, np.ndarray) else content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~UMASK)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error  # name the target, not the temporary file
        raise


def write_output(path: Path, content: bytes) -> None:
    """Write a file that --output names, and its folder. Raises EnvironmentFailure if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror}; write it elsewhere with --output") from error


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes have left of a file that they were writing. Whoever still writes holds a lock."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{PART}"):
        with contextlib.suppress(OSError):
            handle = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(handle).st_mtime > SECONDS_TO_LOCK:
                    leftover.unlink()


def check_regular(path: Path) -> None:
    """Raise EnvironmentFailure if this is a link, a pipe or a device: a run one was sent must not lead elsewhere."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # whoever opens it says why
    if not stat.S_ISREG(mode):
        raise EnvironmentFailure(f"{path} is not a regular file; replace it with one")


def opened_for_appending(path: Path) -> io.BufferedRandom:
    """Open a file to read and append to. Raises EnvironmentFailure if it is a link, a pipe or a device."""
    check_regular(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o666), "a+b")


def sync(path: Path) -> None:
    """Return once the file or folder is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def json_bytes(value: Any) -> bytes:
    """A JSON document with a final newline. Raises ValueError for NaN and infinity."""
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def array_bytes(array: npt.NDArray[Any]) -> bytes:
    """The content of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    write_atomically(path, array_bytes(array))


def read_array(path: Path, expected: str | None = None) -> npt.NDArray[Any]:
    """Read an .npy file, opened once; never unpickles. The array cannot be written to. expected: the file's checksum.

    Raises EnvironmentFailure if it is missing or damaged, or has another checksum.
    """
    content = read_vouched(path, expected)
    try:
        stream = io.BytesIO(content)
        shape, is_transposed, dtype = npy_header(stream)
        if min(shape, default=0) < 0:
            raise ValueError("a negative length")  # noqa: TRY301 - reported like what numpy raises
        # Fails for objects, and where the header claims more than there is.
        flat = np.frombuffer(content, dtype, math.prod(shape), stream.tell())
        return flat.reshape(shape, order="F" if is_transposed else "C")
    except Exception as error:  # numpy evaluates the header as Python: it raises a dozen kinds of errors
        raise unusable(path, "it is not an array file, or is cut off") from error


def read_indices(path: Path, count: int) -> npt.NDArray[np.int64]:
    """Positions of `count` images in a data set, (count,). Raises EnvironmentFailure for anything else."""
    array = read_array(path)
    is_sound = array.shape == (count,) and array.dtype.kind in "iu" and count and int(array.min()) >= 0
    if not is_sound or len(np.unique(array)) < count or int(array.max()) > MOST_IMAGES:
        raise unusable(path, f"it should hold the positions of {count:,} images")
    return array.astype(np.int64)


def read_labels(path: Path) -> npt.NDArray[np.int64]:
    """Labels, (N,). Raises EnvironmentFailure unless they are digits."""
    array = read_array(path)
    if array.ndim != 1 or array.dtype != np.uint8 or not array.size or int(array.max()) >= CLASS_COUNT:
        raise unusable(path, "it should hold the digits 0 to 9")
    return array.astype(np.int64)


def checksum(content: bytes | Content) -> str:
    """The SHA-256 of a file's content."""
    return hashlib.sha256(content.data if isinstance(content, np.ndarray) else content).hexdigest()


def read_vouched(path: Path, expected: str | None) -> bytes:
    """The content of a file. Raises EnvironmentFailure unless its checksum is the `expected` one, if there is one."""
    check_regular(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unusable(path, error) from error
    if expected is not None and checksum(content) != expected:
        raise unusable(path, "it is not what was stored here: its checksum differs from its record's")
    return content


def read_probabilities(path: Path, count: int, expected: str | None = None) -> npt.NDArray[np.float32]:
    """Probabilities, (count, 10). expected: the file's checksum.

    Raises EnvironmentFailure for another shape, values that are not probabilities, or another checksum.
    """
    array = read_array(path, expected)
    if array.shape != (count, CLASS_COUNT) or array.dtype != np.float32 or not np.isfinite(array).all():
        raise unusable(path, f"it should hold {count:,} x {CLASS_COUNT} probabilities")
    if array.min() < 0 or np.abs(array.sum(axis=1) - 1).max() > LARGEST_GAP:
        raise unusable(path, "its probabilities do not sum to one")
    return array


def read_json(path: Path, kind: type[T], *, besides: Iterable[str] = ()) -> T:
    """Read a value from a JSON file. Raises EnvironmentFailure if it is missing, damaged or does not fit.

    besides: see digits_core.stored.from_json.
    """
    check_regular(path)
    try:
        return from_json(kind, path.read_bytes(), besides=besides)
    except (OSError, ValueError) as error:
        raise unusable(path, error) from error


def read_json_if_any(path: Path, kind: type[T]) -> T | None:
    """Like `read_json`; None if there is nothing of this name."""
    return read_json(path, kind) if os.path.lexists(path) else None


def unusable(path: Path, reason: object) -> EnvironmentFailure:
    """Return (not raise) the error for a damaged file of a run, with what to do about it."""
    newer = _newer_version(path)
    if newer or isinstance(reason, UnknownField):
        remedy = f"it is from a newer version of digits{newer}: update digits to read it"
    elif path.name == "test.npy":
        remedy = "delete it: it is computed again when the test set is next opened for that trial"
    elif path.parent.parent.name == "trials":
        remedy = f"restore it from a copy, or move the folder {path.parent} elsewhere to continue without that trial"
    elif path.name.startswith("ensemble"):
        remedy = "run `digits ensemble` again: it replaces it"
    elif path.name == "summary.json":
        remedy = "delete it: it only says how long the sweep took"
    elif path.name == "transfer.json":
        remedy = "run `digits transfer` again: it replaces it"
    elif path.name == "journal.jsonl":
        remedy = (
            "restore it from a copy, or start a new sweep with --start-from this one; its finished trials can still be"
            " combined and reported on"
        )
    else:
        remedy = f"restore it from a copy; without one, move {path.parent} elsewhere and run the sweep again"
    return EnvironmentFailure(f"cannot use {path} ({shortened(str(reason))}); {remedy}")


def _newer_version(path: Path) -> str:
    """The version of digits that wrote the file's run, if it is newer than this one and says so; else empty."""
    for folder in list(path.parents)[:4]:
        try:
            written_by = msgspec.json.decode((folder / "sweep.json").read_bytes())["versions"]["digits"]
            if Version(written_by) > Version(version("digits")):
                return f" ({written_by}; this is {version('digits')})"
        except (OSError, ValueError, LookupError, TypeError, RecursionError, msgspec.MsgspecError):
            continue
    return ""
