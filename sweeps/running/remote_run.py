"""A run whose folder lies in an object store: its driver sends it along, its workers send their trials.

Workers and driver share no folder then: a worker sends its trial after every epoch (sweeps.running.trial_place), and
the driver brings it here when it is over. All else of the run is the driver's, which sends it every few seconds.
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
"""Of two drivers that claim a run at the same moment the later write stays: each looks again after so long."""
WAIT_FOR_THE_END = ("study.db", "report.html")  # a database is whole only when it is closed


class RemoteRun:
    """The driver's side."""

    def __init__(self, mirror: Mirror, folder: Path, scratch: Path) -> None:
        self.mirror, self.folder, self.scratch = mirror, folder, scratch
        self.name = folder.relative_to(mirror.folder).as_posix()
        self.claim = Claim.new(mirror.copy, claim_in(folder))
        self.dropped: set[str] = set()  # files that were removed on purpose
        self.lost = ""  # why this driver may not go on
        self.shown_at = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._send_along, name="sends the run", daemon=True)

    def begin(self) -> None:
        """Claim the run, for all to see, and send it. Raises UsageError where another driver was faster."""
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
        """Remove what workers have sent of a run of this name after that was removed."""
        there = self.mirror.store.entries(self.name)
        for path in there if f"{self.name}/sweep.json" not in there else ():
            self.mirror.store.remove(path)

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

    def _keep_alive(self, after_seconds: float = SECONDS_BETWEEN_SIGNS) -> None:
        """The same now and then, also between two files of a slow line. Raises TakenUp where it is another's by now."""
        if time.monotonic() - self.shown_at < after_seconds:
            return
        theirs = self._claim_there()
        if theirs is None or theirs.token != self.claim.token:
            raise TakenUp(
                f"another machine has taken up {self.name!r} since, or removed it: nothing more of it is sent"
            )
        self._show_life()

    def _send(self) -> None:
        self.mirror.push_as_driver(
            self.folder, but=WAIT_FOR_THE_END, dropped=tuple(self.dropped), before_each=self._keep_alive
        )

    def _send_along(self) -> None:
        while not self.over.wait(SECONDS_BETWEEN_SENDS):
            try:
                self._keep_alive(0.0)  # without waiting for others who are at work on this copy
                self._send()
            except TakenUp as error:
                self.lost = str(error)
                return
            except Exception:  # noqa: BLE001, S112 - a network that is away comes back; the end says what could not be sent
                continue

    def check(self) -> None:
        """Raise SearchEnded where this driver may not go on."""
        if self.lost:
            raise SearchEnded(self.lost)

    def drop(self, file: Path) -> None:
        """Remove a file there that was removed here on purpose."""
        self.dropped.add(file.relative_to(self.folder).as_posix())

    def bring(self, trial: TrialFolder, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Fetch what a worker has sent of its trial. Raises SearchEnded where the store stays away."""
        try:
            patiently(lambda: self.mirror.bring(trial.folder), patience_seconds)
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
        if self.lost:
            return
        with contextlib.suppress(EnvironmentFailure):
            self._send()
        self.claim.renewed(is_over=True).write(self.folder)  # the last thing to be said
        self.shown_at = math.inf
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


def place_of(folder: Path, remote: RemoteRun | None) -> TrialPlace:
    """Where the workers of the run in this folder keep their trials."""
    trials = (folder / "trials").absolute()
    if remote is None:
        return SharedPlace(folder=trials)
    prefix = trials.relative_to(remote.mirror.folder.absolute()).as_posix()
    return OwnPlace(folder=own_trials(remote.scratch), store=remote.mirror.store, prefix=prefix)
