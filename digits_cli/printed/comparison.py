"""What `digits compare` prints: a JSON document for scripts, labelled lines for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from digits_cli.printed.leaderboard import row_lines
from digits_core.errors import EnvironmentFailure
from digits_core.judging.leaderboard import Leaderboard, leaderboard
from digits_core.judging.leaderboard_document import leaderboard_document
from digits_core.judging.published import published_as, reached
from digits_core.records import RunSummary, status_counts
from digits_core.runs.command_line import digits_command, open_command, resume_command
from digits_core.runs.run import Run
from sweeps.words import counted, duration


@dataclass(frozen=True, kw_only=True)
class ComparisonOutcome:
    """A comparison that has ended, or was interrupted, and its page."""

    run: Run
    report: Path | None

    @property
    def summary(self) -> RunSummary:
        """How it went."""
        assert self.run.summary is not None  # written when the runs have ended
        return self.run.summary

    @cached_property
    def board(self) -> Leaderboard | None:
        """None if no run counts."""
        return leaderboard(self.run) if self.run.ranked else None

    def raise_if_failed(self) -> None:
        """Raise EnvironmentFailure if an error ended the comparison or no run has a result."""
        run = self.run
        if self.summary.error:
            raise EnvironmentFailure(f"{self.summary.error}; finished runs are kept in {run.folder}")
        if not run.ranked and not self.summary.interrupted:
            raise EnvironmentFailure(f"all {counted(run.header.trial_count, 'run')} failed; see {run.folder}")


REACHED_WORDS = {"mean": "reached by the mean", "best": "reached by the best run", "no": "not reached"}


def comparisons_document(outcomes: Sequence[ComparisonOutcome]) -> dict[str, Any]:
    """The document of `compare`: `comparisons` has one entry, or with --published one per protocol."""
    return {"comparisons": [comparison_document(outcome) for outcome in outcomes]}


def comparisons_lines(outcomes: Sequence[ComparisonOutcome]) -> list[tuple[str, str]]:
    lines = [line for outcome in outcomes for line in comparison_lines(outcome)]
    report = outcomes[-1].report
    return [*lines, ("next", open_command(report) if report else digits_command("recipes"))]


def comparison_document(outcome: ComparisonOutcome) -> dict[str, Any]:
    """`rows` are those of `leaderboard --json`, each with what was published of its recipe."""
    run = outcome.run
    return {
        "run": run.name,
        "folder": str(run.folder.absolute()),
        "report": outcome.report and str(outcome.report),
        "dataset": run.header.dataset,
        "folds": run.header.fold_count,
        "interrupted": outcome.summary.interrupted,
        "seconds": outcome.summary.seconds,
        "trials": status_counts(run.records),
        "failures": [
            {
                "trial": record.trial,
                "label": record.label,
                "seed": record.recipe.training.seed,
                "error": record.failure,
            }
            for record in run.records
            if record.status == "failed"
        ],
        "test_openings": len(run.ledger),
        "rows": _row_documents(outcome),
    }


def _row_documents(outcome: ComparisonOutcome) -> list[dict[str, Any]]:
    board = outcome.board
    if board is None:
        return []
    documents = leaderboard_document(outcome.run, board)["rows"]
    rows = []
    for row, document in zip(board.rows, documents, strict=True):
        named = published_as(row.candidate)
        rows.append(
            {
                **document,
                "published": named and named.published,
                "published_accuracy": named and named.published_accuracy,
                "reached": named and reached(row.candidate, named),
            }
        )
    return rows


def comparison_lines(outcome: ComparisonOutcome) -> list[tuple[str, str]]:
    run = outcome.run
    header, statuses = run.header, status_counts(run.records)
    lines: list[tuple[str, str]] = []
    for row in _row_documents(outcome):
        lines += row_lines(row)
        if row["published"]:
            word = row["reached"]
            lines.append(("   published", row["published"] + (f": {REACHED_WORDS[word]}" if word else "")))
    lines += [
        ("failed", f"{record.label}, seed {record.recipe.training.seed}: {record.failure}")
        for record in run.records
        if record.status == "failed"
    ]
    if outcome.summary.interrupted:
        lines.append(
            (
                "interrupted",
                f"{sum(statuses.values())} of {header.trial_count} runs have ended; resuming continues the rest",
            )
        )
        lines.append(("resume", resume_command(run.folder)))
    ended = f"{statuses['finished']} finished, {statuses['stopped']} stopped early, {statuses['failed']} failed"
    lines.append(("runs", f"{ended} in {duration(outcome.summary.seconds)} on {header.dataset}"))
    openings = len(run.ledger)
    opened = f"opened {counted(openings, 'time')}" if openings else "not opened"
    lines.append(("sealed test", "none for a cross-validation" if header.fold_count else opened))
    lines.append(("folder", str(run.folder.absolute())))
    if outcome.report:
        lines.append(("report", str(outcome.report)))
    return lines
