"""What the first screen of a run's page shows: accuracies as intervals, a curve, mistakes, a small confusion matrix."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digits_core.judging.candidates import Candidate
from digits_core.judging.stats import Interval
from digits_core.records import RunKind
from reports.rows.answers import WorstImage
from reports.rows.tables import ReportData
from reports.rows.verdict import (
    Check,
    checks_of,
    comparison_verdict,
    date_of,
    mean_errors_text,
    openings_text,
    sweep_verdict,
    tie_text,
    title_of,
    training_verdict,
)
from reports.rows.views import Result, View

MOST_SPANS = 5
MARGIN = 0.06  # of the axis, on either side of the widest interval
SHOWN_MISTAKES = 8
SHOWN_CELLS = 3
MOST_CURVE_POINTS = 200


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
class Axis:
    """Where accuracies are drawn, one below the other."""

    low: float  # accuracy at its left end
    high: float
    ticks: tuple[float, ...]

    @staticmethod
    def over(intervals: Sequence[Interval]) -> "Axis":
        """One that holds all intervals, not beyond 0 and 1, with three to six round ticks."""
        low, high = min(one.low for one in intervals), max(one.high for one in intervals)
        margin = MARGIN * ((high - low) or 0.01)
        low, high = max(low - margin, 0.0), min(high + margin, 1.0)
        power = 10.0 ** math.floor(math.log10((high - low) / 3))
        step = next(power * factor for factor in (5, 2, 1) if (high - low) / (power * factor) >= 2.5)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return Axis(low=low, high=high, ticks=tuple(round(count * step, 12) for count in range(first, last + 1)))

    def place(self, accuracy: float) -> float:
        """Where an accuracy is, in percent of the length."""
        return 100 * (accuracy - self.low) / (self.high - self.low)


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Accuracies with their intervals on one axis, so that a reader sees which overlap."""

    spans: tuple[Span, ...]
    axis: Axis

    @staticmethod
    def of(spans: Sequence[Span]) -> "Spans":
        """On an axis that holds them all."""
        return Spans(spans=tuple(spans), axis=Axis.over([span.interval for span in spans]))

    @property
    def part(self) -> str:
        """What all of them were scored on; empty if that differs."""
        parts = {span.part for span in self.spans}
        return parts.pop() if len(parts) == 1 else ""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A figure that should fall, in the unit square: x to the right, y upwards."""

    link: str
    title: str
    points: tuple[tuple[float, float], ...]
    steps: bool  # it stays at a value until the next point
    first: str
    last: str
    passed: str  # what the x axis covers

    @property
    def path(self) -> str:
        """As the `d` of an SVG path in a box of 300 by 100, y downwards, with room for the line's width."""
        placed = [(300 * x, 96 - 92 * y) for x, y in self.points]
        start = f"M{placed[0][0]:.1f} {placed[0][1]:.1f}"
        if self.steps:
            return start + "".join(f"H{x:.1f}V{y:.1f}" for x, y in placed[1:])
        return start + "".join(f"L{x:.1f} {y:.1f}" for x, y in placed[1:])


@dataclass(frozen=True, kw_only=True)
class Glance:
    """The first screen."""

    title: str
    date: str
    verdict: str
    accuracies: Spans
    tie: str
    checks: tuple[Check, ...]
    openings: str
    curve: Curve | None
    view: View  # whose mistakes and confusion are shown: the ensemble's if there is one
    mistakes: tuple[WorstImage, ...]
    cells: tuple[tuple[int, int, int], ...]  # true digit, predicted digit, count: the most frequent confusions


def glance_at(data: ReportData) -> Glance:
    """Pick what the first screen shows from what the page has."""
    view = data.answered.featured[-1]
    return Glance(
        title=title_of(data.header, data.board),
        date=date_of(data.header.created_at),
        verdict=_verdict(data),
        accuracies=Spans.of(_spans(data)),
        tie=tie_text(data.board) if data.searched or data.compared else "",
        checks=tuple(checks_of(data.header, data.folder, data.board, data.ensemble, data.ensemble_p_value)),
        openings="" if data.header.fold_count else openings_text(len(data.openings)),
        curve=_curve(data),
        view=view,
        mistakes=tuple(data.answered.worst(view, SHOWN_MISTAKES)),
        cells=tuple(_cells(view)),
    )


def _verdict(data: ReportData) -> str:
    if data.header.kind == RunKind.COMPARISON:
        return comparison_verdict(data.board)
    if not data.searched:
        return training_verdict(data.answered.featured[0])
    return sweep_verdict(data.board, data.answered, data.ensemble, data.ensemble_p_value)


def _spans(data: ReportData) -> list[Span]:
    if data.compared:
        rows = [line.row.candidate for line in data.compared[:MOST_SPANS]]
        return [span_of(one, one.record.label, "#comparison", data.board.part) for one in rows]
    if not data.searched:
        view = data.answered.featured[0]
        folds = data.header.fold_count
        name = f"{folds} networks, one per fold" if folds else "This network"
        return [_single(name, "#confusion", view.part, view.result)]
    leader = data.board.rows[0].candidate
    found = [span_of(leader, f"Leader, trial {leader.trial}", f"#trial={leader.trial}", data.board.part)]
    for view in data.answered.featured[1:]:
        members = len(data.ensemble.chosen.weights) if data.ensemble else 0
        found.append(_single(f"Ensemble of {members}", "#ensemble", view.part, view.result))
    return found


def span_of(candidate: Candidate, name: str, link: str, part: str) -> Span:
    """A candidate's accuracy, on the sealed test set where it was opened for it; part: what it was ranked on."""
    answers = candidate.test or candidate.validation
    seeds = len(answers.error_counts)
    return Span(
        name=f"{name}, {seeds} seeds" if seeds > 1 else name,
        link=link,
        part="sealed test" if candidate.test else part,
        n=answers.n,
        wrong=mean_errors_text(answers),
        accuracy=answers.accuracy.mean,
        interval=answers.interval,
    )


def _single(name: str, link: str, part: str, result: Result) -> Span:
    score = result.score
    return Span(
        name=name,
        link=link,
        part=part,
        n=score.n,
        wrong=f"{score.error_count:,}",
        accuracy=score.accuracy,
        interval=result.interval,
    )


def _curve(data: ReportData) -> Curve | None:
    history = data.search.history if data.searched else ()
    if len(history) > 1:
        seconds = [point.ended_seconds for point in history]
        return curve_of(
            "#search", "Best validation NLL so far", seconds, [point.incumbent_nll for point in history],
            passed=f"{len(history):,} trials, {_duration(seconds[-1])} of search", steps=True,
        )  # fmt: skip
    record = data.board.rows[0].candidate.runs[0]
    epochs = [float(row.epoch) for row in record.curve]
    losses = [row.validation_nll for row in record.curve]
    passed = f"{len(epochs)} epoch{'' if len(epochs) == 1 else 's'}"
    return curve_of("#curves", "Validation NLL by epoch", epochs, losses, passed=passed, steps=False)


def curve_of(
    link: str, title: str, across: Sequence[float], nlls: Sequence[float], *, passed: str, steps: bool
) -> Curve | None:
    """A curve of NLLs on a log scale; None if there are not two values to draw."""
    pairs = [(x, nll) for x, nll in zip(across, nlls, strict=True) if math.isfinite(nll) and nll > 0]
    if len(pairs) < 2:
        return None
    kept = [pairs[place] for place in np.unique(np.linspace(0, len(pairs) - 1, MOST_CURVE_POINTS).astype(int))]
    x, y = np.array([pair[0] for pair in kept]), np.log([pair[1] for pair in kept])
    points = zip(_unit(x).round(4).tolist(), _unit(y).round(4).tolist(), strict=True)
    first, last = (f"{nll:#.3g}" for nll in (pairs[0][1], pairs[-1][1]))
    return Curve(link=link, title=title, points=tuple(points), steps=steps, first=first, last=last, passed=passed)


def _unit(values: np.ndarray) -> np.ndarray:
    if not np.ptp(values):
        return np.full(len(values), 0.5)  # a flat line, in the middle
    scaled: np.ndarray = (values - values.min()) / np.ptp(values)
    return scaled


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _cells(view: View) -> list[tuple[int, int, int]]:
    """The most frequent confusions, the most frequent first."""
    wrong = view.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_CELLS]
    cells = [(int(place // 10), int(place % 10)) for place in order]
    return [(true, predicted, int(wrong[true, predicted])) for true, predicted in cells if wrong[true, predicted]]
