"""What `digits leaderboard`, `digits confirm` and `digits confirm --refit` print.

Only the sealed test set can judge refitted models: they train on the validation images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_core.errors import EnvironmentFailure
from digits_core.judging.answers import Answers
from digits_core.judging.candidates import answers_on_test
from digits_core.judging.leaderboard import Leaderboard
from digits_core.judging.leaderboard_document import answers_document, leaderboard_document
from digits_core.judging.stats import CONFIDENCE, MeanDifference, holm, p_value_text, points_text, seed_mean_difference
from digits_core.recipe import Recipe
from digits_core.records import RunKind, status_counts
from digits_core.runs.command_line import digits_command, open_command, runs_option
from digits_core.runs.journal import read_journal
from digits_core.runs.run import Run
from sweeps.view.progress import describe_recipe
from sweeps.words import counted, duration

Values = Mapping[str, Any]  # from digits_core.judging.leaderboard_document, or read back from a report


def leaderboard_lines(document: Values, top: int, next_command: str) -> list[tuple[str, str]]:
    """Who leads and by how much, then the first `top` rows."""
    rows = document["rows"]
    lines = [*_verdict_lines(document), ("", "")]
    for row in rows[:top]:
        lines += row_lines(row)
    if len(rows) > top:
        lines.append(("", f"and {len(rows) - top} more; --top {len(rows)} shows them, --json has everything"))
    return [*lines, ("replay", rows[0]["reproduce"]), ("next", next_command)]


def _verdict_lines(document: Values) -> list[tuple[str, str]]:
    first, *others = document["rows"]
    tied = [row for row in others if row["tied_with_leader"]]
    lines = [("leader", f"{_name(first)}: {_recipe_text(first)}")]
    if tied:
        names = ", ".join(_name(row) for row in tied[:8]) + (", ..." if len(tied) > 8 else "")
        lines.append(("tied with it", f"{len(tied)} of {counted(len(others), 'other')}: {names}"))
    elif others:
        lines.append(("tied with it", "none: the error rates of all others differ significantly"))
    unequal = document.get("unequal_epochs", 0)  # pages written before 2026-11-29 have no such number
    if unequal:
        who = f"{unequal} of {counted(len(others), 'other')}, trained for another number of epochs than the leader"
        lines.append(("unequal", f"{who}: their tests do not say which recipe is better"))
    fewer = [_name(row) for row in others if row["verdict"] == "fewer mistakes"]
    if fewer:
        lines.append(
            (
                "fewer mistakes",
                f"{', '.join(fewer)}: significantly fewer than the leader, but a worse NLL, which decides the rank",
            )
        )
    if document["detectable_difference"] is not None:
        points = f"{100 * document['detectable_difference']:.2f} points"
        escapes = f"between the first two would usually go undetected on {document['n']:,} images"
        lines.append(("too small", f"a true difference below {points} {escapes}"))
    selected = document["selection_corrected"]
    if selected is not None:
        worth = _accuracy(selected["accuracy"], selected["accuracy_interval"])
        picked = f"trial {selected['trial']}, corrected for being the best of {selected['picked_from']} on validation"
        lines.append(("corrected", f"{worth} for {picked}; uncorrected {selected['shown']:.2%}"))
    openings = document["test_openings"]
    opened = f"opened {counted(openings, 'time')}" if openings else "not opened"
    lines.append(
        (
            "sealed test",
            "not used: every image was predicted out of fold" if document["part"] == "out of fold" else opened,
        )
    )
    how = (
        "ranked by NLL, recipes confirmed on fresh seeds first; tied: error rate not significantly different from the"
        " leader's (p corrected for all rows, Holm)"
    )
    return [*lines, ("how to read", how)]


def _name(row: Values) -> str:
    return row["label"] or f"trial {row['trial']}"


def _recipe_text(row: Values) -> str:
    return describe_recipe(Recipe.from_dict(row["recipe"]), row["parent"])


def _accuracy(accuracy: float, interval: Sequence[float]) -> str:
    return f"{accuracy:.2%} [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"


def row_lines(row: Values) -> list[tuple[str, str]]:
    """One candidate: its figures, and whether it differs from the leader, on validation and where tested."""
    low, high = row["rank_interval"]
    size = f"{row['parameters']:,} parameters, {duration(row['train_seconds'])}{_longer(row)}; rank {low} to {high}"
    lines = [
        (f"{row['rank']}. {_name(row)}", f"{_recipe_text(row)}; {size}"),
        ("   validation", answers_text(row["validation"])),
    ]
    if row["test"] is not None:
        lines.append(("   sealed test", answers_text(row["test"])))
    if row["to_leader"] is not None:
        # Pages written before 2026-11-28 have the verdict in the row alone.
        lines.append(("   vs leader", to_leader_text({"verdict": row["verdict"], **row["to_leader"]})))
    if row.get("to_leader_on_test") is not None:
        lines.append(("   on the test", to_leader_text(row["to_leader_on_test"])))
    return lines


def _longer(row: Values) -> str:
    """If the runs on fresh seeds were not trained for as many epochs as the search's own; else empty."""
    searched = row.get("searched_epochs")  # pages written before 2026-11-29 have no such number
    return (
        f" for {counted(row['recipe']['training']['epochs'], 'epoch')} ({searched} in the search)" if searched else ""
    )


def answers_text(answers: Values) -> str:
    """Accuracy with its interval, error count and NLL, from `answers_document`; means if there are several seeds."""
    counts, n = answers["error_counts"], answers["n"]
    text = _accuracy(answers["accuracy"], answers["accuracy_interval"])
    nll = "" if answers["nll"] is None else f", NLL {answers['nll']:.4f}"  # predicted digits have none
    if answers["standard_deviation"] is None:
        return f"{text} {counts[0]} of {n:,} wrong{nll}"
    wrong = f"{sum(counts) / len(counts):.1f} of {n:,} wrong"
    spread = f"{len(counts)} seeds, standard deviation {100 * answers['standard_deviation']:.2f} points"
    return f"{text} {wrong}{nll}; {spread}"


METHODS = {
    "mcnemar": "McNemar, single runs",
    "seeds": "t-test over images and seeds",
    "folds": "corrected t-test over folds",
}


def to_leader_text(difference: Values) -> str:
    """The difference in accuracy in percentage points, its interval, and whether the difference is significant."""
    low_rate, high_rate = difference["error_rate_interval"]
    points, low, high = map(points_text, (difference["error_rate"], high_rate, low_rate))
    p_value = f"p {p_value_text(difference['corrected_p_value'])} ({METHODS[difference['method']]}, Holm)"
    verdict = difference["verdict"]
    apart = verdict if verdict == "tied" else f"significant, {verdict}"
    return f"{points} points [{low}, {high}], {p_value}: {apart}"


def next_after(run: Run, board: Leaderboard) -> str:
    """The command to suggest after a leaderboard."""
    folder = run.outer.folder
    name, runs = folder.name, runs_option(folder)
    if run.header.kind == RunKind.SWEEP and not board.rows[0].candidate.confirmed:
        return digits_command("confirm", "--top", 5, "--seeds", 5, "--sweep", name, *runs)
    if run.header.kind == RunKind.SWEEP:
        return digits_command("ensemble", "--pool", "confirmed", "--sweep", name, *runs)
    return digits_command("report", name, *runs)


@dataclass(frozen=True, kw_only=True)
class ConfirmationOutcome:
    """The run of `digits confirm`; the sweep that it confirms is `run.outer`."""

    run: Run

    @property
    def interrupted(self) -> bool:
        """Whether it stopped before all runs had ended, for another reason than its time budget."""
        return len(self.run.records) < self.run.header.trial_count and not self.limit

    @property
    def limit(self) -> str:
        """What ended it before all runs had ended: the time budget; empty if nothing did."""
        return self.run.summary.limit if self.run.summary is not None else ""

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time budget was used up before a single run had ended."""
        return bool(self.limit) and not self.run.records

    @property
    def counting(self) -> int:
        """The number of runs that have a score."""
        return len(self.run.ranked)

    def raise_if_failed(self) -> None:
        """Raise EnvironmentFailure if an error ended the confirmation or no run has a score."""
        run = self.run
        if run.summary is not None and run.summary.error:
            raise EnvironmentFailure(f"{run.summary.error}; finished runs are kept in {run.folder}")
        if self.is_out_of_time:
            raise EnvironmentFailure("no run ended within the time budget; the same command goes on where they are")
        if not self.counting and not self.interrupted:
            raise EnvironmentFailure(f"all {len(run.records)} runs failed; see {run.folder}")


def _limit_lines(outcome: ConfirmationOutcome) -> list[tuple[str, str]]:
    if not outcome.limit:
        return []
    run = outcome.run
    left = counted(run.header.trial_count - len(run.records), "run")
    begun = read_journal(run.folder).assignments
    recipes, seeds = {one.label for one in begun}, {one.recipe.training.seed for one in begun}
    sweep, folds = run.outer.folder, run.header.fold_count
    how = ["--folds", folds] if folds else ["--refit"] if run.header.kind == RunKind.REFIT else []
    again = digits_command(
        "confirm", "--sweep", sweep.name, "--top", len(recipes), "--seeds", len(seeds), *how, *runs_option(sweep)
    )
    return [("ended", f"{outcome.limit}; {left} did not end in time; to go on: {again}")]


def runs_document(outcome: ConfirmationOutcome, report: Path | None) -> dict[str, Any]:
    """What `confirm` and `confirm --refit` have in common."""
    return {
        "sweep": outcome.run.outer.header.name,
        "report": report and str(report),
        "folder": str(outcome.run.folder.absolute()),
        "runs": status_counts(outcome.run.records),
        "interrupted": outcome.interrupted,
        "limit": outcome.limit,
    }


def confirmation_document(
    outcome: ConfirmationOutcome, board: Leaderboard | None, report: Path | None
) -> dict[str, Any]:
    """The runs and the resulting leaderboard (null if no run has a score)."""
    return {
        **runs_document(outcome, report),
        "leaderboard": board and leaderboard_document(outcome.run.outer, board),
    }


def confirmation_lines(
    outcome: ConfirmationOutcome, board: Leaderboard | None, report: Path | None
) -> list[tuple[str, str]]:
    """The verdict and the confirmed recipes, best first."""
    lines: list[tuple[str, str]] = []
    if board is not None:
        document = leaderboard_document(outcome.run.outer, board)
        again = [row for row in document["rows"] if row["confirmed"] or outcome.run.header.fold_count]
        lines += [*_verdict_lines(document), ("", ""), *(line for row in again for line in row_lines(row))]
    counts = status_counts(outcome.run.records)
    lines.append(
        ("runs", f"{counts['finished']} finished, {counts['failed']} failed, of {outcome.run.header.trial_count}")
    )
    lines += [
        ("failed", f"{record.label}, seed {record.recipe.training.seed}: {record.failure}")
        for record in outcome.run.records
        if record.status == "failed"
    ]
    name, runs = outcome.run.outer.header.name, runs_option(outcome.run.outer.folder)
    lines += _limit_lines(outcome)
    if outcome.interrupted:
        lines.append(("resume", "run the same command again"))
    if report:
        lines.append(("report", str(report)))
    if outcome.interrupted or not outcome.counting:
        return [*lines, ("next", digits_command("leaderboard", name, *runs))]
    if outcome.run.header.fold_count:
        return [*lines, ("next", open_command(report) if report else digits_command("leaderboard", name, *runs))]
    return [*lines, ("next", digits_command("ensemble", "--pool", "confirmed", "--sweep", name, *runs))]


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
    lines += _limit_lines(outcome)
    if outcome.interrupted:
        lines.append(("resume", "run the same command again"))
    lines.append(("test opened", counted(len(outcome.run.outer.ledger), "time")))
    name, runs = outcome.run.outer.header.name, runs_option(outcome.run.outer.folder)
    return [*lines, ("next", open_command(report) if report else digits_command("leaderboard", name, *runs))]
