"""What `digits sweep` prints, and how scores and spreads are written in a line."""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits_core.errors import EnvironmentFailure
from digits_core.judging.candidates import Candidate, leader
from digits_core.judging.objectives import OBJECTIVES, pareto_front
from digits_core.judging.stats import Spread, accuracy_interval, spread_of
from digits_core.metrics import Score
from digits_core.records import RunSummary, status_counts
from digits_core.runs.command_line import digits_command, resume_command, runs_option
from digits_core.runs.run import Run
from sweeps.view.progress import describe
from sweeps.words import counted, duration

if TYPE_CHECKING:
    from sweeps.plans.planning import RunPlan
    from sweeps.running.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class SweepOutcome:
    """A sweep that has ended, or was interrupted, and its page."""

    run: Run
    report: Path | None  # None if no trial has a result
    then: tuple[str, ...] = ()  # options of `digits resume`, for the steps that were to follow

    @property
    def summary(self) -> RunSummary:
        """How the search went."""
        assert self.run.summary is not None  # written when the trials have ended
        return self.run.summary

    @cached_property
    def leader(self) -> Candidate | None:
        """None if no trial counts."""
        return leader(self.run)

    @property
    def test(self) -> Score | None:
        """The leader's first run on the sealed test set; None if that was not opened for it."""
        return self.leader.test.scores[0] if self.leader and self.leader.test else None

    @property
    def can_go_on(self) -> bool:
        """Whether the search ended as it should, with something to confirm or combine."""
        return not self.summary.interrupted and not self.summary.error and bool(self.run.ranked)

    def raise_if_failed(self) -> None:
        """Raise EnvironmentFailure if an error ended the search or, with the last error, if all trials failed."""
        run = self.run
        if self.summary.error:
            raise EnvironmentFailure(f"{self.summary.error}; {_ended(run)} are kept")
        if self.leader is None and self.summary.limit and not run.records:
            raise EnvironmentFailure(f"{self.summary.limit}, and no trial had ended an epoch; give it more time")
        if self.leader is None and not self.summary.interrupted:
            raise EnvironmentFailure(
                f"all {counted(len(run.records), 'trial')} failed; the last one: {run.records[-1].failure}"
            )


def sweep_document(outcome: SweepOutcome) -> dict[str, Any]:
    """`report` and `best` are null if no trial has a result, `front` if there is only one objective."""
    run, leader, summary = outcome.run, outcome.leader, outcome.summary
    header = run.header
    best = leader and {
        "trial": leader.trial,
        "recipe_id": leader.recipe.recipe_id,
        "recipe": dataclasses.asdict(leader.recipe),
        "runs": len(leader.runs),
        "validation": leader.runs[0].validation and score_document(leader.runs[0].validation),
        "test": outcome.test and score_document(outcome.test),
    }
    return {
        "sweep": header.name,
        "folder": str(run.folder.absolute()),
        "report": outcome.report and str(outcome.report),
        "dataset": header.dataset,
        "trials_planned": header.asked_trials,
        "trials": status_counts(run.records),
        "interrupted": summary.interrupted,
        "limit": summary.limit,
        "database_problem": summary.database,
        "seconds": summary.seconds,
        "training_share": summary.training_share,
        "test_openings": len(run.ledger),
        "best": best,
        "front": front_document(outcome),
    }


def front_document(outcome: SweepOutcome) -> dict[str, Any] | None:
    """The Pareto front; None if there is only one objective."""
    names = outcome.run.header.objectives
    if len(names) == 1:
        return None
    return {
        "objectives": list(names),
        "trials": [
            {"trial": record.trial, **{name: OBJECTIVES[name].value(record) for name in names}}
            for record in pareto_front(outcome.run.records, names)
        ],
    }


def front_lines(outcome: SweepOutcome) -> list[tuple[str, str]]:
    names = outcome.run.header.objectives
    if len(names) == 1:
        return []
    lines = [
        (
            "Pareto front",
            f"by {' and '.join(OBJECTIVES[name].title for name in names)}; no trial here dominates another",
        )
    ]
    for record in pareto_front(outcome.run.records, names):
        values = ", ".join(f"{OBJECTIVES[n].text(OBJECTIVES[n].value(record))} {n}" for n in names)
        lines.append((f"  trial {record.trial}", f"{values}: {describe(record)}"))
    return lines


def _ended(run: Run) -> str:
    planned = run.header.asked_trials
    return f"{len(run.records)} of {counted(planned, 'trial')}" if planned else counted(len(run.records), "trial")


def sweep_lines(outcome: SweepOutcome) -> list[tuple[str, str]]:
    run, summary, leader = outcome.run, outcome.summary, outcome.leader
    header = run.header
    counts, lines = status_counts(run.records), []
    if summary.interrupted:
        lines.append(
            (
                "interrupted",
                f"{_ended(run)} have ended; resuming continues the rest",
            )
        )
    if leader is not None:
        tested = "not opened, because the sweep was interrupted"
        if outcome.test:
            tested = f"{score_text(outcome.test)}; opened {counted(len(run.ledger), 'time')}"
        lines.append(("leader", f"trial {leader.trial}: {describe(leader.record)}"))
        lines.append(("  validation", candidate_text(leader)))
        lines.append(("  sealed test", tested))
    lines += front_lines(outcome)
    if summary.limit:
        lines.append(("ended", f"{summary.limit}, after {counted(len(run.records), 'trial')}"))
    if summary.database:
        lines.append(("database", f"some trials are missing from it; `digits resume` adds them. {summary.database}"))
    shares = f"{summary.training_share:.0%} of worker time since the first trial started was spent training"
    ended = f"{counts['finished']} finished, {counts['stopped']} stopped early, {counts['failed']} failed"
    lines.append(("trials", f"{ended} in {duration(summary.seconds)}; {shares}"))
    lines.append(("folder", str(run.folder.absolute())))
    if summary.interrupted:
        lines.append(("resume", " ".join([resume_command(run.folder), *outcome.then])))
    if outcome.report:
        lines.append(("report", str(outcome.report)))
        runs = runs_option(run.folder)
        lines.append(("next", digits_command("ensemble", "--top", 5, "--sweep", header.name, *runs)))
    return lines


def candidate_text(candidate: Candidate) -> str:
    """Its validation score, or the mean over its runs, from their records."""
    scores = [run.validation for run in candidate.runs if run.validation is not None]
    return score_text(scores[0]) if len(scores) == 1 else spread_text(spread_of([one.accuracy for one in scores]))


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


def estimate_document(plan: "RunPlan", about: "Estimate") -> dict[str, Any]:
    return {
        "sweep": plan.header.name,
        "trials": plan.header.asked_trials,
        "space": plan.header.space,
        "size": about.size,
        "epochs": about.epochs,
        "epoch_seconds": about.epoch_seconds,
        "seconds": about.seconds,
        "bytes": about.byte_count,
    }


def estimate_lines(plan: "RunPlan", about: "Estimate", then: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """then: the steps that follow the search, which are not in the estimate."""
    header, alone = plan.header, " for the search alone" if then else ""
    lines = [("space", about.size)]
    lines += [(f"  {name}", text) for name, text in header.space.items()]
    if header.asked_trials:
        lines.append(("trials", f"{header.trial_count:,}, about {math.ceil(about.epochs):,} epochs in total"))
        lines.append(
            ("time", f"about {duration(about.seconds)}{alone}, {header.concurrency} at a time, within a factor of two")
        )
        lines.append(("disk", f"about {about.byte_count / 1e6:.0f} MB in {plan.folder}"))
    lines.append(("epoch", f"{about.epoch_seconds:.2f} s with the default recipe, measured just now on one thread"))
    lines.append(("next", "run the same command without --dry-run"))
    return lines
