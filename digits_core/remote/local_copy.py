"""The local side of a mirror: its files, its notes of the state when both sides last agreed, its lock."""

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from digits_core.errors import EnvironmentFailure
from digits_core.remote.mirror_rules import STAYS_HERE, Known, Stamps, read_known
from digits_core.remote.object_store import SAFE_NAME, Stamp
from digits_core.runs.durable import write_atomically
from digits_core.runs.ownership import FILE_NAME as LOCK_NAME
from digits_core.runs.ownership import is_held_here

SECONDS_TO_WAIT = 60.0


@dataclass(frozen=True, kw_only=True)
class LocalCopy:
    """A runs folder whose `.mirror` folder says what it is a copy of."""

    folder: Path

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the copy's lock: one process at a time. Raises EnvironmentFailure if another holds it for too long."""
        deadline = time.monotonic() + SECONDS_TO_WAIT
        with (self.folder / ".mirror" / "lock").open("a") as stream:
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise EnvironmentFailure(
                            f"another command has been using the local copy {self.folder} for"
                            f" {SECONDS_TO_WAIT:.0f} s; wait for it or stop it"
                        ) from None
                    time.sleep(0.02)
            yield

    def is_held(self, run: str) -> bool:
        """Whether a process on this machine drives a run, or one inside it."""
        folder = self.folder / run
        return any(is_held_here(lock.parent) for lock in (folder / LOCK_NAME, *folder.glob(f"*/{LOCK_NAME}")))

    def stamps(self, run: str) -> Stamps:
        """The stamps of a run's files, by path in this folder, without files that are never uploaded."""
        stamps = {}
        for path in (self.folder / run).rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if path.name not in STAYS_HERE and SAFE_NAME.fullmatch(name) and path.is_file():
                with contextlib.suppress(FileNotFoundError):
                    stamps[name] = stamp_of(path)
        return stamps

    def runs(self) -> list[str]:
        """Names of the folders that could be runs."""
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and SAFE_NAME.fullmatch(path.name))

    def known_runs(self) -> list[str]:
        """Names of the runs that have notes."""
        return [path.stem for path in (self.folder / ".mirror").glob("runs/*.json")]

    def known(self, run: str) -> Known:
        """A run's notes."""
        return read_known(self._manifest(run), run)

    def keep_known(self, run: str, known: Known) -> None:
        """Write a run's notes. Without notes and files, the run's folder is deleted."""
        if known:
            self._manifest(run).parent.mkdir(exist_ok=True)
            write_atomically(self._manifest(run), json.dumps(known).encode(), durable=False)
            return
        self.forget(run)
        if not any(path.is_file() and path.name != LOCK_NAME for path in (self.folder / run).rglob("*")):
            shutil.rmtree(self.folder / run, ignore_errors=True)  # it was removed elsewhere; only empty folders remain

    def forget(self, run: str) -> None:
        """Delete a run's notes."""
        self._manifest(run).unlink(missing_ok=True)

    def _manifest(self, run: str) -> Path:
        return self.folder / ".mirror" / "runs" / f"{run}.json"

    def aside(self, path: str) -> Path:
        """Where to move a version of a file that is about to be replaced; creates the folder."""
        target = self.folder / ".mirror" / "aside" / time.strftime("%Y%m%d-%H%M%S") / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def stamp_of(path: Path) -> Stamp:
    """A file's present stamp."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
