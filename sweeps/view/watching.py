"""`digits watch`: a run's live view in another terminal, fed by its journal."""

import time
from collections.abc import Iterator
from pathlib import Path

from digits_core.runs.durable import check_regular, unusable
from digits_core.runs.journal import (
    FILE_NAME,
    DrawnTrial,
    EndedEpoch,
    EndedTrial,
    Event,
    RetriedTrial,
    Session,
    read_event,
)
from digits_core.runs.ownership import is_running
from digits_core.runs.run import Run
from sweeps.view.progress import SweepView

POLL_SECONDS = 0.5


class JournalTail:
    """Reads the complete lines of a journal that is being written, each once."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset = path, 0

    def new_events(self) -> Iterator[Event]:
        """The events added since the last call. Raises EnvironmentFailure for a damaged line."""
        check_regular(self.path)
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            try:
                event = read_event(line)
            except ValueError as error:
                raise unusable(self.path, error) from error
            if event is not None:
                yield event


def watch(run: Run, view: SweepView, poll_seconds: float = POLL_SECONDS) -> None:
    """Show the run until its driver is gone. Reads only."""
    tail = JournalTail(run.folder / FILE_NAME)
    events = list(tail.new_events())
    begun = max((place for place, event in enumerate(events) if isinstance(event, Session)), default=0)
    past, present = events[:begun], events[begun:]
    over = {event.trial for event in past if isinstance(event, EndedTrial)}
    earlier = [record for record in run.records if record.trial in over]
    session = present[0] if present else None
    view.recall(earlier, time.time() - session.started_at if isinstance(session, Session) else 0.0)
    while True:
        for event in present:
            _tell(run, view, event)
        view.tick()
        if not present and not is_running(run.folder):
            return
        time.sleep(poll_seconds)
        present = list(tail.new_events())


def _tell(run: Run, view: SweepView, event: Event) -> None:
    if isinstance(event, DrawnTrial):
        view.trial_started(event.trial)
    elif isinstance(event, EndedEpoch):
        view.trial_advanced(event.trial, event.epoch)
    elif isinstance(event, RetriedTrial):
        view.trial_retried(event.trial)
    elif isinstance(event, EndedTrial):
        record = run.trial(event.trial).read_record()
        if record is not None:
            view.trial_over(record)
