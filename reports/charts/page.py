"""All charts of a run's page: rows -> figures by name."""

import plotly.graph_objects as go

from reports.charts.models import (
    ShownRun,
    accuracy_curves,
    calibration_chart,
    disagreement_chart,
    embedding_chart,
    learning_curves,
)
from reports.charts.search import (
    by_importance,
    contour_chart,
    cost_chart,
    importance_chart,
    objectives_chart,
    optimisation_history,
    rung_chart,
    slice_chart,
    time_line,
)
from reports.rows.answers import trial_title
from reports.rows.search import Dimension
from reports.rows.tables import ReportData


def all_figures(data: ReportData) -> dict[str, go.Figure | None]:
    """Every chart by name; None if there is nothing to draw."""
    records = [row.record for row in data.leaderboard]
    ensemble, inside = data.ensemble, data.inside
    found = {
        "objectives": objectives_chart(records, data.front) if data.front else None,
        "disagreement": disagreement_chart(ensemble) if ensemble and ensemble.pairs else None,
        "curves": learning_curves(_shown_runs(data)),
        "accuracy": accuracy_curves(_shown_runs(data)),
        "calibration": calibration_chart(data.answered.featured),
        "cost": cost_chart(data.costs),
        "embedding": embedding_chart(inside) if inside and inside.scatters else None,
    }
    # Last: these wait for the importances, which another process computes.
    return {**(_search_figures(data) if data.searched else {}), **found}


def _shown_runs(data: ReportData) -> list[ShownRun]:
    """Each leaderboard row's run with its title; for a confirmed recipe, its first run on a fresh seed."""
    shown = []
    for row in data.leaderboard:
        standing = row.standing
        if standing is not None and standing.candidate.confirmed:
            run = standing.candidate.runs[0]
            title = f"trial {row.record.trial}, seed {run.recipe.training.seed}"
        else:
            run, title = row.record, trial_title(row.record)
        shown.append(ShownRun(trial=row.record.trial, title=title, record=run))
    return shown


def sliced(data: ReportData) -> list[Dimension]:
    """The fields that get a chart of their own, the most important first."""
    return by_importance(data.search.dimensions, data.search.importances)


def _search_figures(data: ReportData) -> dict[str, go.Figure | None]:
    search, records = data.search, [row.record for row in data.leaderboard]
    fields = sliced(data)
    numeric = [dimension for dimension in fields if dimension.numeric]
    contours = (
        contour_chart(first, second, search.footing_nlls, [record.trial for record in records])
        for place, first in enumerate(numeric)
        for second in numeric[place + 1 :]
    )
    return {
        "history": optimisation_history(search.history),
        "lanes": time_line(search.lanes),
        "rungs": rung_chart(search.rungs) if search.rungs else None,
        "importance": None if isinstance(search.importances, str) else importance_chart(search.importances),
        **{f"slice-{place}": slice_chart(field, records, search.footing_nlls) for place, field in enumerate(fields)},
        "contour": next((figure for figure in contours if figure is not None), None),
    }
