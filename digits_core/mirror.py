"""A runs folder in an object store, worked on through a local copy of it.

Everything in this project reads and writes folders. A command whose `--runs` is s3://... first fetches what is newer
there (`pull`), works in the local copy, and then sends what it changed (`push`); while a sweep runs, its driver
sends every few seconds (sweeps.remote_run). For each run the copy keeps what both sides looked like when they were last
the same, so that a change can be told from a file that only looks different:

| changed since    | `pull` does                                                                       |
| ---------------- | --------------------------------------------------------------------------------- |
| there alone      | fetches it, or removes it here                                                    |
| here alone       | leaves it, for the next `push`; but what is gone here is fetched again            |
| on both sides    | leaves ours, unless another driver has taken the run up since: then theirs counts |
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from digits_core import claims
from digits_core.durable import json_bytes, read_json, write_atomically
from digits_core.errors import EnvironmentFailure
from digits_core.files import cache_folder
from digits_core.object_store import SAFE_NAME, ObjectStore, Stamp, url_of
from digits_core.ownership import FILE_NAME as LOCK_NAME
from digits_core.ownership import is_held_here

STAYS_HERE = (LOCK_NAME, "study.db-journal", "study.db-wal", "study.db-shm")
SECONDS_BETWEEN_FETCHES = 5.0
SECONDS_TO_SETTLE = 5.0
UNSETTLED: Stamp = (-1, -1)
"""The store's clock counts whole seconds: a file that has just changed may change again without looking different."""

Stamps = dict[str, Stamp]
Known = dict[str, tuple[Stamp, Stamp]]
"""Path -> how a file looked there and here when both were last the same."""


class TakenUp(EnvironmentFailure):
    """Another copy's driver has gone on with the run meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A local copy: `folder` is a runs folder like any other, with a note of whose copy it is."""

    store: ObjectStore
    folder: Path
    copy: str  # tells this copy from those of other machines

    @staticmethod
    def of(runs: Path) -> "Mirror | None":
        """The copy that stands for a `--runs`, made if need be; None for a folder of its own. Fetches nothing.

        Raises UsageError for an address that is none.
        """
        url = url_of(runs)
        if url is None:
            return Mirror.around(runs)
        folder = cache_folder() / "runs" / _folder_name(url)
        note = folder / claims.MIRROR_NOTE
        if not note.is_file():
            note.parent.mkdir(parents=True, exist_ok=True)
            draft = note.with_name(f"{os.getpid()}.json")
            write_atomically(draft, json_bytes({"url": url, "copy": secrets.token_hex(8)}))
            with contextlib.suppress(FileExistsError):  # of two processes the first one's note counts
                os.link(draft, note)
            draft.unlink()
        return Mirror.around(folder)

    @staticmethod
    def around(folder: Path) -> "Mirror | None":
        """The copy that a folder is, or lies in."""
        note = claims.mirror_note(folder)
        if note is None:
            return None
        return Mirror(store=ObjectStore(url=note["url"]), folder=note["folder"], copy=note["copy"])

    # --- fetching ---

    def pull(self) -> None:
        """Fetch what is newer there, of every run that no process here is at work on."""
        with self._alone():
            there = _by_run(self.store.entries())
            for run in sorted({*there, *self._known_runs()}):
                theirs = there.get(run, {})
                if self._differs(run, theirs) and not self._is_held(run):
                    self._pull_run(run, theirs)

    def _differs(self, run: str, there: Stamps) -> bool:
        """Whether there is anything to be done for a run: most have not changed on either side."""
        known = self._known(run)
        same = there == {path: theirs for path, (theirs, _) in known.items()}
        return not same or not known.keys() <= self._stamps_here(run).keys()

    def bring(self, folder: Path) -> None:
        """Fetch a folder inside a run as it is there, whatever is here: what a worker has sent of its trial."""
        run, *inside = folder.relative_to(self.folder).parts
        under = "/".join((run, *inside, ""))
        with self._alone():
            here, known, there = self._stamps_here(run), self._known(run), self.store.entries(under)
            for path in {*there, *(path for path in (*here, *known) if path.startswith(under))}:
                self._take(path, there.get(path), known)
            self._keep_known(run, known)

    def _pull_run(self, run: str, there: Stamps) -> None:
        here, known, theirs_count = self._stamps_here(run), self._known(run), self._went_on_elsewhere(there)
        for path in sorted({*there, *here, *known}, key=_order_of_files):
            theirs, ours = there.get(path), here.get(path)
            known_theirs, known_ours = known.get(path, (None, None))
            changed_there, changed_here = theirs != known_theirs, ours != known_ours
            is_missing = theirs is not None and ours is None
            if is_missing or (changed_there and not changed_here) or (theirs_count and (changed_there or changed_here)):
                self._take(path, theirs, known)
        self._keep_known(run, known)

    def _take(self, path: str, theirs: Stamp | None, known: Known) -> None:
        target = self.folder / path
        if theirs is None or not self.store.fetch(path, target):
            target.unlink(missing_ok=True)
            known.pop(path, None)
            return
        settled = time.time() - theirs[1] / 1e9 > SECONDS_TO_SETTLE
        known[path] = (theirs if settled else UNSETTLED, _stamp(target))

    def _went_on_elsewhere(self, there: Stamps) -> bool:
        """Whether another copy's driver has been at work on the run of these files since this copy was the same."""
        for path in (name for name in there if Path(name).name == claims.FILE_NAME):
            theirs, ours = claims.Claim.parse(self.store.read(path)), claims.claim_in((self.folder / path).parent)
            if theirs is not None and theirs.copy != self.copy and not (ours is not None and ours.knows(theirs)):
                return True
        return False

    # --- sending ---

    def push(self) -> bool:
        """Send what changed here, of every run that no process here is at work on; whether there was anything."""
        with self._alone():
            here = {path.name for path in self.folder.iterdir() if path.is_dir() and SAFE_NAME.fullmatch(path.name)}
            free = [run for run in sorted({*here, *self._known_runs()}) if not self._is_held(run)]
            sent = [self._push_run(run) for run in free]
        return any(sent)

    def push_run(self, run: str, *, but: Iterable[str] = ()) -> None:
        """Send what changed in one run, which this process is at work on; `but` names files that have to wait."""
        with self._alone():
            self._push_run(run, but=tuple(but))

    def _push_run(self, run: str, but: tuple[str, ...] = ()) -> bool:
        here, known = self._stamps_here(run), self._known(run)
        waiting = {f"{run}/{name}" for name in but}
        changed = [path for path in here if here[path] != known.get(path, (None, None))[1] and path not in waiting]
        gone = [path for path in known if path not in here and path not in waiting]
        if not (changed or gone):
            return False
        if self._went_on_elsewhere(self.store.entries(run)):
            raise TakenUp(
                f"another machine has taken up {run!r} since, so nothing more of it is sent from here;"
                " the next command fetches what it has become"
            )
        sent = [path for path in sorted(changed, key=_order_of_files) if self._send(path)]
        for path in gone:
            self.store.remove(path)
            known.pop(path)
        there = self.store.entries(run)
        known.update({path: (there.get(path, UNSETTLED), here[path]) for path in sent})
        self._keep_known(run, known)
        return True

    def _send(self, path: str) -> bool:
        try:
            content = (self.folder / path).read_bytes()
        except FileNotFoundError:  # dropped a moment ago
            return False
        self.store.write(path, content)
        return True

    # --- what is here, and what is known ---

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time looks through a copy."""
        with (self.folder / ".mirror" / "lock").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _is_held(self, run: str) -> bool:
        folder = self.folder / run
        return any(is_held_here(lock.parent) for lock in (folder / LOCK_NAME, *folder.glob(f"*/{LOCK_NAME}")))

    def _stamps_here(self, run: str) -> Stamps:
        stamps = {}
        for path in (self.folder / run).rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if path.name not in STAYS_HERE and SAFE_NAME.fullmatch(name) and path.is_file():
                with contextlib.suppress(FileNotFoundError):
                    stamps[name] = _stamp(path)
        return stamps

    def _known_runs(self) -> list[str]:
        return [path.stem for path in (self.folder / ".mirror").glob("runs/*.json")]

    def _known(self, run: str) -> Known:
        path = self._manifest(run)
        if not path.is_file():
            return {}
        return read_json(
            path, lambda files: {name: (_pair(there), _pair(here)) for name, (there, here) in files.items()}
        )

    def _keep_known(self, run: str, known: Known) -> None:
        if known:
            self._manifest(run).parent.mkdir(exist_ok=True)
            write_atomically(self._manifest(run), json.dumps(known).encode(), durable=False)
            return
        self._manifest(run).unlink(missing_ok=True)
        if not self._stamps_here(run):
            shutil.rmtree(self.folder / run, ignore_errors=True)  # removed elsewhere: empty folders are left

    def _manifest(self, run: str) -> Path:
        return self.folder / ".mirror" / "runs" / f"{run}.json"


class KeptFresh:
    """For those who look on: fetches what is newer every few seconds, where a run's folder is a copy of another."""

    def __init__(self, folder: Path) -> None:
        self.mirror, self.fetched_at = Mirror.around(folder), time.monotonic()

    def refresh(self) -> None:
        """Fetch, if it is time to."""
        if self.mirror is not None and time.monotonic() - self.fetched_at > SECONDS_BETWEEN_FETCHES:
            self.mirror.pull()
            self.fetched_at = time.monotonic()


def _folder_name(url: str) -> str:
    place, _, _ = url.removeprefix("s3://").partition("?")
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", place).strip("-.")[:60]
    return f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def _by_run(entries: Stamps) -> dict[str, Stamps]:
    runs: dict[str, Stamps] = {}
    for path, stamp in entries.items():
        run, slash, _ = path.partition("/")
        if slash:
            runs.setdefault(run, {})[path] = stamp
    return runs


def _order_of_files(path: str) -> tuple[int, str]:
    """What others go by comes after what it vouches for."""
    last = {"record.json": 1, "ensemble.json": 1, "sweep.json": 2, "journal.jsonl": 3, "summary.json": 4}
    return last.get(Path(path).name, 0), path


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _pair(values: list[int]) -> Stamp:
    return values[0], values[1]
