"""One driver per run: a lock that names its owner and that the operating system frees when the owner dies."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from digits_core.errors import UsageError
from digits_core.runs.durable import check_regular

FILE_NAME = "driver.lock"
SECONDS_TO_WAIT = 0.25  # `is_running` in another process holds the lock for a moment too


@contextlib.contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Hold a run's folder. Raises UsageError, naming the owner, if another process holds it.

    Once the owner is killed or its machine dies the lock is free, whatever the file says.
    """
    check_regular(folder / FILE_NAME)
    lock = FileLock(folder / FILE_NAME, timeout=SECONDS_TO_WAIT)
    try:
        lock.acquire()
    except Timeout:
        raise _running(folder) from None
    try:
        owner = {"process": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        (folder / FILE_NAME).write_text(json.dumps(owner), encoding="utf-8")
        yield
    finally:
        lock.release()


def check_free(folder: Path) -> None:
    """Raise UsageError, naming the owner, if a driver holds the run's folder."""
    if is_running(folder):
        raise _running(folder)


def is_running(folder: Path) -> bool:
    """Whether a driver holds the run now. Shares the lock, which FileLock cannot: whoever may read the run may ask."""
    path = folder / FILE_NAME
    check_regular(path)
    if not path.exists():
        return False
    with contextlib.suppress(OSError), path.open("r", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _running(folder: Path) -> UsageError:
    """Return (not raise) the error that names the owner."""
    return UsageError(f"{folder.name!r} is running: {_owner(folder)}; wait for it or stop it")


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
        return f"process {owner['process']} on {owner['host']} has held it since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process holds it"
