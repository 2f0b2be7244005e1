"""Accuracies with their intervals on one axis, so that a reader sees which overlap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from digits_core.judging.candidates import Candidate
from digits_core.judging.stats import Interval
from reports.rows.verdict import mean_errors_text

MARGIN = 0.06  # of the axis, on either side of the widest interval


@dataclass(frozen=True, kw_only=True)
class Span:
    """An accuracy with its interval, on the axis that all spans share."""

    name: str
    link: str
    part: str
    n: int
    wrong: str  # the error count; a mean over several runs
    accuracy: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Accuracies one below the other, on one axis."""

    spans: tuple[Span, ...]
    axis: tuple[float, float]  # accuracy at the left and right end
    ticks: tuple[float, ...]

    @staticmethod
    def of(spans: Sequence[Span]) -> "Spans":
        """On an axis that holds them all."""
        axis, ticks = axis_of([span.interval for span in spans])
        return Spans(spans=tuple(spans), axis=axis, ticks=ticks)

    def place(self, accuracy: float) -> float:
        """Where on the axis an accuracy is, in percent of its length."""
        low, high = self.axis
        return 100 * (accuracy - low) / (high - low)

    @property
    def part(self) -> str:
        """What all of them were scored on; empty if that differs."""
        parts = {span.part for span in self.spans}
        return parts.pop() if len(parts) == 1 else ""


def span_of(candidate: Candidate, name: str, link: str, part: str) -> Span:
    """A candidate's accuracy, on the sealed test set where it was opened for it; part: what it was ranked on."""
    answers = candidate.test or candidate.validation
    seeds = len(answers.error_counts)
    return Span(
        name=f"{name}, mean of {seeds} seeds" if seeds > 1 else name,
        link=link,
        part="sealed test" if candidate.test else part,
        n=answers.n,
        wrong=mean_errors_text(answers),
        accuracy=answers.accuracy.mean,
        interval=answers.interval,
    )


def axis_of(intervals: Sequence[Interval]) -> tuple[tuple[float, float], tuple[float, ...]]:
    """An axis that holds all intervals, not beyond 0 and 1, and three to six round ticks on it."""
    low, high = min(one.low for one in intervals), max(one.high for one in intervals)
    margin = MARGIN * ((high - low) or 0.01)
    low, high = max(low - margin, 0.0), min(high + margin, 1.0)
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(power * factor for factor in (5, 2, 1) if (high - low) / (power * factor) >= 2.5)
    first = math.ceil(low / step - 1e-9)
    ticks = [round(count * step, 12) for count in range(first, math.floor(high / step + 1e-9) + 1)]
    return (low, high), tuple(ticks)
