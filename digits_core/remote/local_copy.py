"""The local side of a mirror: its files, its notes of what was known when both sides were the same, its lock."""

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
    """A runs folder whose `.mirror` says whose copy it is."""

    folder: Path

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time looks through a copy. Raises EnvironmentFailure where another does for too long."""
        deadline = time.monotonic() + SECONDS_TO_WAIT
        with (self.folder / ".mirror" / "lock").open("a") as stream:
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise EnvironmentFailure(
                            f"another command has been at work on the local copy {self.folder} for"
                            f" {SECONDS_TO_WAIT:.0f} s; wait for it, or end it"
                        ) from None
                    time.sleep(0.02)
            yield

    def is_held(self, run: str) -> bool:
        """Whether a process of this machine is at work on a run, or on one inside it."""
        folder = self.folder / run
        return any(is_held_here(lock.parent) for lock in (folder / LOCK_NAME, *folder.glob(f"*/{LOCK_NAME}")))

    def stamps(self, run: str) -> Stamps:
        """How the files of a run look, by their path in this folder; those that are of this machine alone left out."""
        stamps = {}
        for path in (self.folder / run).rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if path.name not in STAYS_HERE and SAFE_NAME.fullmatch(name) and path.is_file():
                with contextlib.suppress(FileNotFoundError):
                    stamps[name] = stamp_of(path)
        return stamps

    def runs(self) -> list[str]:
        """Folders that could be runs."""
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and SAFE_NAME.fullmatch(path.name))

    def known_runs(self) -> list[str]:
        """Runs of which something is noted."""
        return [path.stem for path in (self.folder / ".mirror").glob("runs/*.json")]

    def known(self, run: str) -> Known:
        """What is noted of a run."""
        return read_known(self._manifest(run), run)

    def keep_known(self, run: str, known: Known) -> None:
        """Note it. A run of which nothing is known and nothing here goes altogether."""
        if known:
            self._manifest(run).parent.mkdir(exist_ok=True)
            write_atomically(self._manifest(run), json.dumps(known).encode(), durable=False)
            return
        self.forget(run)
        if not any(path.is_file() and path.name != LOCK_NAME for path in (self.folder / run).rglob("*")):
            shutil.rmtree(self.folder / run, ignore_errors=True)  # removed elsewhere: empty folders are left

    def forget(self, run: str) -> None:
        """Note nothing of a run any more."""
        self._manifest(run).unlink(missing_ok=True)

    def _manifest(self, run: str) -> Path:
        return self.folder / ".mirror" / "runs" / f"{run}.json"

    def aside(self, path: str) -> Path:
        """Where a version of a file is kept that another one takes the place of."""
        target = self.folder / ".mirror" / "aside" / time.strftime("%Y%m%d-%H%M%S") / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def stamp_of(path: Path) -> Stamp:
    """How a file looks now."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
