"""A run whose folder lies in an object store: its driver sends it along, its workers send their trials.

Workers and driver share no folder then. A worker trains in one of its own, sends what changed after every epoch, and
the driver brings a trial here when it is over. All else of the run is the driver's, which sends it every few seconds.
"""

import contextlib
import functools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from digits_core.claims import FILE_NAME, Claim, claim_in
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.mirror import Mirror, TakenUp
from digits_core.object_store import ObjectStore
from digits_core.records import Assignment
from digits_core.trial_folder import STATE, TIMEOUT_NOTE, TrialFolder, folder_name
from sweeps.ray_session import SearchEnded

T = TypeVar("T")
SECONDS_BETWEEN_SENDS = 5.0
SECONDS_BETWEEN_SIGNS = 20.0
SECONDS_TO_OBJECT = 2.0
"""Of two drivers that claim a run at the same moment the later write stays: each looks again after so long."""
PATIENCE_SECONDS = 600.0
WAIT_FOR_THE_END = ("study.db", "report.html")  # a database is whole only when it is closed


def patiently(action: Callable[[], T]) -> T:
    """Do something with the store, again and again while it cannot be reached: a weekend has bad minutes.

    Raises EnvironmentFailure as the action does, once it has been away for PATIENCE_SECONDS.
    """
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, 1.0
    while True:
        try:
            return action()
        except EnvironmentFailure:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 30.0)


class RemoteRun:
    """The driver's side."""

    def __init__(self, mirror: Mirror, folder: Path, scratch: Path) -> None:
        self.mirror, self.folder, self.scratch = mirror, folder, scratch
        self.name = folder.relative_to(mirror.folder).as_posix()
        self.claim = Claim.new(mirror.copy, claim_in(folder))
        self.lost = ""  # why this driver may not go on
        self.shown_at = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._send_along, name="sends the run", daemon=True)

    def begin(self) -> None:
        """Claim the run, for all to see, and send it. Raises UsageError where another driver was faster."""
        theirs = self._claim_there()
        if theirs is not None and theirs.lives and theirs.copy != self.mirror.copy:
            raise self._running(theirs)
        self._show_life()
        time.sleep(SECONDS_TO_OBJECT)
        theirs = self._claim_there()
        if theirs is not None and theirs.token != self.claim.token:
            raise self._running(theirs)
        self._send()
        self.thread.start()

    def _claim_there(self) -> Claim | None:
        return Claim.parse(self.mirror.store.read(f"{self.name}/{FILE_NAME}"))

    def _running(self, theirs: Claim) -> UsageError:
        """Return (not raise) the error that names the other driver."""
        return UsageError(f"{self.folder.name!r} is running already: {theirs.words()}; wait for it or stop it")

    def _show_life(self) -> None:
        """Write the claim anew, here and there."""
        self.claim, self.shown_at = self.claim.renewed(), time.monotonic()
        self.claim.write(self.folder)
        self.mirror.store.write(f"{self.name}/{FILE_NAME}", (self.folder / FILE_NAME).read_bytes())

    def _keep_alive(self) -> None:
        """The same now and then, between two files of a slow line."""
        if time.monotonic() - self.shown_at > SECONDS_BETWEEN_SIGNS:
            self._show_life()

    def _send(self) -> None:
        self.mirror.push_as_driver(self.folder, but=WAIT_FOR_THE_END, before_each=self._keep_alive)

    def _send_along(self) -> None:
        while not self.over.wait(SECONDS_BETWEEN_SENDS):
            try:
                self.claim = self.claim.renewed()
                self.claim.write(self.folder)
                self._send()
                self.shown_at = time.monotonic()
            except TakenUp as error:
                self.lost = str(error)
                return
            except Exception:  # noqa: BLE001, S112 - a network that is away comes back; the end says what could not be sent
                continue

    def check(self) -> None:
        """Raise SearchEnded where this driver may not go on."""
        if self.lost:
            raise SearchEnded(self.lost)

    def bring(self, trial: TrialFolder) -> None:
        """Fetch what a worker has sent of its trial. Raises SearchEnded where the store stays away."""
        try:
            patiently(lambda: self.mirror.bring(trial.folder))
        except EnvironmentFailure as error:
            raise SearchEnded(str(error)) from error
        note = own_trials(self.scratch) / trial.folder.name / TIMEOUT_NOTE  # of a process that could send nothing more
        if note.is_file():
            trial.create()
            shutil.copyfile(note, trial.folder / TIMEOUT_NOTE)

    def end(self) -> None:
        """Give the run back, as far as the store can be reached: what is left is sent when the command ends."""
        self.over.set()
        if self.thread.ident is None:
            return  # it never was this driver's
        self.thread.join()
        if not self.lost:
            self.claim.renewed(is_over=True).write(self.folder)
            with contextlib.suppress(EnvironmentFailure):
                self._send()


@contextlib.contextmanager
def sent_along(folder: Path, scratch: Path) -> Iterator[RemoteRun | None]:
    """Send a run's folder to the object store that it is a copy of, while this lasts; None where it is no copy."""
    mirror = Mirror.around(folder)
    if mirror is None:
        yield None
        return
    remote = RemoteRun(mirror, folder, scratch)
    try:
        remote.begin()
        yield remote
    finally:
        remote.end()


def own_trials(scratch: Path) -> Path:
    """Where workers on the driver's node keep what they send."""
    return scratch / "trials"


@dataclass(kw_only=True)
class TrialPlace:
    """Where a worker keeps its trials: in the run's folder, or in a folder of its own from which it sends them."""

    folder: Path
    store: ObjectStore | None = None
    prefix: str = ""  # of the run's trials in the store
    sent: dict[str, tuple[int, int]] = field(default_factory=dict)
    trial: TrialFolder | None = None

    @staticmethod
    def of(folder: Path, remote: RemoteRun | None) -> "TrialPlace":
        """For the workers of the run in this folder."""
        trials = (folder / "trials").absolute()
        if remote is None:
            return TrialPlace(folder=trials)
        prefix = trials.relative_to(remote.mirror.folder.absolute()).as_posix()
        return TrialPlace(folder=own_trials(remote.scratch), store=remote.mirror.store, prefix=prefix)

    def settle(self) -> None:
        """Find a folder on this node. Raises EnvironmentFailure where there is none."""
        if self.store is None:
            if not self.folder.is_dir():
                raise EnvironmentFailure(
                    f"{self.folder} is not on this node: --runs must be a folder that all nodes share, or s3://..."
                )
        elif self.folder.parent.is_dir():
            self.folder.mkdir(exist_ok=True)
        else:  # another node than the driver's
            self.folder = Path(tempfile.mkdtemp(prefix="digits-trials-"))

    def open(self, assignment: Assignment) -> TrialFolder:
        """The folder of a trial that is about to begin, with what an earlier try of it left, and its parent's state."""
        if self.trial is not None and self.store is not None:
            shutil.rmtree(self.trial.folder, ignore_errors=True)
        self.trial, self.sent = TrialFolder(self.folder / folder_name(assignment.trial)), {}
        if self.store is not None:
            shutil.rmtree(self.trial.folder, ignore_errors=True)
            self._fetch(assignment.trial)
            if assignment.parent is not None:
                self._fetch(assignment.parent, only=STATE)
        return self.trial

    def _fetch(self, trial: int, only: str = "") -> None:
        store = self.store
        assert store is not None
        for name in patiently(lambda: store.entries(f"{self.prefix}/{folder_name(trial)}")):
            if not only or name.endswith(f"/{only}"):
                target = self.folder / name.removeprefix(f"{self.prefix}/")
                patiently(functools.partial(store.fetch, name, target))

    def send(self) -> None:
        """Send what changed since the last time, the record of it last."""
        if self.store is None or self.trial is None:
            return
        for path in sorted(self.trial.folder.glob("[!.]*"), key=lambda path: (path.name == "progress.json", path.name)):
            try:
                status, content = path.stat(), path.read_bytes()
            except FileNotFoundError:  # replaced a moment ago
                continue
            stamp = (status.st_size, status.st_mtime_ns)
            if path.name != TIMEOUT_NOTE and self.sent.get(path.name) != stamp:
                name = f"{self.prefix}/{self.trial.folder.name}/{path.name}"
                patiently(functools.partial(self.store.write, name, content))
                self.sent[path.name] = stamp
