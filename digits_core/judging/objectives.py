"""What a search can optimise, each a number in a trial's record; and the Pareto front."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from digits_core.errors import UsageError, unknown_name
from digits_core.records import DEFAULT_OBJECTIVES, RunRecord


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A number in a record, and whether lower or higher is better."""

    title: str
    direction: Literal["minimize", "maximize"]
    value: Callable[[RunRecord], float]
    text: Callable[[float], str]

    def loss(self, record: RunRecord) -> float:
        """The value, negated if it is maximised: lower is better."""
        return self.value(record) if self.direction == "minimize" else -self.value(record)


def _accuracy(record: RunRecord) -> float:
    assert record.validation is not None
    return record.validation.accuracy


OBJECTIVES = {
    "nll": Objective(title="validation NLL", direction="minimize", value=lambda r: r.nll, text="{:.4f}".format),
    "accuracy": Objective(title="validation accuracy", direction="maximize", value=_accuracy, text="{:.2%}".format),
    "params": Objective(
        title="parameters", direction="minimize", value=lambda r: float(r.parameter_count), text="{:,.0f}".format
    ),
    "latency": Objective(
        title="microseconds per image",
        direction="minimize",
        value=lambda r: 1e6 * r.image_seconds if r.image_seconds else math.nan,
        text="{:,.1f}".format,
    ),
}
"""By name. Latency is the time per image of a forward pass in large batches: the fastest over the validation set."""


def parse_objectives(text: str) -> tuple[str, ...]:
    """`nll,params` -> names. Raises UsageError for unknown or repeated names, and if none is a validation score."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in OBJECTIVES:
            raise unknown_name("objective", name, OBJECTIVES)
    if len(set(names)) < len(names):
        raise UsageError(f"--objective has the same name twice: {text}; write each once")
    if names != DEFAULT_OBJECTIVES and (len(names) == 1 or not {"nll", "accuracy"} & set(names)):
        raise UsageError(
            f"--objective must be nll, or several that include nll or accuracy (such as nll,params), got {text}"
        )
    return names


def values_of(record: RunRecord, names: Sequence[str]) -> tuple[float, ...] | None:
    """A trial's values of these objectives; None if it does not count or a value was not measured."""
    if not record.counts:
        return None
    values = tuple(OBJECTIVES[name].value(record) for name in names)
    return values if all(map(math.isfinite, values)) else None


def pareto_front(records: Iterable[RunRecord], names: Sequence[str]) -> list[RunRecord]:
    """The Pareto front, sorted by the first objective, best first.

    A trial is on it unless another is at least as good in every objective and better in one. Trials with the same
    values are all on it.
    """
    losses = [
        (record, tuple(OBJECTIVES[name].loss(record) for name in names))
        for record in records
        if values_of(record, names) is not None
    ]
    front: list[tuple[RunRecord, tuple[float, ...]]] = []
    # In this order, a trial comes before all that it dominates.
    for record, own in sorted(losses, key=lambda pair: (pair[1], pair[0].trial)):
        if not any(other != own and all(map(float.__le__, other, own)) for _, other in front):
            front.append((record, own))
    return [record for record, _ in front]
