"""What ends a search before all its trials have run: a time budget, a target accuracy."""

import math
import time
from dataclasses import dataclass

from digits_core.errors import UsageError

SECONDS_FOR_THE_REST, SECONDS_A_MILLION_PIXELS = 8.0, 6.0
"""Reserved for what follows the search: stopping Ray, testing the leader, the report; and then `digits ensemble`, which
tests five more models. The second figure is for the size of the test set, estimated by that of the validation set
(docs/lab-log.md)."""

MOST_OF_A_BUDGET = 0.25
"""The largest share of a short budget that is reserved for what follows the search."""

WHOLE_TIME, AS_LONG_AFTERWARDS, LONGER_AFTERWARDS = (1.0, 1.0), (0.4, 0.4), (0.2, 0.4)
SHORT_SEARCH_SECONDS = 120.0
"""The share of the training time that the search gets: alone, if a confirmation follows that trains as long, and if it
trains for longer. The first figure is the share, but a search shorter than two minutes gets up to the second
(docs/decisions.md)."""

START_SECONDS = 10.0
"""Until the first run begins: Ray starts, workers import torch."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """When to stop a search. The deadline is in `time.monotonic` seconds."""

    deadline: float | None = None
    target_error_rate: float | None = None

    @staticmethod
    def of(
        begun_at: float,
        budget_seconds: float | None,
        target_accuracy: float | None,
        pixel_count: int,
        shares: tuple[float, float] = WHOLE_TIME,
    ) -> "Ending":
        """`begun_at` is when the command started: the budget includes its start and its end.

        `pixel_count` is that of the validation set. shares: what part of the training time, beside the start of
        its workers, this run may use, at least and at most; the rest is for a confirmation that follows.
        """
        deadline = None
        if budget_seconds is not None:
            rest = SECONDS_FOR_THE_REST + SECONDS_A_MILLION_PIXELS * pixel_count / 1e6
            training_seconds = budget_seconds - min(rest, MOST_OF_A_BUDGET * budget_seconds)
            start = min(START_SECONDS, training_seconds)
            least, most = (share * (training_seconds - start) for share in shares)
            deadline = begun_at + start + max(least, min(most, SHORT_SEARCH_SECONDS))
        return Ending(deadline=deadline, target_error_rate=None if target_accuracy is None else 1 - target_accuracy)

    @property
    def seconds_left(self) -> float:
        """Until the deadline, at least 0; without one there is no end."""
        return math.inf if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def is_due(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def is_reached(self, error_rate: float) -> bool:
        """Whether this validation error rate meets the target."""
        return self.target_error_rate is not None and error_rate <= self.target_error_rate + 1e-12


def parse_target(text: str) -> float:
    """Parse `accuracy=0.995` (or 99.5%). Raises UsageError for anything else."""
    name, equals, value = (piece.strip() for piece in text.partition("="))
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if name != "accuracy" or not equals or not 0 < number <= 1:
        raise UsageError(f"--target takes a validation accuracy, written as accuracy=0.995, got {text!r}")
    return number
