"""A temporary folder for as long as a sweep runs: Ray's sockets and logs, Tune's snapshots."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "digits-"
LOCK = ".digits-scratch-lock"
MARK = "Scratch folder of a digits sweep; the next sweep removes it once nobody holds this lock.\n"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A private folder, removed at the end. If the process is killed, the next sweep removes it.

    The path is short, because a socket's path may have at most 107 bytes. A lock tells an abandoned folder from one
    in use: the system releases it when its owner dies.
    """
    parent = _parent()
    for folder in parent.glob(f"{PREFIX}*"):
        _remove_if_abandoned(folder)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with (folder / "new-lock").open("w", encoding="utf-8") as lock:
            lock.write(MARK)
            lock.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(lock.name, folder / LOCK)  # renamed once locked, so that nobody sees it unlocked
            yield folder
    finally:
        _remove(folder)


def _parent() -> Path:
    short = Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it
    return short if short.is_dir() and os.access(short, os.W_OK) else Path(tempfile.gettempdir())


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a folder whose owner is gone. Leave folders that are locked or that no sweep of this user made."""
    with contextlib.suppress(OSError, UnicodeDecodeError), (folder / LOCK).open("r+", encoding="utf-8") as lock:
        if lock.read(len(MARK) + 1) == MARK and folder.stat().st_uid == os.getuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove the folder, its lock last: if this is interrupted, the next sweep still recognises the folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
