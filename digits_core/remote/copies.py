"""Pushes a run to another place, pulls it from there, lists what is there.

A file is stored under its path and the first digits of its checksum, so no stored file ever changes; `manifest.json`,
written last and only if nobody else has written it since, says which of them are the run. So what is pulled is
complete, whatever was interrupted. A push goes on from the version that was last pushed or pulled here, and a pull
replaces what has not changed here since: `.pushed.json` beside the run knows both.
"""

import contextlib
import dataclasses
import json
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.bucket import Bucket, Conflict, Version, check_elsewhere
from digits_core.remote.lease import FILE_NAME as LEASE
from digits_core.remote.lease import Holder, Lease, holder_of
from digits_core.remote.manifest import (
    MANIFEST,
    NOTE,
    STAYS_HERE,
    Entry,
    Files,
    Manifest,
    Note,
    differing,
    entry_of,
    is_there,
    read_manifest,
    reading_order,
    stored_name,
)
from digits_core.runs.durable import write_atomically
from digits_core.runs.ownership import is_running, sole_driver
from digits_core.runs.run import NAME_PATTERN, Run, check_name

AT_A_TIME = 8
TRIES = 5


def in_words(paths: Collection[str]) -> str:
    """A few of the paths, and how many more there are."""
    first = sorted(paths)[:3]
    more = len(paths) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


# --- pushing ---


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push has done."""

    manifest: Manifest
    sent: tuple[str, ...]
    overwritten: tuple[str, ...]  # files there that were not what this run goes on from; only with `force`


def check_place(bucket: Bucket, folder: Path) -> None:
    """Raise UsageError if pushing the run in this folder would write into the folder itself. Makes the place if not."""
    if bucket.folder is not None:
        here, there = folder.resolve(), (bucket.folder / folder.name).resolve()
        if here == there or here in there.parents or there in here.parents:
            raise UsageError(f"{bucket.address} would put {folder.name!r} into its own folder; choose another place")
    bucket.create()


def lease_on(bucket: Bucket, folder: Path, *, take_over: bool = False) -> Lease:
    """Acquire the lease on the run in this folder. Raises UsageError, naming the holder, if somebody else has it."""
    return Lease(bucket, folder.name, take_over, left=Note.read(folder, bucket.address).lease)


@dataclass(frozen=True, kw_only=True)
class Before:
    """What a push finds there."""

    manifest: Manifest | None
    version: Version | None
    changed: tuple[str, ...] = ()  # files that this run does not go on from; a push with `force` overwrites them


def check_push(bucket: Bucket, files: Files, *, force: bool = False) -> Before:
    """Raise UsageError if the run there is not what this one goes on from, unless `force`. Writes nothing."""
    folder, run = files.folder, files.folder.name
    there, version = read_manifest(bucket, run, force=force)
    before = Before(manifest=there, version=version)
    if there is None:
        if not force and bucket.read(f"{run}/sweep.json") is not None:
            raise UsageError(
                f"an older version keeps {run!r} at {bucket.address}; pull it, or overwrite it with --force"
            )
        return before
    if there.token in Note.read(folder, bucket.address).tokens:
        return before
    changed = differing(there.files, files.entries())
    if changed and not force:
        raise UsageError(
            f"{run!r} has changed at {bucket.address}: {in_words(changed)}; pull it first (into another --runs, to"
            " keep both), or overwrite it with: digits push --force"
        )
    return dataclasses.replace(before, changed=tuple(changed))


def push(bucket: Bucket, files: Files, lease: Lease, *, force: bool = False, but: Collection[str] = ()) -> Pushed:
    """Make the run there what it is here. `but`: names of files to leave as they are there.

    Raises UsageError if the run there is not what this one goes on from, unless `force`; LeaseLost if another process
    has taken it over.
    """
    folder, run = files.folder, files.folder.name
    note = Note.read(folder, bucket.address)
    if note.lease != lease.holder.token:
        note = dataclasses.replace(note, lease=lease.holder.token)
        note.write(folder, bucket.address)  # first of all: nothing below may come about
    before = check_push(bucket, files, force=force)  # read once: what was checked is what gets replaced
    there = before.manifest
    theirs = {} if there is None else there.files
    left = {path: entry for path, entry in theirs.items() if Path(path).name in but}
    ours, sent = _send_all(bucket, files, lease, theirs, left, but)
    if there is not None and ours == theirs:
        dataclasses.replace(note, tokens=(there.token,), files=ours).write(folder, bucket.address)
        return Pushed(manifest=there, sent=(), overwritten=before.changed)
    manifest, known = _manifest(folder, ours), () if there is None else (there.token,)
    # Noted before it is written: the answer may be lost, or this process may end here.
    dataclasses.replace(note, tokens=(*known, manifest.token), files=ours).write(folder, bucket.address)
    lease.renew()
    try:
        bucket.write_if(f"{run}/{MANIFEST}", json.dumps(dataclasses.asdict(manifest)).encode(), before.version)
    except Conflict:
        now, _ = read_manifest(bucket, run)
        if now is None or now.token != manifest.token:
            raise UsageError(f"somebody else has just pushed {run!r} to {bucket.address}; push it again") from None
    dataclasses.replace(note, tokens=(manifest.token,), files=ours).write(folder, bucket.address)
    lease.renew()  # whoever has taken over may have stored the same content again
    kept = {stored_name(run, path, entry) for path, entry in ours.items()}
    with contextlib.suppress(EnvironmentFailure):  # the right to delete may be missing, and nothing depends on it
        bucket.remove({stored_name(run, path, entry) for path, entry in theirs.items()} - kept)
    return Pushed(manifest=manifest, sent=tuple(sent), overwritten=before.changed)


def _send_all(
    bucket: Bucket, files: Files, lease: Lease, theirs: dict[str, Entry], left: dict[str, Entry], but: Collection[str]
) -> tuple[dict[str, Entry], list[str]]:
    """Send what is not there yet, in reading order. Returns all entries and what was sent."""
    run = files.folder.name
    for _ in range(TRIES):
        ours = {**left, **files.entries(but)}
        wanted = sorted((path for path in ours if theirs.get(path) != ours[path]), key=reading_order)

        def send(path: str, ours: dict[str, Entry] = ours) -> str:
            lease.keep()
            content = (files.folder / path).read_bytes()
            ours[path] = entry_of(content)  # it may have grown
            bucket.write(stored_name(run, path, ours[path]), content)
            return path

        with contextlib.suppress(FileNotFoundError), ThreadPoolExecutor(AT_A_TIME) as pool:
            return ours, [path for _, group in groupby(wanted, reading_order) for path in pool.map(send, group)]
    raise EnvironmentFailure(f"{files.folder} keeps changing while it is sent; push it again")


def _manifest(folder: Path, files: dict[str, Entry]) -> Manifest:
    header = Run(folder).header
    return Manifest(
        token=secrets.token_hex(8),
        pushed_at=time.time(),
        host=socket.gethostname(),
        kind=header.kind,
        dataset=header.dataset,
        trial_count=header.trial_count,
        ended_count=sum(path.startswith("trials/") and path.endswith("/record.json") for path in files),
        files=files,
    )


# --- pulling ---


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What a pull has done."""

    folder: Path
    files: Collection[str]
    fetched: tuple[str, ...]
    overwritten: tuple[str, ...]  # files here that had changed since both sides agreed; only with `force`


def pull(bucket: Bucket, run: str, runs: Path, *, force: bool = False) -> Pulled:
    """Make the run here what it is there. It appears, or changes, all at once.

    Raises UsageError if the run here has changed since both sides agreed, unless `force`, or if a driver holds it.
    """
    target = runs / check_name(run)
    runs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        files, before = Files(target), dict[str, Entry]()
        if target.exists():
            if target.is_symlink():
                raise UsageError(f"{target} is a link; pull into the folder that holds what it points to")
            stack.enter_context(sole_driver(target))
            before = files.entries()
        draft = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f".pulling-{run}-", dir=runs))) / run
        for _ in range(TRIES):
            manifest, _version = read_manifest(bucket, run)
            there = _kept_by_an_older_version(bucket, run) if manifest is None else manifest.files
            changed = _changed_here(target, before, there, bucket.address)
            if changed and not force:
                raise UsageError(
                    f"{target} has changed since it was last pushed or pulled: {in_words(changed)}; push it, pull into"
                    " another --runs, or overwrite it with --force"
                )
            fetched = _fetch(bucket, there, before, target, draft, is_old=manifest is None)
            if fetched is not None:
                break
        else:
            raise EnvironmentFailure(f"{bucket.address}/{run} lacks files that its manifest names; push it again")
        if manifest is not None:
            Note(tokens=(manifest.token,), files=there).write(draft, bucket.address)
        if (files.entries() if target.exists() else {}) != before:
            raise UsageError(f"{target} has changed meanwhile; pull again")
        if target.exists():
            target.rename(draft.with_name("replaced"))  # goes with the draft's folder
        draft.rename(target)
    return Pulled(folder=target, files=there, fetched=tuple(fetched), overwritten=tuple(changed))


def _changed_here(target: Path, here: dict[str, Entry], there: dict[str, Entry], address: str) -> list[str]:
    """What a pull would lose: files that have changed since both sides agreed, and files that no push would send."""
    if not target.exists():
        return []
    note = Note.read(target, address)
    changed = set(differing(here, there)) & {path for path in differing(here, note.files) if path in here}
    known = {*here, *STAYS_HERE, NOTE}
    names = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_symlink() or path.is_file()}
    return sorted(changed | {name for name in names if name not in known and Path(name).name not in known})


def _kept_by_an_older_version(bucket: Bucket, run: str) -> dict[str, Entry]:
    """The files of a run without a manifest, which older versions kept there file by file; without checksums."""
    if bucket.read(f"{run}/sweep.json") is None:
        raise UsageError(f"there is no run {run!r} at {bucket.address}; `digits ls --at ADDRESS` lists them")
    return {path: (0, "") for path in bucket.names(run) if Path(path).name not in STAYS_HERE}


def _fetch(
    bucket: Bucket, there: dict[str, Entry], here: dict[str, Entry], target: Path, draft: Path, *, is_old: bool
) -> list[str] | None:
    """Make a new draft. Returns what was downloaded; None if a file is gone, because somebody has just pushed."""
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()

    def fetch(path: str) -> str | None:
        place, entry = draft / path, there[path]
        place.parent.mkdir(parents=True, exist_ok=True)
        if here.get(path) == entry:
            shutil.copyfile(target / path, place)
            return ""
        stored = bucket.read(f"{target.name}/{path}" if is_old else stored_name(target.name, path, entry))
        if stored is None:
            return None
        if not is_old and entry_of(stored.content) != entry:
            raise EnvironmentFailure(f"{path} is damaged at {bucket.address}/{target.name}; push the run again")
        write_atomically(place, stored.content, durable=False)
        return path

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        fetched = list(pool.map(fetch, there))
    return None if None in fetched else [path for path in fetched if path]


# --- listing and removing ---


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A run elsewhere, as `digits ls --at` shows it."""

    name: str
    manifest: Manifest | None
    problem: str  # why there is no manifest
    holder: Holder | None  # whoever is changing it now


def copies_at(bucket: Bucket) -> list[Copy]:
    """The runs there, in the order in which they were last pushed."""
    found = []
    for name in filter(NAME_PATTERN.fullmatch, bucket.folders()):
        problem = "kept there by an older version"
        try:
            manifest, _ = read_manifest(bucket, name)
        except EnvironmentFailure as error:
            manifest, problem = None, f"damaged: {error}"
        if manifest is not None or problem.startswith("damaged") or bucket.read(f"{name}/sweep.json") is not None:
            found.append(Copy(name=name, manifest=manifest, problem=problem, holder=holder_of(bucket, name)))
    return sorted(found, key=lambda copy: (copy.manifest.pushed_at if copy.manifest else 0.0, copy.name))


def found_at(address: str) -> tuple[Bucket, list[str]]:
    """What ADDRESS or ADDRESS/RUN names: the place and the runs in it. Raises UsageError if there are none."""
    parent, _, name = check_elsewhere(address).rpartition("/")
    if NAME_PATTERN.fullmatch(name) and parent and not parent.endswith(":/"):
        bucket = Bucket(parent)
        if is_there(bucket, name):
            return bucket, [name]
    bucket = Bucket(address)
    names = [copy.name for copy in copies_at(bucket)]
    if not names:
        raise UsageError(f"there is no run at {bucket.address}")
    return bucket, names


def check_removable_at(bucket: Bucket, run: str) -> None:
    """Raise UsageError if no push has put the run there, or if somebody is changing it."""
    if bucket.read(f"{check_name(run)}/{MANIFEST}") is None:
        raise UsageError(f"no push has put a run {run!r} at {bucket.address}; `digits ls --at ADDRESS` lists them")
    holder = holder_of(bucket, run)
    if holder is not None:
        raise UsageError(f"{run!r} is in use at {bucket.address}: {holder.text}; wait for it or stop it")
    if bucket.folder is not None and is_running(bucket.folder / run):
        raise UsageError(f"{run!r} is running in {bucket.address}; stop it first")


def remove_at(bucket: Bucket, run: str) -> int:
    """Delete a run there. Returns its size in bytes. The manifest goes last, so that this can be repeated."""
    check_removable_at(bucket, run)
    lease = Lease(bucket, run)
    manifest, _ = read_manifest(bucket, run, force=True)
    bucket.remove(f"{run}/{name}" for name in bucket.names(run) if name not in (LEASE, MANIFEST))
    bucket.remove([f"{run}/{MANIFEST}"])
    lease.release()
    return 0 if manifest is None else manifest.byte_count
