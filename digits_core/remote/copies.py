"""Pushes a run to another place, pulls it from there, lists what is there.

A file is stored under its path and the first digits of its checksum, so no stored file ever changes; `manifest.json`,
written last and only if nobody else has written it since, says which of them are the run. So what is pulled is
complete, whatever was interrupted. Beside a run, `.pushed.json` holds the manifest on which both sides last agreed:
from it follows who has changed what since.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.bucket import Bucket, Conflict, check_elsewhere
from digits_core.remote.lease import FILE_NAME as LEASE
from digits_core.remote.lease import Holder, Lease, holder_of
from digits_core.remote.manifest import (
    MANIFEST,
    STAYS_HERE,
    Entry,
    Files,
    Manifest,
    agree,
    agreed,
    differing,
    entry_of,
    read_manifest,
    reading_order,
    stored_name,
)
from digits_core.runs.durable import json_bytes, write_atomically
from digits_core.runs.ownership import sole_driver
from digits_core.runs.store import NAME_PATTERN, SweepStore, check_name

AT_A_TIME = 8


def in_words(paths: Collection[str]) -> str:
    """A few of the paths, and how many more there are."""
    first = sorted(paths)[:3]
    more = len(paths) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push has done."""

    manifest: Manifest
    sent: tuple[str, ...]
    overwritten: tuple[str, ...]  # files there that had changed since both sides agreed; only with `force`


def check_place(bucket: Bucket, folder: Path) -> None:
    """Raise UsageError if pushing the run in this folder would write into the folder itself. Makes the place if not."""
    if bucket.folder is not None:
        here, there = folder.resolve(), (bucket.folder / folder.name).resolve()
        if here == there or here in there.parents or there in here.parents:
            raise UsageError(f"{bucket.address} would put {folder.name!r} into its own folder; choose another place")
    bucket.create()


def push(bucket: Bucket, files: Files, lease: Lease, *, force: bool = False, but: Collection[str] = ()) -> Pushed:
    """Make the run there what it is here. `but`: names of files to leave as they are there.

    Raises UsageError if the run there has changed since both sides agreed, unless `force`; LeaseLost if another process
    has taken it over.
    """
    folder, run = files.folder, files.folder.name
    there, version = read_manifest(bucket, run, force=force)
    theirs = {} if there is None else there.files
    ours = {**{path: theirs[path] for path in theirs if Path(path).name in but}, **files.entries(but)}
    changed = differing(theirs, ours, agreed(folder, bucket.address))
    if there is None and not force and bucket.read(f"{run}/sweep.json") is not None:
        raise UsageError(f"an older version keeps {run!r} at {bucket.address}; pull it, or overwrite it with --force")
    if changed and not force:
        raise UsageError(
            f"{run!r} has changed at {bucket.address}: {in_words(changed)}; pull it first (into another --runs, to"
            " keep both), or overwrite it with --force"
        )

    def send(path: str) -> str:
        content = (folder / path).read_bytes()
        ours[path] = entry_of(content)  # it may have grown
        bucket.write(stored_name(run, path, ours[path]), content)
        return path

    wanted = sorted((path for path, entry in ours.items() if theirs.get(path) != entry), key=reading_order)
    last = [path for path in wanted if reading_order(path) == 2]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        sent = [*pool.map(_unless_gone(send, ours), wanted[: len(wanted) - len(last)])]
        sent += pool.map(_unless_gone(send, ours), last)
    manifest = _manifest(folder, ours)
    if ours != theirs or there is None:
        agree(folder, bucket.address, theirs, ours)  # if this ends between here and the manifest, or after it
        lease.renew()
        try:
            bucket.write_if(f"{run}/{MANIFEST}", json_bytes(dataclasses.asdict(manifest)), version)
        except Conflict:
            raise UsageError(f"somebody else has just pushed {run!r} to {bucket.address}; push it again") from None
        kept = {stored_name(run, path, entry) for path, entry in ours.items()}
        bucket.remove(key for path, entry in theirs.items() if (key := stored_name(run, path, entry)) not in kept)
    agree(folder, bucket.address, ours)
    return Pushed(manifest=manifest, sent=tuple(filter(None, sent)), overwritten=tuple(changed))


def _unless_gone(send: Callable[[str], str], ours: dict[str, Entry]) -> Callable[[str], str]:
    def sent(path: str) -> str:
        try:
            return send(path)
        except FileNotFoundError:  # dropped a moment ago
            del ours[path]
            return ""

    return sent


def _manifest(folder: Path, files: dict[str, Entry]) -> Manifest:
    header = SweepStore(folder).header
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
    manifest: Manifest
    fetched: tuple[str, ...]
    overwritten: tuple[str, ...]  # files here that had changed since both sides agreed; only with `force`


def pull(bucket: Bucket, run: str, runs: Path, *, force: bool = False) -> Pulled:
    """Make the run here what it is there. It appears, or changes, all at once.

    Raises UsageError if the run here has changed since both sides agreed, unless `force`, or if a driver holds it.
    """
    target, draft = runs / check_name(run), runs / f".pulling-{check_name(run)}"
    draft.mkdir(parents=True, exist_ok=True)
    with sole_driver(draft):
        if not target.exists():
            return _pull(bucket, target, draft, force)
        with sole_driver(target):
            return _pull(bucket, target, draft, force)


def _pull(bucket: Bucket, target: Path, draft: Path, force: bool) -> Pulled:
    ours = Files(target).entries() if target.exists() else {}
    for _ in range(AT_A_TIME):
        manifest = _manifest_there(bucket, target.name)
        changed = differing(ours, manifest.files, agreed(target, bucket.address))
        if changed and not force:
            raise UsageError(
                f"{target} has changed since it was last pushed or pulled: {in_words(changed)}; push it, pull into"
                " another --runs, or overwrite it with --force"
            )
        fetched = _fetch(bucket, manifest, ours, target, draft)
        if fetched is not None:
            break
    else:
        raise EnvironmentFailure(f"{bucket.address}/{target.name} lacks files that its manifest names; push it again")
    if manifest.token:
        agree(draft, bucket.address, manifest.files)
    gone = target.with_name(f".replaced-{target.name}-{os.getpid()}")
    if target.exists():
        target.rename(gone)
    draft.rename(target)
    shutil.rmtree(gone, ignore_errors=True)
    return Pulled(folder=target, manifest=manifest, fetched=tuple(fetched), overwritten=tuple(changed))


def _manifest_there(bucket: Bucket, run: str) -> Manifest:
    """A run's manifest there. Runs that older versions kept there have none: they are what is listed."""
    manifest, _ = read_manifest(bucket, run)
    if manifest is not None:
        return manifest
    header = bucket.read(f"{run}/sweep.json")
    if header is None:
        raise UsageError(f"there is no run {run!r} at {bucket.address}; `digits ls --at {bucket.address}` lists them")
    paths = [path for path in bucket.names(run) if Path(path).name not in STAYS_HERE]
    facts = json.loads(header.content)
    return Manifest(
        token="", pushed_at=0.0, host="", kind=str(facts.get("kind", "")), dataset=str(facts.get("dataset", "")),
        trial_count=int(facts.get("trial_count", 0)), ended_count=0, files=dict.fromkeys(paths, (0, "0" * 64)),
    )  # fmt: skip


def _fetch(
    bucket: Bucket, manifest: Manifest, ours: Mapping[str, Entry], target: Path, draft: Path
) -> list[str] | None:
    """Fill the draft. Returns what was downloaded; None if a file is gone, because somebody has just pushed."""
    there = Files(draft).entries()
    for path in set(there) - set(manifest.files):
        (draft / path).unlink()

    def fetch(path: str) -> str | None:
        entry, place = manifest.files[path], draft / path
        if there.get(path) == entry:  # from a pull that was interrupted
            return ""
        place.parent.mkdir(parents=True, exist_ok=True)
        if ours.get(path) == entry:
            write_atomically(place, (target / path).read_bytes(), durable=False)
            return ""
        stored = bucket.read(stored_name(target.name, path, entry) if manifest.token else f"{target.name}/{path}")
        if stored is None:
            return None
        if manifest.token and entry_of(stored.content) != entry:
            raise EnvironmentFailure(f"{path} is damaged at {bucket.address}/{target.name}; push the run again")
        write_atomically(place, stored.content, durable=False)
        return path

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        fetched = list(pool.map(fetch, manifest.files))
    return None if None in fetched else [path for path in fetched if path]


# --- listing ---


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A run elsewhere, as `digits ls --at` shows it."""

    name: str
    manifest: Manifest
    holder: Holder | None  # whoever is changing it now


def copies_at(bucket: Bucket) -> list[Copy]:
    """The runs there, in the order in which they were last pushed."""
    found = []
    for name in bucket.folders():
        with contextlib.suppress(UsageError):  # a folder without a run
            found.append(Copy(name=name, manifest=_manifest_there(bucket, name), holder=holder_of(bucket, name)))
    return sorted(found, key=lambda copy: (copy.manifest.pushed_at, copy.name))


def found_at(address: str) -> tuple[Bucket, list[str]]:
    """What ADDRESS or ADDRESS/RUN names: the place and the runs in it. Raises UsageError if there are none."""
    parent, _, name = check_elsewhere(address).rpartition("/")
    if NAME_PATTERN.fullmatch(name) and parent and not parent.endswith(":/"):
        bucket = Bucket(parent)
        if any(bucket.read(f"{name}/{file}") for file in (MANIFEST, "sweep.json")):
            return bucket, [name]
    bucket = Bucket(address)
    names = [copy.name for copy in copies_at(bucket)]
    if not names:
        raise UsageError(f"there is no run at {bucket.address}")
    return bucket, names


def check_removable_at(bucket: Bucket, run: str) -> Manifest:
    """The run's manifest there. Raises UsageError if there is none, or if somebody is changing the run."""
    manifest, holder = _manifest_there(bucket, check_name(run)), holder_of(bucket, run)
    if holder is not None:
        raise UsageError(f"{run!r} is in use at {bucket.address}: {holder.text}; wait for it or stop it")
    return manifest


def remove_at(bucket: Bucket, run: str) -> int:
    """Delete a run there, its manifest first, so that it disappears at once. Returns its size in bytes."""
    manifest, lease = check_removable_at(bucket, run), Lease(bucket, run)
    bucket.remove([f"{run}/{MANIFEST}", f"{run}/sweep.json"])
    bucket.remove(f"{run}/{name}" for name in bucket.names(run) if name != LEASE)
    lease.release()
    return manifest.byte_count
