"""One driver per run: a lock that names its owner and that the operating system frees when the owner dies."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from digits_core.errors import UsageError
from digits_core.runs.claims import claim_from_elsewhere

FILE_NAME = "driver.lock"
TRIES = 5


@contextlib.contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Hold a run's folder. Raises UsageError, naming the owner, if another process holds it.

    Once the owner is killed or its machine dies the lock is free, whatever the file says. The file is never deleted: a
    lock on a file that another process may delete protects nothing.
    """
    with (folder / FILE_NAME).open("a+", encoding="utf-8") as stream:
        if not _locked(stream):
            raise _running(folder)
        stream.truncate(0)
        json.dump({"process": os.getpid(), "host": socket.gethostname(), "since": time.time()}, stream)
        stream.flush()
        yield


def _locked(stream: IO[str]) -> bool:
    """Try to take the lock, a few times: `is_held_here` in another process holds it for a moment too."""
    for _ in range(TRIES):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def check_free(folder: Path) -> None:
    """Raise UsageError, naming the owner, if a driver holds the run's folder."""
    if is_running(folder):
        raise _running(folder)


def is_running(folder: Path) -> bool:
    """Whether a driver holds the run now, in this folder or in another copy of it."""
    return is_held_here(folder) or claim_from_elsewhere(folder) is not None


def is_held_here(folder: Path) -> bool:
    """Whether a process on this machine holds this very folder."""
    path = folder / FILE_NAME
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
    claim = claim_from_elsewhere(folder)
    if claim is not None:
        return claim.words()
    try:
        owner = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
        return f"process {owner['process']} on {owner['host']} has held it since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process holds it"
