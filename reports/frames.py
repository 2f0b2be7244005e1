"""The leaderboard as one flat table, for spreadsheets and pandas."""

from dataclasses import asdict

import pandas as pd

from reports.tables import LeaderboardRow, Result


def leaderboard_frame(rows: tuple[LeaderboardRow, ...]) -> pd.DataFrame:
    """One row a validated trial, best first; recipe fields under their dotted names."""
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
                **row.record.recipe.as_overrides(),
            }
            for row in rows
        ]
    )


def _columns(part: str, result: Result) -> dict[str, float]:
    figures = {f"{part}_{name}": value for name, value in asdict(result.score).items()}
    return {**figures, f"{part}_accuracy_low": result.interval.low, f"{part}_accuracy_high": result.interval.high}
