"""The leaderboard as one flat table, for spreadsheets and pandas."""

from dataclasses import asdict

import pandas as pd

from digits_core.judging.leaderboard import Row
from reports.rows.tables import LeaderboardRow
from reports.rows.views import Result


def leaderboard_frame(rows: tuple[LeaderboardRow, ...]) -> pd.DataFrame:
    """One row per validated trial, in the page's order; recipe fields under their dotted names.

    The columns `standing` to `mean_accuracy` are the leaderboard's: means over fresh seeds for confirmed recipes.
    """
    return pd.DataFrame(
        [
            {
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
            for row in rows
        ]
    )


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
        "mean_nll": row.candidate.validation.mean_nll,
        "mean_accuracy": row.candidate.validation.accuracy.mean,
    }
