"""What `digits compare` prints: a JSON document for scripts, labelled lines for people."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_cli.printed.sweep import spread_text
from digits_core.errors import EnvironmentFailure
from digits_core.judging.comparison import ComparedRow, PartResult, compare_runs, published_as, reached
from digits_core.judging.stats import MeanDifference
from digits_core.records import RunRecord, SweepHeader, SweepSummary, status_counts
from digits_core.runs.command_line import digits_command, open_command, resume_command
from digits_core.runs.store import SweepStore
from sweeps.words import counted, duration


@dataclass(frozen=True, kw_only=True)
class ComparisonOutcome:
    """A comparison that has ended, or was interrupted, as read from its folder."""

    folder: Path
    header: SweepHeader
    summary: SweepSummary
    statuses: dict[str, int]
    rows: tuple[ComparedRow, ...]
    failures: tuple[RunRecord, ...]
    test_openings: int
    report: Path | None

    @staticmethod
    def of(store: SweepStore, summary: SweepSummary, report: Path | None) -> "ComparisonOutcome":
        records = store.records()
        return ComparisonOutcome(
            folder=store.folder,
            header=store.header,
            summary=summary,
            statuses=status_counts(records),
            rows=compare_runs(store),
            failures=tuple(record for record in records if record.status == "failed"),
            test_openings=len(store.ledger()),
            report=report,
        )

    def raise_if_failed(self) -> None:
        """Raise EnvironmentFailure if an error ended the comparison or no run has a result."""
        if self.summary.error:
            raise EnvironmentFailure(f"{self.summary.error}; finished runs are kept in {self.folder}")
        if not self.rows and not self.summary.interrupted:
            raise EnvironmentFailure(f"all {counted(self.header.trial_count, 'run')} failed; see {self.folder}")


REACHED_WORDS = {"mean": "reached by the mean", "best": "reached by the best run", "no": "not reached"}


def comparisons_document(outcomes: Sequence[ComparisonOutcome]) -> dict[str, Any]:
    """The document of `compare`: `comparisons` has one entry, or with --published one per protocol."""
    return {"comparisons": [comparison_document(outcome) for outcome in outcomes]}


def comparisons_lines(outcomes: Sequence[ComparisonOutcome]) -> list[tuple[str, str]]:
    lines = [line for outcome in outcomes for line in comparison_lines(outcome)]
    report = outcomes[-1].report
    return [*lines, ("next", open_command(report) if report else digits_command("recipes"))]


def comparison_document(outcome: ComparisonOutcome) -> dict[str, Any]:
    header = outcome.header
    return {
        "run": header.name,
        "folder": str(outcome.folder.absolute()),
        "report": outcome.report and str(outcome.report),
        "dataset": header.dataset,
        "folds": header.fold_count,
        "interrupted": outcome.summary.interrupted,
        "seconds": outcome.summary.seconds,
        "trials": outcome.statuses,
        "failures": [
            {
                "trial": record.trial,
                "label": record.label,
                "seed": record.recipe.training.seed,
                "error": record.failure,
            }
            for record in outcome.failures
        ],
        "test_openings": outcome.test_openings,
        "rows": [
            {
                **dataclasses.asdict(row),
                "published": named and named.published,
                "published_accuracy": named and named.published_accuracy,
                "reached": named and reached(row, named),
            }
            for row in outcome.rows
            for named in [published_as(row, header)]
        ],
    }


def comparison_lines(outcome: ComparisonOutcome) -> list[tuple[str, str]]:
    header, statuses = outcome.header, outcome.statuses
    lines: list[tuple[str, str]] = []
    for rank, row in enumerate(outcome.rows, start=1):
        lines.append(
            (f"{rank}. {row.label}", f"{row.parameter_count:,} parameters, {duration(row.train_seconds)} a run")
        )
        lines.append(("  out of fold" if header.fold_count else "  validation", part_text(row.validation)))
        judged = row.test or row.validation
        if row.test:
            lines.append(("  sealed test", part_text(row.test)))
        if judged.to_leader:
            lines.append(("  vs leader", difference_text(judged.to_leader)))
        named = published_as(row, header)
        if named:
            word = reached(row, named)
            lines.append(("  published", named.published + (f": {REACHED_WORDS[word]}" if word else "")))
    lines += [
        ("failed", f"{record.label}, seed {record.recipe.training.seed}: {record.failure}")
        for record in outcome.failures
    ]
    if outcome.summary.interrupted:
        lines.append(
            (
                "interrupted",
                f"{sum(statuses.values())} of {header.trial_count} runs have ended; resuming continues the rest",
            )
        )
        lines.append(("resume", resume_command(outcome.folder)))
    ended = f"{statuses['finished']} finished, {statuses['stopped']} stopped early, {statuses['failed']} failed"
    lines.append(("runs", f"{ended} in {duration(outcome.summary.seconds)} on {header.dataset}"))
    opened = "not opened" if not outcome.test_openings else f"opened {counted(outcome.test_openings, 'time')}"
    lines.append(("sealed test", "none for a cross-validation" if header.fold_count else opened))
    lines.append(("folder", str(outcome.folder.absolute())))
    if outcome.report:
        lines.append(("report", str(outcome.report)))
    return lines


def part_text(part: PartResult) -> str:
    return (
        f"{spread_text(part.accuracy)}; [{100 * part.interval.low:.2f}, {100 * part.interval.high:.2f}] on {part.n:,}"
    )


def difference_text(difference: MeanDifference) -> str:
    """The difference in accuracy, in percentage points (negative where it is lower), with its interval."""
    low, high = -100 * difference.interval.high, -100 * difference.interval.low
    text = f"{-100 * difference.mean:+.2f} points [{low:+.2f}, {high:+.2f}]"
    return text if difference.separable else f"{text}, not significant"
