"""What `digits sweep --then` prints: the search, and what followed it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from digits_cli.printed.ensemble import ensemble_document, ensemble_lines
from digits_cli.printed.leaderboard import ConfirmationOutcome, confirmation_document, confirmation_lines
from digits_cli.printed.sweep import SweepOutcome, sweep_document, sweep_lines
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.judging.leaderboard import Leaderboard, leaderboard
from digits_core.runs.command_line import digits_command, runs_option
from digits_core.runs.ensemble_records import EnsembleRecord
from digits_core.runs.run import Run

Lines = list[tuple[str, str]]
LEADS = ("leader", "  validation", "  sealed test")
ENDS = ("resume", "report", "next")  # said once, at the end


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A finished sweep, and what came of the steps after its search; None for one that was not done."""

    sweep: Run
    options: tuple[str, ...]  # of `digits resume`, for the same steps
    skipped: str = ""  # why nothing was confirmed
    confirmation: ConfirmationOutcome | None = None
    ensemble: EnsembleRecord | None = None
    failure: UsageError | EnvironmentFailure | None = None  # what ended the steps early

    @property
    def is_interrupted(self) -> bool:
        """Whether the user stopped the confirmation."""
        return self.confirmation is not None and self.confirmation.interrupted

    @cached_property
    def board(self) -> Leaderboard | None:
        """The sweep's leaderboard; None if no run of a confirmation has a score."""
        return leaderboard(self.sweep) if self.confirmation is not None and self.confirmation.counting else None


def followed_document(done: Followed, report: Path | None) -> dict[str, Any]:
    """The sweep's document, with those of `digits confirm` and `digits ensemble`; null for a step that was not done."""
    confirmation = done.confirmation
    return {
        **sweep_document(SweepOutcome(run=done.sweep, report=report)),
        "interrupted": done.is_interrupted,
        "skipped": done.skipped,
        "confirmation": confirmation and confirmation_document(confirmation, done.board, report),
        "ensemble": done.ensemble and ensemble_document(done.sweep, done.ensemble, report),
    }


def followed_lines(done: Followed, report: Path | None) -> Lines:
    """The lines of each part under a title; at the end what to do next."""
    parts: dict[str, Lines] = {"SEARCH": sweep_lines(SweepOutcome(run=done.sweep, report=report))}
    if done.board is not None:  # whose leader is in the next part, and not as the search trained it
        parts["SEARCH"] = [line for line in parts["SEARCH"] if line[0] not in LEADS]
    if done.skipped:
        parts["FRESH SEEDS"] = [("skipped", done.skipped)]
    if done.confirmation is not None:
        parts["FRESH SEEDS"] = confirmation_lines(done.confirmation, done.board, report)
    if done.ensemble is not None:
        parts["ENSEMBLE"] = ensemble_lines(done.sweep, done.ensemble, report)
    lines: Lines = []
    for title, own in parts.items():
        lines += [(title, ""), *(line for line in own if line[0] not in ENDS), ("", "")]
    if done.is_interrupted or done.failure is not None:
        name, runs = done.sweep.header.name, runs_option(done.sweep.folder)
        return [*lines, ("next", digits_command("resume", name, *done.options, *runs))]
    last = list(parts.values())[-1]
    return [*lines, *(line for line in last if line[0] in ENDS)]
