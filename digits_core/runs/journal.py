"""A run's journal: an append-only file from which an interrupted search is resumed.

One JSON document per line, each with `event` and `at` (seconds since 1970):

| event   | meaning                                                                       | synced |
| ------- | ----------------------------------------------------------------------------- | ------ |
| session | a driver started or resumed the run: number, start, host, process             | yes    |
| drawn   | an Assignment: a trial's number, its recipe, its point in the search space    | yes    |
| epoch   | a trial finished an epoch: the lowest validation NLL so far                   | no     |
| retried | a trial's process was lost; it continues from its last epoch                  | no     |
| over    | a trial ended and its record is complete, with this status                    | no     |

Lines that are not synced repeat what other files hold: a trial's record says more than its line here. Readers ignore a
torn last line; the next writer cuts it off.
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from digits_core.records import Assignment, Status
from digits_core.runs.durable import check_regular, opened_for_appending, unusable
from digits_core.stored import Count, Seconds, TrialNumber, from_json, from_values

FILE_NAME = "journal.jsonl"


@dataclass(frozen=True, kw_only=True)
class Session:
    """A driver started or resumed the run."""

    at: Seconds
    started_at: Seconds


@dataclass(frozen=True, kw_only=True)
class DrawnTrial(Assignment):
    """A trial will be trained."""

    at: Seconds

    @property
    def assignment(self) -> Assignment:
        """The event without its time."""
        return Assignment(**{one.name: getattr(self, one.name) for one in fields(Assignment)})


@dataclass(frozen=True, kw_only=True)
class EndedEpoch:
    """A trial finished an epoch."""

    at: Seconds
    trial: TrialNumber
    epoch: Count
    nll: float


@dataclass(frozen=True, kw_only=True)
class RetriedTrial:
    """A trial's process was lost."""

    at: Seconds
    trial: TrialNumber


@dataclass(frozen=True, kw_only=True)
class EndedTrial:
    """A trial ended."""

    at: Seconds
    trial: TrialNumber
    status: Status


Event = Session | DrawnTrial | EndedEpoch | RetriedTrial | EndedTrial
EVENTS: dict[object, type[Event]] = {
    "session": Session,
    "drawn": DrawnTrial,
    "epoch": EndedEpoch,
    "retried": RetriedTrial,
    "over": EndedTrial,
}


def read_event(line: bytes) -> Event | None:
    """One line of a journal; None for an event that this version does not know. Raises ValueError if it is damaged."""
    values = from_json(dict[str, Any], line, with_others=True)
    if "event" not in values:
        raise ValueError("it names no event")
    kind = EVENTS.get(str(values.pop("event")))
    if kind is None:
        return None
    # Another version may say more about an event, but not about what a trial is to train.
    return from_values(kind, values, with_others=kind is not DrawnTrial)


@dataclass
class TrialHistory:
    """What the journal says about one trial."""

    assignment: Assignment
    nlls: dict[int, float] = field(default_factory=dict)  # epoch -> the lowest validation NLL so far
    status: str | None = None  # None: it had not ended when the journal was last written
    retries: int = 0


@dataclass
class History:
    """What a journal says. `trials` is in the order in which they were drawn."""

    trials: dict[int, TrialHistory] = field(default_factory=dict)
    order: list[tuple[int, int | None]] = field(default_factory=list)  # (trial, epoch or None for its end), in order
    sessions: list[tuple[float, float]] = field(default_factory=list)  # times of each driver's first and last event

    @property
    def assignments(self) -> list[Assignment]:
        """What all trials are to train."""
        return [trial.assignment for trial in self.trials.values()]

    @property
    def unfinished(self) -> list[TrialHistory]:
        """Trials that were drawn and have not ended."""
        return [trial for trial in self.trials.values() if trial.status is None]

    @property
    def over(self) -> list[TrialHistory]:
        """Trials that ended: they will not run again."""
        return [trial for trial in self.trials.values() if trial.status is not None]

    def working_seconds(self, started: Iterable[float]) -> float:
        """Seconds of all sessions, each from its first start of a trial to its last event.

        `started`: when each trial started.
        """
        starts = sorted(started)
        return sum(
            last - next((start for start in starts if first <= start <= last), first) for first, last in self.sessions
        )

    @property
    def seconds(self) -> float:
        """Wall time of all sessions together."""
        return sum(last - first for first, last in self.sessions)

    def add(self, event: Event) -> None:
        """Add an event. Raises LookupError if it does not fit those before it."""
        if isinstance(event, Session):
            self.sessions.append((event.started_at, event.at))
            return
        first, _ = self.sessions[-1]
        self.sessions[-1] = (first, event.at)
        if isinstance(event, DrawnTrial):
            self.trials[event.trial] = TrialHistory(assignment=event.assignment)
            return
        trial = self.trials[event.trial]
        if isinstance(event, EndedEpoch):
            trial.nlls[event.epoch] = event.nll
            self.order.append((event.trial, event.epoch))
        elif isinstance(event, RetriedTrial):
            trial.retries += 1
        else:
            trial.status = event.status
            self.order.append((event.trial, None))


def read_journal(folder: Path) -> History:
    """The history of a run; an empty one if it has no journal. Raises EnvironmentFailure if the journal is damaged."""
    history, path = History(), folder / FILE_NAME
    check_regular(path)
    try:
        content = path.read_bytes() if path.exists() else b""
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            event = read_event(line)
            if event is not None:
                history.add(event)
    except OSError as error:
        raise unusable(path, error) from error
    except ValueError as error:
        raise unusable(path, error) from error
    except LookupError:
        raise unusable(path, "it names a trial before it was drawn, or has lost its first line") from None
    return history


class Journal:
    """Appends to a run's journal. One writer at a time: see `digits_core.runs.ownership`."""

    def __init__(self, folder: Path) -> None:
        self.stream = opened_for_appending(folder / FILE_NAME)
        self.stream.seek(0)
        self.stream.truncate(self.stream.read().rfind(b"\n") + 1)

    def session(self, number: int, started_at: float) -> None:
        """A driver starts or resumes the run. `started_at`: when it began to look for its workers."""
        owner = {"host": socket.gethostname(), "process": os.getpid()}
        self._append("session", {"number": number, "started_at": started_at, **owner}, durable=True)

    def drawn(self, *assignments: Assignment) -> None:
        """These trials will be trained. Only the last line is synced, which syncs those before it."""
        for assignment in assignments:
            self._append("drawn", assignment.to_dict(), durable=assignment is assignments[-1])

    def epoch(self, trial: int, epoch: int, nll: float) -> None:
        """A trial finished an epoch. `nll`: its lowest validation NLL so far."""
        self._append("epoch", {"trial": trial, "epoch": epoch, "nll": nll})

    def retried(self, trial: int) -> None:
        """A trial's process was lost; it continues from its last epoch."""
        self._append("retried", {"trial": trial})

    def over(self, trial: int, status: str) -> None:
        """A trial ended and its record is complete."""
        self._append("over", {"trial": trial, "status": status})

    def _append(self, event: str, facts: Mapping[str, Any], *, durable: bool = False) -> None:
        line = json.dumps({"event": event, "at": time.time(), **facts}, allow_nan=False)
        self.stream.write(line.encode() + b"\n")
        self.stream.flush()
        if durable:
            os.fsync(self.stream.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stream.close()
