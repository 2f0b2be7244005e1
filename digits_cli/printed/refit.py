"""What `digits confirm --refit` prints. Only the sealed test set can judge these models: they train on validation."""

from pathlib import Path
from typing import Any

from digits_cli.printed.leaderboard import ConfirmationOutcome, answers_text, runs_document
from digits_core.judging.answers import Answers
from digits_core.judging.candidates import answers_on_test
from digits_core.judging.leaderboard_document import answers_document
from digits_core.judging.stats import CONFIDENCE, MeanDifference, holm, p_value_text, points_text, seed_mean_difference
from digits_core.records import status_counts
from digits_core.runs.command_line import digits_command, open_command, runs_option
from digits_core.runs.run import Run
from sweeps.words import counted


def _differences(sweep: Run, refitted: dict[str, Answers]) -> dict[str, tuple[MeanDifference, float]]:
    """Test error rates of the final models minus the confirmed ones', which trained without validation images.

    Each with its p-value, corrected for their number (Holm).
    """
    confirmed = sweep.confirmation()
    before = answers_on_test(confirmed) if confirmed is not None else {}
    found = {
        label: seed_mean_difference(answers.wrong, before[label].wrong)
        for label, answers in refitted.items()
        if label in before
    }
    corrected = holm([one.p_value for one in found.values()])
    return {label: (one, p_value) for (label, one), p_value in zip(found.items(), corrected, strict=True)}


def _difference_text(difference: MeanDifference, p_value: float) -> str:
    """The difference in accuracy, in percentage points (negative where it is lower), with its interval."""
    points, low, high = map(points_text, (difference.mean, difference.interval.high, difference.interval.low))
    sure = "significant" if p_value < 1 - CONFIDENCE else "not significant"
    return f"{points} points [{low}, {high}], p {p_value_text(p_value)} (t-test over images and seeds, Holm): {sure}"


def _difference_document(difference: MeanDifference, corrected: float) -> dict[str, Any]:
    return {
        "error_rate": difference.mean,
        "error_rate_interval": [difference.interval.low, difference.interval.high],
        "p_value": difference.p_value,
        "corrected_p_value": corrected,
    }


def refit_document(outcome: ConfirmationOutcome, report: Path | None) -> dict[str, Any]:
    """`to_confirmed` is null if the recipe was not confirmed."""
    refitted = answers_on_test(outcome.run)
    differences = _differences(outcome.run.outer, refitted)
    return {
        **runs_document(outcome, report),
        "train_n": outcome.run.header.train_n,
        "test_openings": len(outcome.run.outer.ledger),
        "rows": [
            {
                "label": label,
                "test": answers_document(answers),
                "to_confirmed": _difference_document(*differences[label]) if label in differences else None,
            }
            for label, answers in refitted.items()
        ],
    }


def refit_lines(outcome: ConfirmationOutcome, report: Path | None) -> list[tuple[str, str]]:
    refitted, counts = answers_on_test(outcome.run), status_counts(outcome.run.records)
    differences = _differences(outcome.run.outer, refitted)
    n = outcome.run.header.train_n
    lines = [
        ("trained on", f"{n:,} images, including the validation set; only the sealed test set can judge these models")
    ]
    for label, answers in refitted.items():
        lines.append((label, answers_text(answers_document(answers))))
        if label in differences:
            lines.append(("  vs confirmed", f"{_difference_text(*differences[label])} (sealed test)"))
    planned = outcome.run.header.trial_count
    lines.append(("runs", f"{counts['finished']} finished, {counts['failed']} failed, of {planned}"))
    if outcome.interrupted:
        lines.append(("resume", "run the same command again"))
    lines.append(("test opened", counted(len(outcome.run.outer.ledger), "time")))
    name, runs = outcome.run.outer.header.name, runs_option(outcome.run.outer.folder)
    return [*lines, ("next", open_command(report) if report else digits_command("leaderboard", name, *runs))]
