"""What `digits confirm --refit` prints. Only the sealed test set can judge these models: they train on validation."""

from pathlib import Path
from typing import Any

from digits_cli.printed.comparison import difference_text
from digits_cli.printed.leaderboard import ConfirmationOutcome, answers_text, runs_document
from digits_core.judging.candidates import Answers, answers_on_test
from digits_core.judging.leaderboard_document import answers_document
from digits_core.judging.stats import MeanDifference, seed_mean_difference
from digits_core.records import status_counts
from digits_core.runs.command_line import digits_command, open_command, runs_option
from digits_core.runs.store import SweepStore
from sweeps.words import counted


def _differences(sweep: SweepStore, refitted: dict[str, Answers]) -> dict[str, MeanDifference]:
    """Test error rates of the final models minus the confirmed ones', which trained without validation images."""
    confirmed = sweep.confirmation()
    before = answers_on_test(confirmed) if confirmed is not None else {}
    return {
        label: seed_mean_difference(answers.wrong, before[label].wrong)
        for label, answers in refitted.items()
        if label in before
    }


def refit_document(outcome: ConfirmationOutcome, report: Path | None) -> dict[str, Any]:
    """`to_confirmed` is null if the recipe was not confirmed."""
    refitted = answers_on_test(outcome.store)
    differences = _differences(outcome.sweep, refitted)
    return {
        **runs_document(outcome, report),
        "train_n": outcome.store.header.train_n,
        "test_openings": len(outcome.sweep.ledger()),
        "rows": [
            {
                "label": label,
                "test": answers_document(answers),
                "to_confirmed": (
                    label in differences
                    and {
                        "error_rate": differences[label].mean,
                        "error_rate_interval": [differences[label].interval.low, differences[label].interval.high],
                        "p_value": differences[label].p_value,
                    }
                )
                or None,
            }
            for label, answers in refitted.items()
        ],
    }


def refit_lines(outcome: ConfirmationOutcome, report: Path | None) -> list[tuple[str, str]]:
    refitted, counts = answers_on_test(outcome.store), status_counts(outcome.records)
    differences = _differences(outcome.sweep, refitted)
    n = outcome.store.header.train_n
    lines = [
        ("trained on", f"{n:,} images, including the validation set; only the sealed test set can judge these models")
    ]
    for label, answers in refitted.items():
        lines.append((label, answers_text(answers_document(answers))))
        if label in differences:
            lines.append(("  vs confirmed", f"{difference_text(differences[label])} (sealed test)"))
    planned = outcome.store.header.trial_count
    lines.append(("runs", f"{counts['finished']} finished, {counts['failed']} failed, of {planned}"))
    if outcome.interrupted:
        lines.append(("resume", "run the same command again"))
    lines.append(("test opened", counted(len(outcome.sweep.ledger()), "time")))
    name, runs = outcome.sweep.header.name, runs_option(outcome.sweep.folder)
    return [*lines, ("next", open_command(report) if report else digits_command("leaderboard", name, *runs))]
