"""`digits watch`: a run's live view in another terminal, fed by its journal."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digits_core.errors import EnvironmentFailure
from digits_core.runs.journal import FILE_NAME
from digits_core.runs.ownership import is_running
from digits_core.runs.store import SweepStore
from sweeps.view.progress import SweepView

POLL_SECONDS = 0.5


class JournalTail:
    """Reads the complete lines of a journal that is being written, each once."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset = path, 0

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """The lines added since the last call. Raises EnvironmentFailure for a damaged line."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError) as error:
                raise EnvironmentFailure(f"cannot use {self.path} ({error})") from error


def watch(store: SweepStore, view: SweepView, poll_seconds: float = POLL_SECONDS) -> None:
    """Show the run until its driver is gone. Reads only."""
    tail = JournalTail(store.folder / FILE_NAME)
    lines = list(tail.new_lines())
    begun = max((position for position, line in enumerate(lines) if line.get("event") == "session"), default=0)
    past, present = lines[:begun], lines[begun:]
    over = {line["trial"] for line in past if line.get("event") == "over"}
    earlier = [record for record in store.records() if record.trial in over]
    view.recall(earlier, time.time() - float(present[0].get("started_at", time.time())) if present else 0.0)
    while True:
        for line in present:
            _tell(store, view, line)
        view.tick()
        if not present and not is_running(store.folder):
            return
        time.sleep(poll_seconds)
        present = list(tail.new_lines())


def _tell(store: SweepStore, view: SweepView, line: dict[str, Any]) -> None:
    event = line.get("event")
    if event == "drawn":
        view.trial_started(line["trial"])
    elif event == "epoch":
        view.trial_advanced(line["trial"], line["epoch"])
    elif event == "retried":
        view.trial_retried(line["trial"])
    elif event == "over":
        record = store.trial(line["trial"]).read_record()
        if record is not None:
            view.trial_over(record)
