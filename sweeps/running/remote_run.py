"""A run whose folder is a local copy of one in an object store: the driver and the workers upload what they write.

Workers and driver share no folder then: a worker uploads its trial after every epoch (sweeps.running.trial_place), and
the driver downloads it once it has ended. The driver writes everything else and uploads it every few seconds.
"""

import contextlib
import math
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.mirror import Mirror, TakenUp
from digits_core.runs.claims import FILE_NAME, Claim, claim_in
from digits_core.runs.trial_folder import TIMEOUT_NOTE, TrialFolder
from sweeps.running.ray_session import SearchEnded
from sweeps.running.trial_place import PATIENCE_SECONDS, OwnPlace, SharedPlace, TrialPlace, own_trials, patiently

SECONDS_BETWEEN_SENDS = 5.0
SECONDS_BETWEEN_SIGNS = 20.0
SECONDS_TO_OBJECT = 2.0
"""If two drivers claim a run at the same moment, the later write stays. Each checks again after this long."""
WAIT_FOR_THE_END = ("study.db", "report.html")  # a database is complete only once it is closed


class RemoteRun:
    """The driver's side of such a run: its claim, its uploads and its downloads."""

    def __init__(self, mirror: Mirror, folder: Path, scratch: Path) -> None:
        self.mirror, self.folder, self.scratch = mirror, folder, scratch
        self.name = folder.relative_to(mirror.folder).as_posix()
        self.claim = Claim.new(mirror.copy, claim_in(folder))
        self.dropped: set[str] = set()  # files that were deleted on purpose
        self.lost = ""  # why this driver must stop
        self.shown_at = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._send_along, name="sends the run", daemon=True)

    def begin(self) -> None:
        """Claim the run in the store and upload it. Raises UsageError if another driver has claimed it."""
        theirs = self._claim_there()
        if theirs is not None and theirs.bars(self.mirror.copy):
            raise self._running(theirs)
        self._clear_leftovers()
        self._show_life()
        time.sleep(SECONDS_TO_OBJECT)
        theirs = self._claim_there()
        if theirs is not None and theirs.token != self.claim.token:
            raise self._running(theirs)
        self._send()
        self.thread.start()

    def _clear_leftovers(self) -> None:
        """Delete what workers of a removed run of the same name uploaded after its removal."""
        there = self.mirror.store.entries(self.name)
        for path in there if f"{self.name}/sweep.json" not in there else ():
            self.mirror.store.remove(path)

    def _claim_there(self) -> Claim | None:
        return Claim.parse(self.mirror.store.read(f"{self.name}/{FILE_NAME}"))

    def _running(self, theirs: Claim) -> UsageError:
        """Return (not raise) the error that names the other driver."""
        return UsageError(f"{self.folder.name!r} is running: {theirs.words()}; wait for it or stop it")

    def _show_life(self) -> None:
        """Renew the claim, locally and in the store."""
        self.claim, self.shown_at = self.claim.renewed(), time.monotonic()
        self.claim.write(self.folder)
        self.mirror.store.write(f"{self.name}/{FILE_NAME}", (self.folder / FILE_NAME).read_bytes())

    def _keep_alive(self, after_seconds: float = SECONDS_BETWEEN_SIGNS) -> None:
        """Renew the claim if it is due, even between two slow uploads. Raises TakenUp if it is no longer ours."""
        if time.monotonic() - self.shown_at < after_seconds:
            return
        theirs = self._claim_there()
        if theirs is None or theirs.token != self.claim.token:
            raise TakenUp(
                f"another machine has resumed or removed {self.name!r}, so nothing more of it is uploaded from here"
            )
        self._show_life()

    def _send(self) -> None:
        self.mirror.push_as_driver(
            self.folder, but=WAIT_FOR_THE_END, dropped=tuple(self.dropped), before_each=self._keep_alive
        )

    def _send_along(self) -> None:
        while not self.over.wait(SECONDS_BETWEEN_SENDS):
            try:
                self._keep_alive(0.0)  # before _send, which waits for other processes that use this copy
                self._send()
            except TakenUp as error:
                self.lost = str(error)
                return
            except Exception:  # noqa: BLE001, S112 - the network may come back; the command's end says what was not uploaded
                continue

    def check(self) -> None:
        """Raise SearchEnded if this driver must stop."""
        if self.lost:
            raise SearchEnded(self.lost)

    def drop(self, file: Path) -> None:
        """Have a file that was deleted here on purpose deleted in the store too."""
        self.dropped.add(file.relative_to(self.folder).as_posix())

    def bring(self, trial: TrialFolder, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Download what a worker has uploaded of its trial. Raises SearchEnded if the store stays unreachable."""
        try:
            patiently(lambda: self.mirror.bring(trial.folder), patience_seconds)
        except EnvironmentFailure as error:
            raise SearchEnded(str(error)) from error
        note = own_trials(self.scratch) / trial.folder.name / TIMEOUT_NOTE  # of a process that could not upload
        if note.is_file():
            trial.create()
            shutil.copyfile(note, trial.folder / TIMEOUT_NOTE)

    def end(self) -> None:
        """Release the claim and upload the rest, if the store can be reached; the end of the command tries again."""
        self.over.set()
        if self.thread.ident is None:
            return  # this driver never held the run
        self.thread.join()
        if self.lost:
            return
        with contextlib.suppress(EnvironmentFailure):
            self._send()
        self.claim.renewed(is_over=True).write(self.folder)  # released last
        self.shown_at = math.inf
        with contextlib.suppress(EnvironmentFailure):
            self._send()


@contextlib.contextmanager
def sent_along(folder: Path, scratch: Path) -> Iterator[RemoteRun | None]:
    """Keep uploading a run's folder to the object store that it is a copy of. Yields None if it is not a copy."""
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


def place_of(folder: Path, remote: RemoteRun | None) -> TrialPlace:
    """Where the workers of the run in this folder keep their trials."""
    trials = (folder / "trials").absolute()
    if remote is None:
        return SharedPlace(folder=trials)
    prefix = trials.relative_to(remote.mirror.folder.absolute()).as_posix()
    return OwnPlace(folder=own_trials(remote.scratch), store=remote.mirror.store, prefix=prefix)
