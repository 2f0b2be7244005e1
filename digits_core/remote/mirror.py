"""A runs folder in an object store, worked on through a local copy.

Everything in this project reads and writes folders. A command whose `--runs` is s3://... first downloads what is newer
in the store (`pull`), works in the local copy, then uploads what it changed (`push`). While a sweep runs, its driver
uploads every few seconds (sweeps.running.remote_run). For each run the copy notes the state of every file when both
sides last agreed; that decides which side's version wins: see digits_core.remote.mirror_rules.

Local changes that were never uploaded are moved aside, to `.mirror/aside`, never overwritten or deleted. A file that is
missing here is not deleted from the store. Only `digits rm` deletes there (`remove`), and a driver: files that it
dropped on purpose or that a completed trial no longer needs.
"""

import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from digits_core.data.files import cache_folder
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.local_copy import LocalCopy, stamp_of
from digits_core.remote.mirror_rules import (
    FETCHING,
    MADE_AGAIN,
    SENDING,
    UNSETTLED,
    Known,
    Stamps,
    by_run,
    is_needless,
    is_theirs,
    merged_lines,
    order_of_files,
    scope_of,
)
from digits_core.remote.object_store import ObjectStore, Stamp, url_of
from digits_core.runs import claims
from digits_core.runs.durable import json_bytes, write_atomically

LEDGER_NAME = "ledger.jsonl"  # append-only: lines of both sides are kept
SECONDS_BETWEEN_FETCHES = 5.0
SECONDS_TO_SETTLE = 5.0


class TakenUp(EnvironmentFailure):
    """Another machine has resumed or removed the run in the meantime."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A local copy of a folder in a store. `folder` is an ordinary runs folder with a note that marks it as a copy."""

    store: ObjectStore
    folder: Path
    copy: str  # this copy's id; copies on other machines have others

    @property
    def local(self) -> LocalCopy:
        return LocalCopy(folder=self.folder)

    @staticmethod
    def of(runs: Path) -> "Mirror | None":
        """The local copy for a `--runs` value, created if need be; None for an ordinary folder. Downloads nothing.

        Raises UsageError for a malformed address.
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
            with contextlib.suppress(FileExistsError):  # if two processes race, the first one's note counts
                os.link(draft, note)
            draft.unlink()
        return Mirror.around(folder)

    @staticmethod
    def around(folder: Path) -> "Mirror | None":
        """The local copy that a folder is, or is inside; None without one."""
        note = claims.mirror_note(folder)
        if note is None:
            return None
        return Mirror(store=ObjectStore(url=url_of(Path(note.url)) or ""), folder=note.folder, copy=note.copy)

    # --- downloading ---

    def pull(self) -> list[Path]:
        """Download what is newer in the store, for every run that no process here drives.

        Returns the files that were moved aside: local changes that were never uploaded.
        """
        aside: list[Path] = []
        with self.local.alone():
            there = by_run(self.store.entries())
            for run in sorted({*there, *self.local.known_runs()}):
                theirs = there.get(run, {})
                if self._differs(run, theirs) and not self.local.is_held(run):
                    aside += self._pull_run(run, theirs)
        return aside

    def _differs(self, run: str, there: Stamps) -> bool:
        """Whether a run needs a closer look: most have not changed on either side."""
        known = self.local.known(run)
        same = there == {path: theirs for path, (theirs, _) in known.items()}
        return not same or not known.keys() <= self.local.stamps(run).keys()

    def _pull_run(self, run: str, there: Stamps) -> list[Path]:
        here, known = self.local.stamps(run), self.local.known(run)
        overtaken = self._overtaken(run, there, here)
        wanted = [
            path
            for path in sorted({*there, *here, *known}, key=order_of_files)
            if is_theirs(
                there.get(path), here.get(path), known.get(path), scope_of(path, run, there, here) in overtaken
            )
        ]
        return self._take(run, wanted, there, known, here)

    def bring(self, folder: Path) -> None:
        """Make a folder inside a run equal to the store's, whatever is here: for a trial that a worker has uploaded."""
        run, *inside = folder.relative_to(self.folder).parts
        under = "/".join((run, *inside, ""))
        with self.local.alone():
            here, known, there = self.local.stamps(run), self.local.known(run), self.store.entries(under)
            paths = {*there, *(path for path in (*here, *known) if path.startswith(under))}
            self._take(run, sorted(paths, key=order_of_files), there, known, {})

    def _take(self, run: str, paths: list[str], there: Stamps, known: Known, here: Stamps) -> list[Path]:
        """Replace these files with the store's. Those in `here` that changed since the last upload are moved aside."""
        never_sent = {
            path
            for path in paths
            if path in here and known.get(path, (UNSETTLED, UNSETTLED))[1] not in (here[path], FETCHING)
        }
        aside = []
        known.update(dict.fromkeys(paths, (UNSETTLED, FETCHING)))
        self.local.keep_known(run, known)
        for path in paths:
            target, stamp = self.folder / path, there.get(path)
            content = None if stamp is None else self.store.read(path)
            if path in never_sent and target.name not in MADE_AGAIN and content != target.read_bytes():
                aside.append(self.local.aside(path))
                os.replace(target, aside[-1])
            if stamp is None or content is None:
                target.unlink(missing_ok=True)
                known.pop(path)
                continue
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, content, durable=False)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                known.pop(path)  # a bucket can hold both a/b and a/b/c, a folder cannot; we never write both
                continue
            settled = time.time() - stamp[1] / 1e9 > SECONDS_TO_SETTLE
            known[path] = (stamp if settled else UNSETTLED, stamp_of(target))
        self.local.keep_known(run, known)
        return aside

    def _overtaken(self, run: str, there: Stamps, here: Stamps) -> set[str]:
        """The folders, the run's and those of runs inside it, that another copy's driver has claimed since ours did."""
        found = set()
        for path, theirs in self._claims(there):
            ours = claims.claim_in((self.folder / path).parent)
            if theirs.copy != self.copy and not (ours is not None and ours.knows(theirs)):
                found.add(scope_of(path, run, there, here))
        return found

    def _claims(self, there: Stamps) -> Iterator[tuple[str, claims.Claim]]:
        """The claims among these files of the store, with their paths."""
        for path in (name for name in there if Path(name).name == claims.FILE_NAME):
            claim = claims.Claim.parse(self.store.read(path))
            if claim is not None:
                yield path, claim

    # --- uploading ---

    def push(self) -> bool:
        """Upload what changed here, for every run that no process here drives. Returns whether anything was uploaded.

        Raises TakenUp, after everything else is uploaded, if another machine has resumed a run that changed here.
        """
        problems, sent = [], False
        with self.local.alone():
            for run in self.local.runs():
                if not self.local.is_held(run):
                    try:
                        sent |= self._push_run(run)
                    except TakenUp as problem:
                        problems.append(problem)
        if problems:
            raise problems[0]
        return sent

    def push_as_driver(
        self,
        folder: Path,
        *,
        but: Iterable[str] = (),
        dropped: Iterable[str] = (),
        before_each: Callable[[], None] = lambda: None,
    ) -> None:
        """Upload what changed in the run that this process drives; delete there what completed trials no longer need.

        `but`: files to leave for later. `dropped`: files that were deleted on purpose. Both are paths in the folder.
        `before_each` is called before each upload. Raises TakenUp if another machine has resumed this very folder or
        removed the run.
        """
        run, own = folder.relative_to(self.folder).parts[0], folder.relative_to(self.folder).as_posix()
        with self.local.alone():
            self._push_run(run, own, {f"{own}/{name}" for name in but}, before_each)
            here, known = self.local.stamps(run), self.local.known(run)
            named = {f"{own}/{name}" for name in dropped}
            gone = [path for path in known if path not in here and (path in named or is_needless(path, here))]
            for path in gone:
                self.store.remove(path)
                known.pop(path)
            if gone:
                self.local.keep_known(run, known)

    def _push_run(
        self, run: str, own: str = "", waiting: Iterable[str] = (), before_each: Callable[[], None] = lambda: None
    ) -> bool:
        here, known = self.local.stamps(run), self.local.known(run)
        changed = [
            path
            for path in here
            if path not in waiting and known.get(path, (None, None))[1] not in (here[path], FETCHING)
        ]
        if not changed:
            return False
        there = self.store.entries(run)
        overtaken = self._overtaken(run, there, here)
        header = f"{run}/sweep.json"
        if header in known and header not in there:
            raise TakenUp(f"{run!r} was removed by another machine, so nothing more of it is uploaded from here")
        contested = {
            path
            for path in changed
            if path in known
            and there.get(path, UNSETTLED) not in (known[path][0], UNSETTLED)
            and known[path][0] != UNSETTLED
        }
        free = [path for path in changed if scope_of(path, run, there, here) not in overtaken]
        known.update(dict.fromkeys(free, (UNSETTLED, SENDING)))
        self.local.keep_known(run, known)
        sent: Stamps = {}
        for path in sorted(free, key=order_of_files) if own not in overtaken else []:
            before_each()
            with contextlib.suppress(FileNotFoundError):  # deleted a moment ago
                sent[path] = self._send(path, is_contested=path in contested)
        there = self.store.entries(run) if sent else there
        known.update({path: (there.get(path, UNSETTLED), stamp) for path, stamp in sent.items()})
        self.local.keep_known(run, known)
        if own in overtaken or (not own and len(free) < len(changed)):
            raise TakenUp(
                f"another machine has resumed or removed {own or run!r}, so nothing more of it is uploaded from here;"
                " the next command downloads that version and moves changes that were never uploaded aside"
            )
        return bool(sent)

    def _send(self, path: str, *, is_contested: bool) -> Stamp:
        """Upload a file. Returns its stamp from before it was read, so anything written to it later counts as a change.

        If it changed in the store too, the store's version is moved aside here; a ledger's lines are merged.
        """
        source, is_ledger = self.folder / path, Path(path).name == LEDGER_NAME
        stamp, content = stamp_of(source), source.read_bytes()
        theirs = self.store.read(path) if is_contested or is_ledger else None
        if theirs is not None and is_ledger:
            joined = merged_lines(theirs, content)
            if joined != content:
                write_atomically(source, joined)
                stamp, content = stamp_of(source), joined
        elif theirs is not None and theirs != content and source.name not in MADE_AGAIN:
            write_atomically(self.local.aside(path), theirs, durable=False)
        self.store.write(path, content)
        return stamp

    def remove(self, run: str) -> None:
        """Delete a run from the store permanently; its header goes last, so an interrupted removal can be repeated.

        Raises UsageError if a driver on another machine holds it.
        """
        with self.local.alone():
            there = self.store.entries(run)
            for _, claim in self._claims(there):
                if claim.bars(self.copy):
                    raise UsageError(f"{run!r} is running: {claim.words()}; wait for it or stop it")
            for path in sorted(there, key=lambda path: (path == f"{run}/sweep.json", path)):
                self.store.remove(path)
            self.local.forget(run)


class KeptFresh:
    """For watching a run: downloads what is newer every few seconds if the run's folder is part of a local copy."""

    def __init__(self, folder: Path) -> None:
        self.mirror, self.fetched_at = Mirror.around(folder), time.monotonic()

    def refresh(self) -> None:
        """Download, if the last time was a few seconds ago."""
        if self.mirror is not None and time.monotonic() - self.fetched_at > SECONDS_BETWEEN_FETCHES:
            with contextlib.suppress(EnvironmentFailure):  # keep watching without the store
                self.mirror.pull()
            self.fetched_at = time.monotonic()


def _folder_name(url: str) -> str:
    place, _, _ = url.removeprefix("s3://").partition("?")
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", place).strip("-.")[:60]
    return f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
