"""A folder for what lives only as long as a sweep runs: Ray's sockets and logs, Tune's snapshots."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "digits-"
LOCK = "lock"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A private folder, removed at the end. What a killed process left behind is removed by the next one.

    The path is short, because a socket's name has room for 107 bytes. A lock, which the system frees when its
    owner dies, tells an abandoned folder from one in use.
    """
    parent = _parent()
    for folder in parent.glob(f"{PREFIX}*"):
        _remove_if_abandoned(folder)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with (folder / "lock.new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(lock.name, folder / LOCK)  # never seen unlocked
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parent() -> Path:
    short = Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it
    return short if short.is_dir() and os.access(short, os.W_OK) else Path(tempfile.gettempdir())


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a folder of ours whose owner is gone; leave one that is locked, foreign, or of another kind."""
    with contextlib.suppress(OSError), (folder / LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
