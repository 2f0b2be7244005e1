"""Weights & Biases: a run and its trials as one group, online or, without an account, in a folder to sync later."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_SILENT", "true")

import wandb

from digits_core.errors import EnvironmentFailure, shortened
from digits_core.runs.durable import write_atomically
from digits_core.runs.trial_folder import WEIGHTS
from digits_core.tracking.story import Entry, clock, curve_figures, finite, slug, title

PROJECT = "digits"
SENT = "digits-sent.json"  # in the folder: what was sent already, by the identifier of the entry


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """What was sent of an entry. files: their checksums by name."""

    fingerprint: str = ""
    epochs: int = 0
    files: dict[str, str] = field(default_factory=dict)


class WandB:
    """Writes to FOLDER/wandb and, if there is an account and the mode is not offline, to its server."""

    def __init__(self, folder: Path, project: str = PROJECT) -> None:
        self.folder, self.project = folder, project
        os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb"))  # else files wait in the home folder
        self.mode: Any = os.environ.get("WANDB_MODE")
        if not self.mode:
            with self._told():
                self.mode = "online" if wandb.login(prompt=False) else "offline"
        self.where = f"{folder / 'wandb'} ({self.mode})"
        runs = folder / "wandb" / "offline-run-*"
        self.next_command = f"wandb sync {runs}" if self.mode == "offline" else "open https://wandb.ai"
        self.list = folder / "wandb" / SENT
        self.sent = _read(self.list)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (wandb.Error, OSError) as error:
            reason = shortened(str(error).strip() or type(error).__name__, 200)
            raise EnvironmentFailure(
                f"Weights & Biases did not accept the run: {reason}; run wandb login, or set WANDB_MODE=offline"
            ) from error

    def send(self, entry: Entry, of: Entry) -> bool:
        """Send the entry, or what is new about it."""
        known = self.sent.get(entry.identifier, _Sent())
        if known.fingerprint == entry.fingerprint:
            return False
        with self._told():
            self.folder.mkdir(parents=True, exist_ok=True)
            run = wandb.init(
                project=self.project, dir=str(self.folder), id=entry.identifier, resume="allow", mode=self.mode,
                name=title(entry, of), group=of.name,
                job_type="run" if entry.is_run else "ensemble" if entry.name == "ensemble" else "trial",
                config={**entry.parameters, "facts": entry.facts},
                tags=[slug(of.facts["kind"])], reinit="create_new", settings=_settings(),
            )  # fmt: skip
            for row, at in list(clock(entry))[known.epochs :]:
                run.log({"epoch": row.epoch, "ended_at": at, **curve_figures(row)}, step=row.epoch)
            run.summary.update(finite(entry.figures))
            self._send_files(run, entry, known.files)
            run.finish(exit_code=1 if entry.status == "failed" else 0)
            files = {file.name: file.checksum for file in entry.files}
            self.sent[entry.identifier] = _Sent(fingerprint=entry.fingerprint, epochs=len(entry.curve), files=files)
            write_atomically(self.list, msgspec.json.encode(self.sent))
        return True

    def _send_files(self, run: Any, entry: Entry, known: dict[str, str]) -> None:
        for file in entry.files:
            if known.get(file.name) == file.checksum:
                continue
            kind = "model" if file.name == WEIGHTS else "report"
            artifact = wandb.Artifact(f"{slug(entry.key).replace('/', '-')}-{slug(file.name)}", type=kind)
            if file.path is not None:
                artifact.add_file(str(file.path), name=file.name)
            else:
                with artifact.new_file(file.name) as stream:
                    stream.write(file.text)
            run.log_artifact(artifact)


def _settings() -> wandb.Settings:
    """No code, no console, no machine figures: what is told is what is stored."""
    return wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_save_requirements=False,
    )


def _read(path: Path) -> dict[str, _Sent]:
    """What was sent already. A file that is missing or damaged means nothing: it is sent again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Sent])
    except (OSError, msgspec.DecodeError):
        return {}
