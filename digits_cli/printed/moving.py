"""What `digits push`, `pull` and `ls --at` print."""

import time
from typing import Any

from digits_core.remote.bucket import Bucket
from digits_core.remote.copies import Copy, Pulled, Pushed
from digits_core.remote.manifest import Manifest
from digits_core.runs.command_line import digits_command, runs_option
from digits_core.stored import asked_trials
from sweeps.words import counted


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "kind": manifest.kind,
        "dataset": manifest.dataset,
        "trials_planned": asked_trials(manifest.trial_count),
        "trials_ended": manifest.ended_count,
        "files": len(manifest.files),
        "bytes": manifest.byte_count,
        "pushed_at": manifest.pushed_at,
        "pushed_from": manifest.host,
    }


def push_document(bucket: Bucket, run: str, done: Pushed) -> dict[str, Any]:
    facts = _facts(done.manifest)
    return {"run": run, "at": bucket.address, "sent": len(done.sent), "overwritten": list(done.overwritten), **facts}


def push_lines(bucket: Bucket, run: str, done: Pushed) -> list[tuple[str, str]]:
    sent = f"{counted(len(done.sent), 'file')} sent" if done.sent else "nothing to send"
    size = f"{counted(len(done.manifest.files), 'file')}, {done.manifest.byte_count / 1e6:.1f} MB there"
    return [("pushed", f"{run}: {sent}; {size}"), ("next", digits_command("ls", "--at", bucket.address))]


def pull_document(done: list[Pulled]) -> list[dict[str, Any]]:
    return [
        {
            "run": one.folder.name,
            "folder": str(one.folder.absolute()),
            "files": len(one.files),
            "fetched": len(one.fetched),
            "overwritten": list(one.overwritten),
        }
        for one in done
    ]


def pull_lines(done: list[Pulled]) -> list[tuple[str, str]]:
    lines = [
        ("pulled", f"{one.folder}: {counted(len(one.fetched), 'file')} fetched of {len(one.files)}") for one in done
    ]
    return [*lines, ("next", digits_command("show", done[-1].folder.name, *runs_option(done[-1].folder)))]


def copies_document(copies: list[Copy]) -> list[dict[str, Any]]:
    return [
        {
            "run": copy.name,
            **({"problem": copy.problem} if copy.manifest is None else _facts(copy.manifest)),
            "in_use_by": copy.holder and copy.holder.text,
        }
        for copy in copies
    ]


def copies_lines(address: str, copies: list[Copy]) -> list[tuple[str, str]]:
    lines = []
    for copy in copies:
        what = copy.problem if copy.manifest is None else _in_words(copy.manifest)
        if copy.holder is not None:
            what += f"; in use: {copy.holder.text}"
        lines.append((copy.name, what))
    return [*lines, ("next", digits_command(*(["pull"] if copies else ["push", "RUN"]), address))]


def _in_words(manifest: Manifest) -> str:
    planned = asked_trials(manifest.trial_count)
    of_planned = f" of {planned}" if planned else ""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.pushed_at))
    return (
        f"{manifest.kind} on {manifest.dataset}, {manifest.ended_count}{of_planned} trials,"
        f" {manifest.byte_count / 1e6:.1f} MB, pushed {when} from {manifest.host}"
    )
