"""What `digits sweep` prints, and how scores and spreads are written in a line."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_core.errors import EnvironmentFailure
from digits_core.judging.objectives import OBJECTIVES, pareto_front
from digits_core.judging.stats import Spread, accuracy_interval
from digits_core.metrics import Score
from digits_core.records import RunRecord, SweepHeader, SweepSummary, rank, status_counts
from digits_core.runs.command_line import digits_command, resume_command, runs_option
from digits_core.runs.store import SweepStore
from sweeps.view.progress import describe
from sweeps.words import counted, duration


@dataclass(frozen=True, kw_only=True)
class SweepOutcome:
    """A sweep that has ended, or was interrupted, as read from its folder, with its report and test score."""

    folder: Path
    header: SweepHeader
    summary: SweepSummary
    records: tuple[RunRecord, ...]
    test_openings: int
    report: Path | None  # None if no trial has a result
    test: Score | None  # of the leader; None if the sealed test set was not opened

    @staticmethod
    def of(store: SweepStore, summary: SweepSummary, report: Path | None, test: Score | None) -> "SweepOutcome":
        return SweepOutcome(
            folder=store.folder,
            header=store.header,
            summary=summary,
            records=tuple(store.records()),
            test_openings=len(store.ledger()),
            report=report,
            test=test,
        )

    @property
    def leader(self) -> RunRecord | None:
        """The trial with the lowest validation NLL."""
        return next(iter(rank(self.records)), None)

    def raise_if_failed(self) -> None:
        """Raise EnvironmentFailure if an error ended the search or, with the last error, if all trials failed."""
        if self.summary.error:
            kept = f"{len(self.records)} of {counted(self.header.trial_count, 'trial')} are kept"
            raise EnvironmentFailure(f"{self.summary.error}; {kept}")
        if self.leader is None and not self.summary.interrupted:
            raise EnvironmentFailure(
                f"all {counted(len(self.records), 'trial')} failed; the last one: {self.records[-1].failure}"
            )


def sweep_document(outcome: SweepOutcome) -> dict[str, Any]:
    """`report` and `best` are null if no trial has a result, `front` if there is only one objective."""
    leader, header, summary = outcome.leader, outcome.header, outcome.summary
    best = leader and {
        "trial": leader.trial,
        "recipe_id": leader.recipe.recipe_id,
        "recipe": dataclasses.asdict(leader.recipe),
        "validation": leader.validation and score_document(leader.validation),
        "test": outcome.test and score_document(outcome.test),
    }
    return {
        "sweep": header.name,
        "folder": str(outcome.folder.absolute()),
        "report": outcome.report and str(outcome.report),
        "dataset": header.dataset,
        "trials_planned": header.trial_count,
        "trials": status_counts(outcome.records),
        "interrupted": summary.interrupted,
        "limit": summary.limit,
        "database_problem": summary.database,
        "seconds": summary.seconds,
        "training_share": summary.training_share,
        "test_openings": outcome.test_openings,
        "best": best,
        "front": front_document(outcome),
    }


def front_document(outcome: SweepOutcome) -> dict[str, Any] | None:
    """The Pareto front; None if there is only one objective."""
    names = outcome.header.objectives
    if len(names) == 1:
        return None
    return {
        "objectives": list(names),
        "trials": [
            {"trial": record.trial, **{name: OBJECTIVES[name].value(record) for name in names}}
            for record in pareto_front(outcome.records, names)
        ],
    }


def front_lines(outcome: SweepOutcome) -> list[tuple[str, str]]:
    names = outcome.header.objectives
    if len(names) == 1:
        return []
    lines = [
        (
            "Pareto front",
            f"by {' and '.join(OBJECTIVES[name].title for name in names)}; no trial here dominates another",
        )
    ]
    for record in pareto_front(outcome.records, names):
        values = ", ".join(f"{OBJECTIVES[n].text(OBJECTIVES[n].value(record))} {n}" for n in names)
        lines.append((f"  trial {record.trial}", f"{values}: {describe(record)}"))
    return lines


def sweep_lines(outcome: SweepOutcome) -> list[tuple[str, str]]:
    header, summary, leader = outcome.header, outcome.summary, outcome.leader
    counts, lines = status_counts(outcome.records), []
    if summary.interrupted:
        lines.append(
            (
                "interrupted",
                f"{len(outcome.records)} of {header.trial_count} trials have ended; resuming continues the rest",
            )
        )
    if leader is not None and leader.validation is not None:
        tested = "not opened, because the sweep was interrupted"
        if outcome.test:
            tested = f"{score_text(outcome.test)}; opened {counted(outcome.test_openings, 'time')}"
        lines.append(("leader", f"trial {leader.trial}: {describe(leader)}"))
        lines.append(("  validation", score_text(leader.validation)))
        lines.append(("  sealed test", tested))
    lines += front_lines(outcome)
    if summary.limit:
        lines.append(("ended", f"{summary.limit}, after {counted(len(outcome.records), 'trial')}"))
    if summary.database:
        lines.append(("database", f"some trials are missing from it; `digits resume` adds them. {summary.database}"))
    shares = f"{summary.training_share:.0%} of worker time since the first trial started was spent training"
    ended = f"{counts['finished']} finished, {counts['stopped']} stopped early, {counts['failed']} failed"
    lines.append(("trials", f"{ended} in {duration(summary.seconds)}; {shares}"))
    lines.append(("folder", str(outcome.folder.absolute())))
    if summary.interrupted:
        lines.append(("resume", resume_command(outcome.folder)))
    if outcome.report:
        lines.append(("report", str(outcome.report)))
        runs = runs_option(outcome.folder)
        lines.append(("next", digits_command("ensemble", "--top", 5, "--sweep", header.name, *runs)))
    return lines


def score_document(score: Score) -> dict[str, Any]:
    """A score with the 95 % Wilson interval of its accuracy."""
    interval = accuracy_interval(score.error_count, score.n)
    return {**dataclasses.asdict(score), "accuracy_interval": [interval.low, interval.high]}


def score_text(score: Score) -> str:
    interval = accuracy_interval(score.error_count, score.n)
    return (
        f"{score.accuracy:.2%} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
        f"  {score.error_count} of {score.n:,} wrong, NLL {score.nll:.4f}"
    )


def spread_text(spread: Spread) -> str:
    """Mean, standard deviation and best of accuracies, in percent and percentage points."""
    if spread.standard_deviation is None:
        return f"{spread.mean:.2%} (n = 1)"
    deviation = f"{100 * spread.standard_deviation:.2f}"
    return f"mean {spread.mean:.2%}, standard deviation {deviation} points, best {spread.best:.2%} (n = {spread.n})"
