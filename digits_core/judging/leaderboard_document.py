"""A leaderboard as JSON values: the command prints them, the page embeds them, and they are read back from a page."""

import dataclasses
from typing import Any

from digits_core.judging.answers import Answers
from digits_core.judging.leaderboard import Leaderboard, Row
from digits_core.judging.paired import ToLeader
from digits_core.judging.resampling import Selected
from digits_core.judging.stats import Interval
from digits_core.runs.command_line import replay_command
from digits_core.runs.run import Run


def leaderboard_document(run: Run, board: Leaderboard) -> dict[str, Any]:
    """What `leaderboard --json` prints. Differences are on validation, and positive if the row is worse."""
    return {
        "sweep": run.outer.folder.name,
        "n": board.n,
        "part": board.part,
        "test_openings": board.test_openings,
        "selection_corrected": leader_selected_document(board),
        "detectable_difference": board.detectable,
        "unequal_epochs": len(board.unequal),
        "rows": [_row_document(run, row) for row in board.rows],
    }


def leader_selected_document(board: Leaderboard) -> dict[str, Any] | None:
    """What the best of the sweep's own runs is worth; None if nothing was picked."""
    if board.selected is None:
        return None
    return {**selected_document(board.selected, board.picked_from), "trial": board.picked_trial}


def selected_document(selected: Selected, picked_from: int) -> dict[str, Any]:
    """What the best of several is worth, corrected for having been picked."""
    return {
        "accuracy": selected.accuracy,
        "accuracy_interval": ends(selected.interval),
        "shown": selected.shown,
        "optimism": selected.optimism,
        "picked_from": picked_from,
    }


def ends(interval: Interval) -> list[float]:
    """Both ends of an interval."""
    return [interval.low, interval.high]


def to_leader_document(difference: ToLeader) -> dict[str, Any]:
    """A difference from the leader: positive is worse."""
    return {
        "error_rate": difference.error_rate,
        "error_rate_interval": ends(difference.error_rate_interval),
        "nll": difference.nll,
        "nll_interval": ends(difference.nll_interval),
        "p_value": difference.p_value,
        "corrected_p_value": difference.corrected_p_value,
        "method": difference.method,
        "verdict": difference.verdict,
    }


def _row_document(run: Run, row: Row) -> dict[str, Any]:
    candidate = row.candidate
    return {
        "trial": candidate.trial,
        "label": candidate.record.label,
        "parent": candidate.record.parent,
        "rank": row.rank,
        "rank_interval": list(row.ranks),
        "tied_with_leader": row.tied_with_leader,
        "verdict": row.to_leader.verdict if row.to_leader else "leads",
        "to_leader": row.to_leader and to_leader_document(row.to_leader),
        "to_leader_on_test": row.on_test and to_leader_document(row.on_test),
        "validation": answers_document(candidate.validation),
        "test": candidate.test and answers_document(candidate.test),
        "trials": [run.trial for run in candidate.runs],
        "seeds": list(candidate.seeds),
        "confirmed": candidate.confirmed,
        "searched_epochs": candidate.searched_epochs,
        "parameters": candidate.record.parameter_count,
        "train_seconds": candidate.train_seconds,
        "image_seconds": candidate.record.image_seconds,
        "recipe": dataclasses.asdict(candidate.recipe),
        "reproduce": _replay(run, row),
    }


def _replay(run: Run, row: Row) -> str:
    """What confirms a sweep has no number in it: `replay` without one takes the leader's network."""
    is_confirmed_leader = row.candidate.confirmed and row.rank == 1
    return replay_command(run.outer.folder, None if is_confirmed_leader else row.candidate.trial)


def answers_document(answers: Answers) -> dict[str, Any]:
    """Means over the runs, each run's error count, and the interval of the mean accuracy."""
    return {
        "n": answers.n,
        "error_counts": list(answers.error_counts),
        "accuracy": answers.accuracy.mean,
        "accuracy_interval": ends(answers.interval),
        "standard_deviation": answers.accuracy.standard_deviation,
        "nll": answers.mean_nll,
        "brier": answers.brier,
        "ece": answers.ece,
    }
