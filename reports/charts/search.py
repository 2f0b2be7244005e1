"""Rows about a search -> Plotly figures: history, timeline, rungs, importance, slices, costs."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from digits_core.judging.objectives import OBJECTIVES, values_of
from digits_core.records import RunRecord
from reports.charts.style import (
    BLUE,
    GREEN,
    ORANGE,
    SEQUENTIAL,
    SERIES_COLOURS,
    SKY,
    STATUS_STYLE,
    laid_out,
    log_axis,
    plain,
)
from reports.rows.importance import Importances
from reports.rows.search import CostPoint, Dimension, HistoryPoint, LaneBar, Rung
from reports.rows.tables import Front
from reports.rows.versus import RunColumn

T = TypeVar("T")
CONTOUR_GRID = 40
FEWEST_CONTOUR_POINTS = 10


def _by_status(rows: Sequence[T], status_of: Callable[[T], str]) -> Iterator[tuple[str, str, str, list[T]]]:
    """Each status that occurs, with its colour, symbol and rows."""
    for status, (colour, symbol) in STATUS_STYLE.items():
        chosen = [row for row in rows if status_of(row) == status]
        if chosen:
            yield status, colour, symbol, chosen


def optimisation_history(points: tuple[HistoryPoint, ...]) -> go.Figure:
    """Validation NLL of every trial against the time at which it ended, and the best so far."""
    figure = go.Figure()
    for status, colour, symbol, chosen in _by_status(points, lambda point: point.status):
        figure.add_scatter(
            x=np.array([point.ended_seconds for point in chosen]),
            y=np.array([point.nll for point in chosen]),
            customdata=np.array([point.trial for point in chosen]),
            mode="markers",
            name=status,
            marker={"color": colour, "symbol": symbol, "size": 8},
            hovertemplate="trial %{customdata}<br>NLL %{y:.4f}<br>%{x:.1f} s<extra></extra>",
        )
    figure.add_scatter(
        x=np.array([point.ended_seconds for point in points]),
        y=np.array([point.incumbent_nll for point in points]),
        mode="lines",
        name="best so far",
        line={"color": GREEN, "shape": "hv", "width": 2},
        hoverinfo="skip",
    )
    laid_out(figure, "search time, seconds", "validation NLL (log scale)")
    figure.update_xaxes(rangemode="tozero")
    log_axis(figure, [point.nll for point in points])
    return figure


def objectives_chart(records: list[RunRecord], front: Front) -> go.Figure:
    """Every trial by its first two objectives, with the Pareto front."""
    figure = go.Figure()
    x_name, y_name = front.objectives[1], front.objectives[0]
    shown = [record for record in records if values_of(record, front.objectives) is not None]
    on_front = [record for record in shown if record.trial in front]
    on_front.sort(key=OBJECTIVES[x_name].value)
    others = [record for record in shown if record.trial not in front]
    for name, chosen, style in (
        ("other trials", others, {"mode": "markers", "marker": {"color": SKY, "symbol": "circle-open", "size": 8}}),
        (
            "Pareto front",
            on_front,
            {"mode": "lines+markers", "marker": {"color": BLUE, "size": 9}, "line": {"shape": "hv"}},
        ),
    ):
        figure.add_scatter(
            x=np.array([OBJECTIVES[x_name].value(record) for record in chosen]),
            y=np.array([OBJECTIVES[y_name].value(record) for record in chosen]),
            customdata=np.array([record.trial for record in chosen]),
            name=name,
            hovertemplate="trial %{customdata}<br>%{y:.4g}<br>%{x:,.4g}<extra></extra>",
            **style,
        )
    laid_out(figure, OBJECTIVES[x_name].title, OBJECTIVES[y_name].title)
    for name, axis in ((x_name, figure.layout.xaxis), (y_name, figure.layout.yaxis)):
        if name != "accuracy" and shown:  # ratios matter in all other objectives
            axis.update(type="log", title=f"{OBJECTIVES[name].title} (log scale)", dtick="D2", exponentformat="none")
    return figure


def time_line(bars: Sequence[LaneBar]) -> go.Figure:
    """Trials as bars over time; trials that ran at the same time are in different lanes."""
    figure = go.Figure()
    for status, colour, _, chosen in _by_status(bars, lambda bar: bar.status):
        figure.add_bar(
            base=np.array([bar.start_seconds for bar in chosen]),
            x=np.array([bar.seconds for bar in chosen]),
            y=np.array([bar.lane + 1 for bar in chosen]),
            customdata=np.array([[bar.trial, bar.seconds] for bar in chosen]),
            orientation="h",
            name=status,
            marker={"color": colour, "line": {"color": "rgba(128,128,128,0.6)", "width": 1}},
            hovertemplate="trial %{customdata[0]}<br>from %{base:.1f} s, took %{customdata[1]:.1f} s<extra></extra>",
        )
    lane_count = max((bar.lane for bar in bars), default=0) + 1
    laid_out(figure, "search time, seconds", "lane", height=min(140 + 36 * lane_count, 700))
    figure.update_layout(barmode="overlay", bargap=0.25)
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(dtick=1, autorange="reversed")
    return figure


def rung_chart(rungs: Sequence[Rung]) -> go.Figure:
    """For each epoch after which trials were stopped: how many were stopped and how many continued."""
    figure = go.Figure()
    epochs = [str(rung.epoch) for rung in rungs]
    for name, colour, counts in (
        ("continued", BLUE, [rung.continued_count for rung in rungs]),
        ("stopped", ORANGE, [rung.stopped_n for rung in rungs]),
    ):
        figure.add_bar(
            x=epochs, y=np.array(counts), name=name, marker={"color": colour},
            hovertemplate=f"%{{y}} {name}<extra></extra>",
        )  # fmt: skip
    laid_out(figure, "after epoch", "trials", height=300)
    figure.update_layout(barmode="stack")
    figure.update_xaxes(type="category")
    return figure


def importance_chart(found: Importances) -> go.Figure:
    """Fields by importance, with one standard deviation over folds and repeats."""
    rows = found.rows[::-1]
    figure = go.Figure()
    figure.add_bar(
        x=np.array([row.mean for row in rows]),
        y=[row.name for row in rows],
        error_x={"type": "data", "array": np.array([row.standard_deviation for row in rows]), "color": "#808080"},
        orientation="h",
        marker={"color": BLUE},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    laid_out(figure, "explained variance lost by shuffling", "", height=80 + 24 * len(rows))
    figure.update_layout(showlegend=False)
    figure.update_yaxes(automargin=True)
    return figure


def by_importance(dimensions: Sequence[Dimension], found: Importances | str) -> list[Dimension]:
    """The fields, the most important first; in their own order if importances are unknown."""
    if isinstance(found, str):
        return list(dimensions)
    places = {row.name: place for place, row in enumerate(found.rows)}
    return sorted(dimensions, key=lambda dimension: places[dimension.name])


def slice_chart(dimension: Dimension, records: Sequence[RunRecord], nlls: Sequence[float]) -> go.Figure:
    """NLL of every trial against one field. Records and NLLs are in the order of the field's values."""
    figure = go.Figure()
    together = zip(dimension.values, records, nlls, strict=True)
    applying = [(value, record, nll) for value, record, nll in together if value is not None]
    for status, colour, symbol, chosen in _by_status(applying, lambda row: row[1].status):
        figure.add_scatter(
            x=[float(value) if dimension.numeric else plain(str(value)) for value, _, _ in chosen],
            y=np.array([nll for _, _, nll in chosen]),
            customdata=np.array([record.trial for _, record, _ in chosen]),
            mode="markers",
            name=status,
            marker={"color": colour, "symbol": symbol, "size": 8},
            hovertemplate="trial %{customdata}<br>%{x}<br>NLL %{y:.4f}<extra></extra>",
        )
    title = dimension.name + (" (log scale)" if dimension.log else "")
    laid_out(figure, title, "validation NLL (log scale)", height=340)
    if dimension.log:
        figure.update_xaxes(type="log", exponentformat="none", dtick="D2")
    elif not dimension.numeric:
        figure.update_xaxes(type="category")
    log_axis(figure, list(nlls))
    return figure


def contour_chart(
    first: Dimension, second: Dimension, nlls: Sequence[float], trials: Sequence[int]
) -> go.Figure | None:
    """log10 NLL over two numeric fields, interpolated linearly between the trials; None if there are too few."""
    from scipy.interpolate import griddata  # takes a quarter of a second

    kept = [p for p, pair in enumerate(zip(first.values, second.values, strict=True)) if None not in pair]
    axes = [np.array([float(d.values[p]) for p in kept]) for d in (first, second)]  # type: ignore[arg-type]
    if len(kept) < FEWEST_CONTOUR_POINTS or any(len(np.unique(axis)) < 4 for axis in axes):
        return None
    levels = np.log10(np.array([nlls[place] for place in kept]))
    placed = [_unit(np.log(axis) if d.log else axis) for axis, d in zip(axes, (first, second), strict=True)]
    steps = np.linspace(0, 1, CONTOUR_GRID)
    surface = griddata(np.stack(placed, axis=1), levels, tuple(np.meshgrid(steps, steps)), method="linear")
    grids = [_ungridded(steps, axis, log=d.log) for axis, d in zip(axes, (first, second), strict=True)]
    figure = go.Figure()
    figure.add_contour(
        x=grids[0], y=grids[1], z=np.round(surface, 3), colorscale=SEQUENTIAL, reversescale=True, ncontours=12,
        colorbar={"title": "log10 NLL", "thickness": 12}, hovertemplate="log10 NLL %{z:.2f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=axes[0], y=axes[1], mode="markers", name="trials", customdata=np.array([trials[place] for place in kept]),
        hovertemplate="trial %{customdata}<extra></extra>",
        marker={"color": "white", "size": 6, "line": {"color": "black", "width": 1}},
    )  # fmt: skip
    laid_out(figure, first.name, second.name)
    for dimension, axis in ((first, figure.layout.xaxis), (second, figure.layout.yaxis)):
        if dimension.log:
            axis.update(type="log", exponentformat="none", dtick="D2")
    figure.update_layout(showlegend=False)
    return figure


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    placed: npt.NDArray[np.float64] = (values - values.min()) / (float(np.ptp(values)) or 1.0)
    return placed


def _ungridded(steps: npt.NDArray[np.float64], axis: npt.NDArray[np.float64], *, log: bool) -> npt.NDArray[np.float64]:
    low, high = (np.log(axis.min()), np.log(axis.max())) if log else (axis.min(), axis.max())
    values: npt.NDArray[np.float64] = low + steps * (high - low)
    return np.exp(values) if log else values


def cost_chart(points: Sequence[CostPoint]) -> go.Figure:
    """Seconds per epoch by batch size, learning rate and optimizer; seconds per trial by epochs. Colours are models."""
    figure = make_subplots(rows=2, cols=2, horizontal_spacing=0.1, vertical_spacing=0.2)
    models = sorted({point.model for point in points})
    panels = (
        (1, 1, "batch size", "batch_size", "epoch_seconds"),
        (1, 2, "learning rate (log scale)", "learning_rate", "epoch_seconds"),
        (2, 1, "optimizer", "optimizer", "epoch_seconds"),
        (2, 2, "epochs", "epochs", "seconds"),
    )
    for row, column, title, x_field, y_field in panels:
        for number, model in enumerate(models):
            chosen = [point for point in points if point.model == model]
            figure.add_scatter(
                x=[getattr(point, x_field) for point in chosen],
                y=np.array([getattr(point, y_field) for point in chosen]),
                customdata=np.array([point.trial for point in chosen]), mode="markers", name=model, legendgroup=model,
                showlegend=(row, column) == (1, 1), row=row, col=column,
                marker={"color": SERIES_COLOURS[number % len(SERIES_COLOURS)], "size": 7, "opacity": 0.75},
                hovertemplate=f"trial %{{customdata}}<br>{title} %{{x}}<br>%{{y:.3g}} s<extra></extra>",
            )  # fmt: skip
    laid_out(figure, "", "seconds per epoch", height=680)
    for row, column, title, *_ in panels:
        figure.update_xaxes(title=title, row=row, col=column)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title="seconds per trial", row=2, col=2)
    figure.update_xaxes(type="log", exponentformat="none", dtick="D2", row=1, col=2)
    figure.update_xaxes(type="category", row=2, col=1)
    sizes = sorted({point.batch_size for point in points})
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=sizes, row=1, col=1)
    return figure


def incumbents_chart(columns: Sequence[RunColumn]) -> go.Figure:
    """Each run's best validation NLL so far, against search time and against epochs trained."""
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    for place, column in enumerate(columns):
        colour = SERIES_COLOURS[place % len(SERIES_COLOURS)]
        incumbents = np.array([point.incumbent_nll for point in column.history])
        for panel, passed in enumerate(("ended_seconds", "epochs"), start=1):
            figure.add_scatter(
                x=np.array([getattr(point, passed) for point in column.history]), y=incumbents, mode="lines+markers",
                name=plain(column.header.name), legendgroup=str(place), showlegend=panel == 1, row=1, col=panel,
                line={"color": colour, "shape": "hv", "width": 2}, marker={"size": 4},
                hovertemplate="%{y:.4f}<extra></extra>",
            )  # fmt: skip
    laid_out(figure, "", "", height=420)
    figure.update_xaxes(title="search time, seconds", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title="epochs, all trials together", rangemode="tozero", row=1, col=2)
    log_axis(figure, [point.incumbent_nll for column in columns for point in column.history])
    figure.update_yaxes(title="best validation NLL so far (log scale)", row=1, col=1)
    return figure
