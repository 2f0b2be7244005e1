"""A run as flat tables, for spreadsheets and pandas: leaderboard, learning curves, predictions."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from digits_core.judging.answers import Answers
from digits_core.judging.leaderboard import Leaderboard, Row
from digits_core.records import RunRecord
from digits_core.runs.ensemble_records import Part
from digits_core.runs.run import Run
from reports.rows.tables import LeaderboardRow
from reports.rows.views import Result

if TYPE_CHECKING:
    import pandas as pd


def candidates_frame(board: Leaderboard) -> "pd.DataFrame":
    """One row per candidate, as `digits leaderboard` ranks them; recipe fields under their dotted names.

    Differences are from the leader on validation, and positive if the row is worse.
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "rank": row.rank,
                "trial": row.candidate.trial,
                "label": row.candidate.record.label,
                "runs": len(row.candidate.runs),
                "confirmed": row.candidate.confirmed,
                **_answers(row.candidate.validation),
                "rank_low": row.ranks[0],
                "rank_high": row.ranks[1],
                "tied_with_leader": row.tied_with_leader,
                "verdict": row.to_leader.verdict if row.to_leader else "leads",
                "error_rate_difference": row.to_leader.error_rate if row.to_leader else 0.0,
                "corrected_p_value": row.to_leader.corrected_p_value if row.to_leader else None,
                **(
                    {f"test_{name}": value for name, value in _answers(row.candidate.test).items()}
                    if row.candidate.test
                    else {}
                ),
                "parameters": row.candidate.record.parameter_count,
                "train_seconds": row.candidate.train_seconds,
                **row.candidate.recipe.as_overrides(),
            }
            for row in board.rows
        ]
    )


def _answers(answers: Answers) -> dict[str, float]:
    return {
        "n": answers.n,
        "error_count": float(np.mean(answers.error_counts)),
        "accuracy": answers.accuracy.mean,
        "accuracy_low": answers.interval.low,
        "accuracy_high": answers.interval.high,
        "nll": answers.mean_nll,
        "ece": answers.ece,
    }


def curves_frame(records: Sequence[RunRecord]) -> "pd.DataFrame":
    """One row per trial and epoch, by number: the learning curves."""
    import pandas as pd

    return pd.DataFrame(
        [{"trial": record.trial, "status": record.status, **asdict(row)} for record in records for row in record.curve]
    )


def predictions_frame(run: Run, trial: int, part: Part = "validation") -> "pd.DataFrame":
    """One row per image: its number in the data set, its label, what the trial predicted, and p0 to p9.

    Raises EnvironmentFailure if the test set was never opened for this trial.
    """
    import pandas as pd

    said = run.test_probabilities(trial) if part == "test" else run.validation_probabilities(trial)
    indices, labels = (
        (run.test_indices, run.test_labels) if part == "test" else (run.validation_indices, run.validation_labels)
    )
    frame = pd.DataFrame({"index": indices, "label": labels, "prediction": said.argmax(axis=1)})
    return pd.concat([frame, pd.DataFrame(said, columns=[f"p{digit}" for digit in range(said.shape[1])])], axis=1)


def leaderboard_rows(rows: Sequence[LeaderboardRow]) -> list[dict[str, Any]]:
    """One row per validated trial, in the page's order; recipe fields under their dotted names. All have the same keys.

    The columns `standing` to `mean_accuracy` are the leaderboard's: means over fresh seeds for confirmed recipes.
    """
    found = [_leaderboard_row(row) for row in rows]
    names = list(dict.fromkeys(name for row in found for name in row))
    return [{name: row.get(name) for name in names} for row in found]


def _leaderboard_row(row: LeaderboardRow) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "trial": row.record.trial,
        "status": row.record.status,
        "recipe_id": row.record.recipe.recipe_id,
        **_columns("validation", row.validation),
        **(_columns("test", row.test) if row.test else {}),
        "best_epoch": row.record.best_epoch,
        "epochs": len(row.record.curve),
        "parameters": row.record.parameter_count,
        "train_seconds": row.record.train_seconds,
        **(_standing(row.standing) if row.standing else {}),
        **row.record.recipe.as_overrides(),
    }


def leaderboard_csv(rows: Sequence[LeaderboardRow]) -> str:
    """`leaderboard_rows` for spreadsheets."""
    found, text = leaderboard_rows(rows), io.StringIO()
    writer = csv.DictWriter(text, list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def _columns(part: str, result: Result) -> dict[str, float]:
    figures = {f"{part}_{name}": value for name, value in asdict(result.score).items()}
    return {**figures, f"{part}_accuracy_low": result.interval.low, f"{part}_accuracy_high": result.interval.high}


def _standing(row: Row) -> dict[str, float | int | bool | None]:
    return {
        "standing": row.rank,
        "standing_low": row.ranks[0],
        "standing_high": row.ranks[1],
        "tied_with_leader": row.tied_with_leader,
        "corrected_p_value": row.to_leader.corrected_p_value if row.to_leader else None,
        "confirmed_seeds": len(row.candidate.runs) if row.candidate.confirmed else 0,
        "confirmed_epochs": row.candidate.recipe.training.epochs if row.candidate.confirmed else 0,
        "mean_nll": row.candidate.validation.mean_nll,
        "mean_accuracy": row.candidate.validation.accuracy.mean,
    }
