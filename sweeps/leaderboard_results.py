"""What `digits leaderboard` and `digits confirm` print: a JSON document for scripts, labelled lines for people."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_core.command_line import digits_command, open_command, replay_command, runs_option
from digits_core.contestants import Answers
from digits_core.errors import EnvironmentFailure
from digits_core.leaderboard import Leaderboard, Row, ToLeader
from digits_core.records import RunRecord, SweepSummary, status_counts
from digits_core.stats import Interval, p_value_text
from digits_core.store import SweepStore
from sweeps.durations import duration
from sweeps.progress import describe
from sweeps.tally import counted


def leaderboard_document(store: SweepStore, board: Leaderboard) -> dict[str, Any]:
    """What `leaderboard --json` prints. Differences are on validation and positive where the row is worse."""
    return {
        "sweep": store.sealed_by.folder.name,
        "n": board.n,
        "part": board.part,
        "test_openings": board.test_openings,
        "selection_corrected": _selected_document(board),
        "detectable_difference": board.detectable,
        "rows": [_row_document(store, row) for row in board.rows],
    }


def _selected_document(board: Leaderboard) -> dict[str, Any] | None:
    selected = board.selected
    if selected is None:
        return None
    return {
        "accuracy": selected.accuracy,
        "accuracy_interval": _ends(selected.interval),
        "shown": selected.shown,
        "optimism": selected.optimism,
        "picked_from": board.picked_from,
        "trial": board.picked_trial,
    }


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def _to_leader_document(difference: ToLeader) -> dict[str, Any]:
    return {
        "error_rate": difference.error_rate,
        "error_rate_interval": _ends(difference.error_rate_interval),
        "nll": difference.nll,
        "nll_interval": _ends(difference.nll_interval),
        "p_value": difference.p_value,
        "corrected_p_value": difference.corrected_p_value,
        "method": difference.method,
    }


def _row_document(store: SweepStore, row: Row) -> dict[str, Any]:
    contestant = row.contestant
    return {
        "trial": contestant.trial,
        "label": contestant.record.label,
        "rank": row.rank,
        "rank_interval": list(row.ranks),
        "tied_with_leader": row.tied_with_leader,
        "verdict": row.to_leader.verdict if row.to_leader else "leads",
        "to_leader": row.to_leader and _to_leader_document(row.to_leader),
        "validation": answers_document(contestant.validation),
        "test": contestant.test and answers_document(contestant.test),
        "seeds": list(contestant.seeds),
        "confirmed": contestant.confirmed,
        "parameters": contestant.record.parameter_count,
        "train_seconds": contestant.train_seconds,
        "image_seconds": contestant.record.image_seconds,
        "recipe": dataclasses.asdict(contestant.record.recipe),
        "reproduce": replay_command(store.sealed_by.folder, contestant.trial),
    }


def answers_document(answers: Answers) -> dict[str, Any]:
    """Means over the runs, the error count of each, the interval of the mean."""
    return {
        "n": answers.n,
        "error_counts": list(answers.error_counts),
        "accuracy": answers.accuracy.mean,
        "accuracy_interval": _ends(answers.interval),
        "standard_deviation": answers.accuracy.standard_deviation,
        "nll": answers.mean_nll,
        "brier": answers.brier,
        "ece": answers.ece,
    }


def leaderboard_lines(store: SweepStore, board: Leaderboard, top: int) -> list[tuple[str, str]]:
    """What `leaderboard` prints for people: who leads and by how much, then the first `top` rows."""
    lines = [*_verdict_lines(board), ("", "")]
    for row in board.rows[:top]:
        lines += _row_lines(row)
    if len(board.rows) > top:
        lines.append(("", f"and {len(board.rows) - top} more; --top {len(board.rows)} shows them, --json all of it"))
    again = replay_command(store.sealed_by.folder, board.rows[0].contestant.trial)
    lines.append(("again", again))
    return [*lines, ("next", _next(store, board))]


def _verdict_lines(board: Leaderboard) -> list[tuple[str, str]]:
    tied, others = board.tie[1:], len(board.rows) - 1
    lines = [("leader", f"{_name(board.rows[0])}: {describe(board.rows[0].contestant.record)}")]
    if tied:
        names = ", ".join(_name(row) for row in tied[:8]) + (", ..." if len(tied) > 8 else "")
        lines.append(("tied with it", f"{len(tied)} of {counted(others, 'other')}: {names}"))
    elif others:
        lines.append(("tied with it", "none: its mistakes are told from those of all others"))
    fewer = [_name(row) for row in board.rows if row.to_leader and row.to_leader.verdict == "fewer mistakes"]
    if fewer:
        lines.append(("fewer mistakes", f"{', '.join(fewer)}: worse by NLL, which ranks, but wrong less often"))
    if board.detectable is not None:
        points = f"{100 * board.detectable:.2f} points"
        lines.append(
            ("too small", f"a true difference below {points} between the first two mostly escapes {board.n:,} images")
        )
    if board.selected is not None:
        lines.append(
            (
                "corrected",
                f"{_accuracy(board.selected.accuracy, board.selected.interval)} is what trial {board.picked_trial} is"
                f" worth, picked by validation as the best of {board.picked_from}; it shows"
                f" {board.selected.shown:.2%}",
            )
        )
    opened = f"opened {counted(board.test_openings, 'time')}" if board.test_openings else "not opened"
    lines.append(("sealed test", opened))
    how = "ranks go by NLL, the loss; tied: by its mistakes, a row cannot be told from the leader (p of all rows, Holm)"
    return [*lines, ("to read", how)]


def _name(row: Row) -> str:
    return row.contestant.record.label or f"trial {row.contestant.record.trial}"


def _accuracy(accuracy: float, interval: Interval) -> str:
    return f"{accuracy:.2%} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def _row_lines(row: Row) -> list[tuple[str, str]]:
    contestant, (low, high) = row.contestant, row.ranks
    lines = [
        (
            f"{row.rank}. {_name(row)}",
            f"{describe(contestant.record)}; {contestant.record.parameter_count:,} parameters,"
            f" {duration(contestant.train_seconds)}; rank {low} to {high}",
        ),
        ("   validation", answers_text(contestant.validation)),
    ]
    if contestant.test is not None:
        lines.append(("   sealed test", answers_text(contestant.test)))
    if row.to_leader is not None:
        lines.append(("   to the leader", to_leader_text(row.to_leader)))
    return lines


def answers_text(answers: Answers) -> str:
    """Accuracy with its interval, mistakes and NLL; with several seeds as means."""
    accuracy, counts = answers.accuracy, answers.error_counts
    text = _accuracy(accuracy.mean, answers.interval)
    if accuracy.standard_deviation is None:
        return f"{text} {counts[0]} of {answers.n:,} wrong, NLL {answers.mean_nll:.4f}"
    wrong = f"{sum(counts) / len(counts):.1f} of {answers.n:,} wrong"
    spread = f"{accuracy.n} seeds, standard deviation {100 * accuracy.standard_deviation:.2f} points"
    return f"{text} {wrong}, NLL {answers.mean_nll:.4f}; {spread}"


METHODS = {
    "mcnemar": "McNemar, single runs",
    "seeds": "t-test over images and seeds",
    "folds": "corrected t-test over folds",
}


def to_leader_text(difference: ToLeader) -> str:
    """How many points of accuracy behind, with the interval, and whether the mistakes tell the two apart."""
    shown = (difference.error_rate, difference.error_rate_interval.high, difference.error_rate_interval.low)
    points, low, high = (f"{0.0 - 100 * share:+.2f}" for share in shown)
    p_value = f"p {p_value_text(difference.corrected_p_value)} ({METHODS[difference.method]}, Holm)"
    verdict = difference.verdict if difference.tied else f"told apart, {difference.verdict}"
    return f"{points} points [{low}, {high}], {p_value}: {verdict}"


def _next(store: SweepStore, board: Leaderboard) -> str:
    folder = store.sealed_by.folder
    name, runs = folder.name, runs_option(folder)
    if store.header.kind == "sweep" and not board.rows[0].contestant.confirmed:
        return digits_command("confirm", "--top", 5, "--seeds", 5, "--sweep", name, *runs)
    if store.header.kind == "sweep":
        return digits_command("ensemble", "--pool", "confirmed", "--sweep", name, *runs)
    return digits_command("report", "--sweep", name, *runs)


@dataclass(frozen=True, kw_only=True)
class ConfirmationOutcome:
    """The runs of `digits confirm`, as their folder tells it."""

    sweep: SweepStore
    store: SweepStore
    records: tuple[RunRecord, ...]
    summary: SweepSummary | None

    @staticmethod
    def of(sweep: SweepStore, store: SweepStore) -> "ConfirmationOutcome":
        """Read the folder once."""
        return ConfirmationOutcome(sweep=sweep, store=store, records=tuple(store.records()), summary=store.summary())

    @property
    def interrupted(self) -> bool:
        """Whether some of the runs are still to come."""
        return len(self.records) < self.store.header.trial_count

    @property
    def counting(self) -> int:
        """Runs that have a score."""
        return sum(record.counts for record in self.records)

    def raise_if_failed(self) -> None:
        """Raise EnvironmentFailure if something ended the runs, or where none of them counts."""
        if self.summary is not None and self.summary.error:
            raise EnvironmentFailure(f"{self.summary.error}; what is finished is kept in {self.store.folder}")
        if not self.counting and not self.interrupted:
            raise EnvironmentFailure(f"all {len(self.records)} runs failed; see {self.store.folder}")


def runs_document(outcome: ConfirmationOutcome, report: Path | None) -> dict[str, Any]:
    """What every kind of confirmation says of its runs."""
    return {
        "sweep": outcome.sweep.header.name,
        "report": report and str(report),
        "folder": str(outcome.store.folder.absolute()),
        "runs": status_counts(outcome.records),
        "interrupted": outcome.interrupted,
    }


def confirmation_document(
    outcome: ConfirmationOutcome, board: Leaderboard | None, report: Path | None
) -> dict[str, Any]:
    """What `confirm --json` prints: the runs, and the leaderboard as they leave it (null where none of them counts)."""
    return {
        **runs_document(outcome, report),
        "leaderboard": board and leaderboard_document(outcome.sweep, board),
    }


def confirmation_lines(
    outcome: ConfirmationOutcome, board: Leaderboard | None, report: Path | None
) -> list[tuple[str, str]]:
    """What `confirm` prints for people: the recipes that were run again, best first."""
    lines: list[tuple[str, str]] = []
    if board is not None:
        again = [row for row in board.rows if row.contestant.confirmed or outcome.store.header.fold_count]
        lines += [*_verdict_lines(board), ("", ""), *(line for row in again for line in _row_lines(row))]
    counts = status_counts(outcome.records)
    lines.append(
        ("runs", f"{counts['finished']} finished, {counts['failed']} failed, of {outcome.store.header.trial_count}")
    )
    lines += [
        ("failed", f"{record.label}, seed {record.recipe.training.seed}: {record.failure}")
        for record in outcome.records
        if record.status == "failed"
    ]
    name, runs = outcome.sweep.header.name, runs_option(outcome.sweep.folder)
    if outcome.interrupted:
        lines.append(("to go on", "run the same command again"))
    if report:
        lines.append(("report", str(report)))
    if outcome.interrupted or not outcome.counting:
        return [*lines, ("next", digits_command("leaderboard", name, *runs))]
    if outcome.store.header.fold_count:
        return [*lines, ("next", open_command(report) if report else digits_command("leaderboard", name, *runs))]
    return [*lines, ("next", digits_command("ensemble", "--pool", "confirmed", "--sweep", name, *runs))]
