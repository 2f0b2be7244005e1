"""Where a worker keeps its trials: in the run's folder, or in one of its own from which it sends them to a bucket."""

import functools
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from digits_core.errors import EnvironmentFailure
from digits_core.records import Assignment
from digits_core.remote.local_copy import stamp_of
from digits_core.remote.object_store import ObjectStore, Stamp
from digits_core.runs.trial_folder import STATE, TIMEOUT_NOTE, TrialFolder, folder_name

T = TypeVar("T")
PATIENCE_SECONDS = 600.0


class TrialPlace(Protocol):
    """What a worker asks for. It travels to the workers' processes."""

    def settle(self) -> None:
        """Find a folder on this node. Raises EnvironmentFailure where there is none."""

    def open(self, assignment: Assignment) -> TrialFolder:
        """The folder of a trial that is about to begin, with what an earlier try of it left, and its parent's state."""

    def send(self) -> None:
        """Let the driver see what the trial has left so far. Called after every epoch."""


@dataclass(kw_only=True)
class SharedPlace:
    """The run's own folder, which all nodes share."""

    folder: Path

    def settle(self) -> None:
        """See TrialPlace."""
        if not self.folder.is_dir():
            raise EnvironmentFailure(
                f"{self.folder} is not on this node: --runs must be a folder that all nodes share, or s3://..."
            )

    def open(self, assignment: Assignment) -> TrialFolder:
        """See TrialPlace."""
        return TrialFolder(self.folder / folder_name(assignment.trial))

    def send(self) -> None:
        """See TrialPlace."""


@dataclass(kw_only=True)
class OwnPlace:
    """A folder of the worker's own, for one trial at a time. `prefix` is that of the run's trials in the store."""

    folder: Path
    store: ObjectStore
    prefix: str
    trial: TrialFolder | None = None
    sent: dict[str, Stamp] = field(default_factory=dict)  # how a file looked when it was sent

    def settle(self) -> None:
        """See TrialPlace."""
        if self.folder.parent.is_dir():
            self.folder.mkdir(exist_ok=True)
        else:  # another node than the driver's
            self.folder = Path(tempfile.mkdtemp(prefix="digits-trials-"))

    def open(self, assignment: Assignment) -> TrialFolder:
        """See TrialPlace."""
        trial = TrialFolder(self.folder / folder_name(assignment.trial))
        for earlier in filter(None, (self.trial, trial)):
            shutil.rmtree(earlier.folder, ignore_errors=True)
        self.trial, self.sent = trial, {}
        self._fetch(assignment.trial)
        if assignment.parent is not None:
            self._fetch(assignment.parent, only=STATE)
        return trial

    def _fetch(self, trial: int, only: str = "") -> None:
        for name in patiently(functools.partial(self.store.entries, f"{self.prefix}/{folder_name(trial)}")):
            if not only or name.endswith(f"/{only}"):
                target = self.folder / name.removeprefix(f"{self.prefix}/")
                patiently(functools.partial(self.store.fetch, name, target))

    def send(self) -> None:
        """See TrialPlace. What changed since the last time, the record of it last."""
        assert self.trial is not None
        for path in sorted(self.trial.folder.glob("[!.]*"), key=lambda path: (path.name == "progress.json", path.name)):
            stamp = stamp_of(path)
            if path.name != TIMEOUT_NOTE and self.sent.get(path.name) != stamp:
                name = f"{self.prefix}/{self.trial.folder.name}/{path.name}"
                patiently(functools.partial(self.store.write, name, path.read_bytes()))
                self.sent[path.name] = stamp


def own_trials(scratch: Path) -> Path:
    """Where workers on the driver's node keep what they send."""
    return scratch / "trials"


def patiently(action: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Do something with the store, again and again while it cannot be reached: a weekend has bad minutes.

    Raises EnvironmentFailure as the action does, once it has been away for so long.
    """
    deadline, pause = time.monotonic() + seconds, 1.0
    while True:
        try:
            return action()
        except EnvironmentFailure:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 30.0)
