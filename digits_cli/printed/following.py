"""What `digits sweep --then` prints: the search, and what followed it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_cli.printed.ensemble import ensemble_document, ensemble_lines
from digits_cli.printed.leaderboard import ConfirmationOutcome, confirmation_document, confirmation_lines
from digits_cli.printed.sweep import SweepOutcome, sweep_document, sweep_lines
from digits_core.judging.leaderboard import leaderboard
from digits_core.runs.ensemble_records import EnsembleRecord
from digits_core.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What came of the steps after a search. Each is None if it was not asked for or could not be done."""

    sweep: Run
    confirmation: Run | None = None
    ensemble: EnsembleRecord | None = None
    interrupted: bool = False


ENDS = ("report", "next")  # said once, by the last part


def followed_document(done: Followed, report: Path | None) -> dict[str, Any]:
    """The sweep's document, with those of `digits confirm` and `digits ensemble`; null for a step that was not done."""
    outcome = confirmation_of(done)
    return {
        **sweep_document(SweepOutcome(run=done.sweep, report=report)),
        "confirmation": outcome and confirmation_document(outcome, _board(outcome), report),
        "ensemble": done.ensemble and ensemble_document(done.sweep, done.ensemble, report),
    }


def followed_lines(done: Followed, report: Path | None) -> list[tuple[str, str]]:
    """The lines of each part under a title."""
    parts = [("search", sweep_lines(SweepOutcome(run=done.sweep, report=report)))]
    outcome = confirmation_of(done)
    if outcome is not None:
        parts.append(("fresh seeds", confirmation_lines(outcome, _board(outcome), report)))
    if done.ensemble is not None:
        parts.append(("ensemble", ensemble_lines(done.sweep, done.ensemble, report)))
    lines: list[tuple[str, str]] = []
    for place, (title, own) in enumerate(parts):
        is_last = place == len(parts) - 1
        lines.append((title.upper(), ""))
        lines += [line for line in own if is_last or line[0] not in ENDS]
        if not is_last:
            lines.append(("", ""))
    return lines


def confirmation_of(done: Followed) -> ConfirmationOutcome | None:
    """The confirmation as `digits confirm` prints it."""
    return None if done.confirmation is None else ConfirmationOutcome(run=done.confirmation)


def _board(outcome: ConfirmationOutcome) -> Any:
    return leaderboard(outcome.run.outer) if outcome.counting else None
