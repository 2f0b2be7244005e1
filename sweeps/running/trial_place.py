"""Where a worker keeps its trials: in the run's folder, or in a folder of its own that it uploads to a bucket."""

import functools
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from typing_extensions import override

from digits_core.errors import EnvironmentFailure
from digits_core.records import Assignment
from digits_core.remote.local_copy import stamp_of
from digits_core.remote.object_store import ObjectStore, Stamp
from digits_core.runs.trial_folder import STATE, TIMEOUT_NOTE, TrialFolder, folder_name

T = TypeVar("T")
PATIENCE_SECONDS = 600.0


class TrialPlace(Protocol):
    """Opens a worker's trial folders. Pickled and passed to the workers' processes."""

    def settle(self) -> None:
        """Find or make a folder on this node. Raises EnvironmentFailure if there isn't one."""

    def open(self, assignment: Assignment) -> TrialFolder:
        """The folder of a trial that is about to start, with the files of an earlier attempt and its parent's state."""

    def send(self) -> None:
        """Make the trial's files available to the driver. Called after every epoch."""


@dataclass(kw_only=True)
class SharedPlace(TrialPlace):
    """The run's own folder, which all nodes share."""

    folder: Path

    @override
    def settle(self) -> None:
        if not self.folder.is_dir():
            raise EnvironmentFailure(
                f"{self.folder} is not on this node: --runs must be a folder that all nodes share, or s3://..."
            )

    @override
    def open(self, assignment: Assignment) -> TrialFolder:
        return TrialFolder(self.folder / folder_name(assignment.trial))

    @override
    def send(self) -> None:
        """Nothing to do: the driver sees the same folder."""


@dataclass(kw_only=True)
class OwnPlace(TrialPlace):
    """The worker's own folder, for one trial at a time. `prefix` is the path of the run's trials in the store."""

    folder: Path
    store: ObjectStore
    prefix: str
    trial: TrialFolder | None = None
    sent: dict[str, Stamp] = field(default_factory=dict)  # by file name, as of the last upload

    @override
    def settle(self) -> None:
        if self.folder.parent.is_dir():
            self.folder.mkdir(exist_ok=True)
        else:  # not the driver's node
            self.folder = Path(tempfile.mkdtemp(prefix="digits-trials-"))

    @override
    def open(self, assignment: Assignment) -> TrialFolder:
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

    @override
    def send(self) -> None:
        """Upload the files that have changed since the last call, the trial's progress last."""
        assert self.trial is not None
        for path in sorted(self.trial.folder.glob("[!.]*"), key=lambda path: (path.name == "progress.json", path.name)):
            stamp = stamp_of(path)
            if path.name != TIMEOUT_NOTE and self.sent.get(path.name) != stamp:
                name = f"{self.prefix}/{self.trial.folder.name}/{path.name}"
                patiently(functools.partial(self.store.write, name, path.read_bytes()))
                self.sent[path.name] = stamp


def own_trials(scratch: Path) -> Path:
    """Where workers on the driver's node keep the trials that they upload."""
    return scratch / "trials"


def patiently(action: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Run `action`, and retry it while the store is unreachable: the network may fail for minutes in a long sweep.

    Raises the action's own EnvironmentFailure once `seconds` have passed.
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
