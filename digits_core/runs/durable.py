"""Files that are read back complete or not at all, and the error that says what to do about a damaged one."""

import contextlib
import io
import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import CLASS_COUNT
from digits_core.errors import EnvironmentFailure

T = TypeVar("T")
Content = npt.NDArray[np.uint8]
"""A file's content as an array: Ray takes four times as long for four megabytes of `bytes`."""
UMASK = os.umask(0o077)  # it can only be read by setting it
os.umask(UMASK)
LARGEST_GAP = 1e-3  # how far an image's probabilities may sum from one; single precision stays well below


def write_atomically(path: Path, content: bytes | Content, *, durable: bool = True) -> None:
    """Write under a temporary name in the same folder, sync, rename: readers see the old file or all of the new one.

    With `durable=False` it is not synced: a crash of the machine may lose it.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
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


def read_array(path: Path) -> npt.NDArray[Any]:
    """Read an .npy file; never unpickles. Raises EnvironmentFailure if it is missing or damaged."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise unusable(path, error) from error
    return array


def read_labels(path: Path) -> npt.NDArray[np.int64]:
    """Labels, (N,). Raises EnvironmentFailure unless they are digits."""
    array = read_array(path)
    if array.ndim != 1 or array.dtype != np.uint8 or not array.size or int(array.max()) >= CLASS_COUNT:
        raise unusable(path, "it should hold the digits 0 to 9")
    return array.astype(np.int64)


def read_probabilities(path: Path, count: int) -> npt.NDArray[np.float32]:
    """Probabilities, (count, 10). Raises EnvironmentFailure for another shape or values that are not probabilities."""
    array = read_array(path)
    if array.shape != (count, CLASS_COUNT) or array.dtype != np.float32 or not np.isfinite(array).all():
        raise unusable(path, f"it should hold {count:,} x {CLASS_COUNT} probabilities")
    if array.min() < 0 or np.abs(array.sum(axis=1) - 1).max() > LARGEST_GAP:
        raise unusable(path, "its probabilities do not sum to one")
    return array


def read_json(path: Path, build: Callable[[Any], T]) -> T:
    """Read a JSON file and build a value from it. Raises EnvironmentFailure if it is missing, damaged or foreign."""
    check_regular(path)
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise unusable(path, error) from error


def unusable(path: Path, reason: object) -> EnvironmentFailure:
    """Return (not raise) the error for a damaged file of a run, with what to do about it."""
    if path.name == "test.npy":
        remedy = "delete it: it is computed again when the test set is next opened for that trial"
    elif path.parent.parent.name == "trials":
        remedy = f"delete the folder {path.parent} to continue without that trial"
    elif path.name.startswith("ensemble"):
        remedy = f"delete {path.with_name('ensemble.json')} and run `digits ensemble` again"
    elif path.name == "summary.json":
        remedy = "delete it: it only says how long the sweep took"
    elif path.name == "journal.jsonl":
        remedy = (
            "restore it from a copy, or start a new sweep with --start-from this one; its finished trials can still be"
            " combined and reported on"
        )
    else:
        remedy = f"restore it from a copy, or delete the folder {path.parent} and run the sweep again"
    return EnvironmentFailure(f"cannot use {path} ({reason}); {remedy}")
