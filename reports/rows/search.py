"""How a search went: the rows behind the charts. Records and the journal in, plain values out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from digits_core.errors import EnvironmentFailure
from digits_core.recipe import Recipe, Scalar
from digits_core.records import RunHeader, RunRecord
from digits_core.runs.run import Run

Clock = Callable[[float], float]  # seconds since 1970 -> seconds of search so far


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """One trial that counts; points are in the order in which trials ended."""

    trial: int
    status: str
    ended_seconds: float  # of search, since the first trial's start
    epochs: int  # of all trials that have ended so far
    nll: float
    incumbent_nll: float  # the lowest so far


@dataclass(frozen=True, kw_only=True)
class LaneBar:
    """A trial on the timeline. Lanes are reconstructed from start and end times: trials in one lane never overlap."""

    trial: int
    status: str
    lane: int  # from 0
    start_seconds: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Rung:
    """An epoch after which the scheduler stopped trials."""

    epoch: int
    reached_n: int  # trials that finished this epoch
    stopped_n: int  # of these, stopped after it

    @property
    def continued_count(self) -> int:
        """Trials that were not stopped here."""
        return self.reached_n - self.stopped_n


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A field of the search space that took more than one value."""

    name: str
    numeric: bool
    log: bool
    values: tuple[Scalar | None, ...]  # one per trial that counts, best first; None if the field does not apply


@dataclass(frozen=True, kw_only=True)
class CostPoint:
    """What a trial cost in time, and the fields that may explain it."""

    trial: int
    model: str
    optimizer: str
    batch_size: int
    learning_rate: float
    epochs: int
    epoch_seconds: float  # wall time, validation included
    seconds: float  # of the whole trial


def sessions_of(run: Run) -> list[tuple[float, float]]:
    """First and last heartbeat of each driver, in seconds since 1970.

    Empty if the journal is damaged: the page is still written, but breaks between sessions then count as search time.
    """
    try:
        return run.history.sessions
    except EnvironmentFailure:
        return []


def search_clock(sessions: Sequence[tuple[float, float]], records: Sequence[RunRecord]) -> Clock:
    """Return a clock that gives the seconds of search up to a moment; breaks between sessions do not count.

    sessions: first and last heartbeat of each driver, from the journal. Without any, all time since the first trial's
    start counts.
    """
    start = min((record.started_at for record in records), default=0.0)
    spans = [(max(first, start), last) for first, last in sessions if last > start]
    if not spans:
        return lambda moment: max(moment - start, 0.0)
    # A record may be complete only after the journal's last line, so all time after the last session counts.
    end = max(last for _, last in spans)

    def clock(moment: float) -> float:
        inside = sum(max(min(moment, last) - first, 0.0) for first, last in spans)
        return inside + max(moment - end, 0.0)

    return clock


def history(records: Sequence[RunRecord], clock: Clock | None = None) -> tuple[HistoryPoint, ...]:
    """The trials that count in the order in which they ended, each with the lowest NLL so far."""
    counting = sorted((record for record in records if record.counts), key=lambda record: record.ended_at)
    passed = clock or search_clock((), counting)
    points: list[HistoryPoint] = []
    for record in counting:
        before = points[-1] if points else None
        points.append(
            HistoryPoint(
                trial=record.trial,
                status=record.status,
                ended_seconds=passed(record.ended_at),
                epochs=(before.epochs if before else 0) + len(record.curve) - record.inherited_epochs,
                nll=record.nll,
                incumbent_nll=min(record.nll, before.incumbent_nll) if before else record.nll,
            )
        )
    return tuple(points)


def lanes(records: Sequence[RunRecord], clock: Clock) -> tuple[LaneBar, ...]:
    """Every trial as a bar, failed ones included; each takes the first lane that is free when it starts."""
    free_at: list[float] = []
    bars = []
    for record in sorted(records, key=lambda record: (record.started_at, record.trial)):
        start, end = clock(record.started_at), clock(record.ended_at)
        lane = next((place for place, moment in enumerate(free_at) if moment <= start), len(free_at))
        free_at[lane : lane + 1] = [end]
        bars.append(
            LaneBar(
                trial=record.trial, status=record.status, lane=lane, start_seconds=start, seconds=max(end - start, 0.0)
            )
        )
    return tuple(bars)


def rungs(records: Sequence[RunRecord]) -> tuple[Rung, ...]:
    """The epochs after which trials were stopped, with the number of trials that reached each."""
    stopped_after = [len(record.curve) for record in records if record.status == "stopped"]
    return tuple(
        Rung(
            epoch=epoch,
            reached_n=sum(len(record.curve) >= epoch for record in records),
            stopped_n=stopped_after.count(epoch),
        )
        for epoch in sorted(set(stopped_after))
    )


def dimensions(header: RunHeader, ranked: Sequence[RunRecord]) -> tuple[Dimension, ...]:
    """The fields that the search varied, with their values in the ranked trials."""
    space = header.plan.space if header.plan else {name: {} for name in header.space}
    fields = [record.recipe.as_overrides() for record in ranked]
    found = []
    for name, parameter in space.items():
        if not all(name in values for values in fields):
            continue
        values = tuple(values[name] if _has_a_say(parameter, values) else None for values in fields)
        different = {value for value in values if value is not None}
        if len(different) > 1:
            numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in different)
            found.append(Dimension(name=name, numeric=numeric, log=bool(parameter.get("log")), values=values))
    return tuple(found)


def _has_a_say(parameter: Mapping[str, Any], values: Mapping[str, Scalar]) -> bool:
    when = parameter.get("when") or {}
    return all(values.get(field) in allowed for field, allowed in when.items())


def footing(ranked: Sequence[RunRecord]) -> tuple[int, tuple[float, ...]]:
    """The last epoch that every trial reached, and each trial's lowest NLL up to it. Inherited epochs are left out.

    Trials that were stopped early had fewer epochs to learn in, so fields can be compared fairly only up to this epoch.
    """
    own = [record.curve[record.inherited_epochs :] for record in ranked]
    epoch = min(map(len, own))
    lowest = [
        min(row.validation_nll for row in curve[:epoch]) if epoch else record.nll
        for record, curve in zip(ranked, own, strict=True)
    ]
    return epoch, tuple(lowest)


def costs(records: Sequence[RunRecord]) -> tuple[CostPoint, ...]:
    """One point for every trial that finished an epoch of its own."""
    found = []
    for record in records:
        own = record.curve[record.inherited_epochs :]
        if own:
            recipe: Recipe = record.recipe
            found.append(
                CostPoint(
                    trial=record.trial,
                    model=recipe.model.name,
                    optimizer=recipe.optimizer.name,
                    batch_size=recipe.training.batch_size,
                    learning_rate=recipe.optimizer.learning_rate,
                    epochs=len(own),
                    epoch_seconds=record.train_seconds / len(own),
                    seconds=record.train_seconds,
                )
            )
    return tuple(found)
