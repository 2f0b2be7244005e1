"""What ends a search before its trials are all run: a time budget, a target."""

import time
from dataclasses import dataclass

from digits_core.errors import UsageError

SECONDS_FOR_THE_REST, SECONDS_A_MILLION_PIXELS = 8.0, 6.0
"""From the end of the search to the end of the commands: Ray's end, the leader on the sealed part, the report; and then
`digits ensemble`, which tests five more. The second figure is for the size of the sealed part, for which that of the
validation part stands (docs/lab-log.md)."""

MOST_OF_A_BUDGET = 0.25
"""For the rest, in any case no more than this share of a short budget."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """When to stop. Times are of `time.monotonic`."""

    deadline: float | None = None
    target_error_rate: float | None = None

    @staticmethod
    def of(begun_at: float, budget_seconds: float | None, target_accuracy: float | None, pixel_count: int) -> "Ending":
        """`begun_at` is when the command began: its start and its end are inside the budget."""
        deadline = None
        if budget_seconds is not None:
            rest = SECONDS_FOR_THE_REST + SECONDS_A_MILLION_PIXELS * pixel_count / 1e6
            deadline = begun_at + budget_seconds - min(rest, MOST_OF_A_BUDGET * budget_seconds)
        return Ending(deadline=deadline, target_error_rate=None if target_accuracy is None else 1 - target_accuracy)

    def is_due(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def is_reached(self, error_rate: float) -> bool:
        """Whether a trial with this validation error rate is good enough."""
        return self.target_error_rate is not None and error_rate <= self.target_error_rate + 1e-12


def parse_target(text: str) -> float:
    """Read `accuracy=0.995` (or 99.5%). Raises UsageError for anything else."""
    name, equals, value = (piece.strip() for piece in text.partition("="))
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if name != "accuracy" or not equals or not 0 < number <= 1:
        raise UsageError(f"--target is written as accuracy=0.995, an accuracy on validation, got {text!r}")
    return number
