"""Rows -> Plotly figures. Colours are the Okabe-Ito palette, which colour-blind readers can tell apart."""

import numpy as np
import plotly.graph_objects as go

from digits_core.objectives import OBJECTIVES, values_of
from digits_core.records import RunRecord
from reports.tables import Front, HistoryPoint

BLUE, ORANGE, GREEN, PINK, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"
SERIES_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY)
STATUS_STYLE = {"finished": (BLUE, "circle"), "stopped": (ORANGE, "circle-open")}
CURVE_COUNT = 5
MOST_EPOCH_TICKS = 12


def _layout(figure: go.Figure, x_title: str, y_title: str) -> go.Figure:
    # Colours of text, grid and background come from the page's style, which knows light from dark.
    figure.update_layout(
        template="none",
        height=380,
        margin={"l": 70, "r": 20, "t": 20, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.12, "x": 0},
        hovermode="closest",
    )
    figure.update_xaxes(title=x_title, zeroline=False)
    figure.update_yaxes(title=y_title, zeroline=False)
    return figure


def _log_axis(figure: go.Figure, values: list[float]) -> None:
    figure.update_yaxes(type="log", exponentformat="none")
    if values and max(values) >= 100 * min(values):  # else Plotly's own choice has more ticks to read
        figure.update_yaxes(dtick=1, minor={"ticks": "outside", "dtick": "D1"})


def optimisation_history(points: tuple[HistoryPoint, ...]) -> go.Figure:
    """Validation NLL of every trial against the seconds at which it ended, and the best so far."""
    figure = go.Figure()
    for status, (colour, symbol) in STATUS_STYLE.items():
        chosen = [point for point in points if point.status == status]
        if chosen:
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
        hovertemplate="best so far %{y:.4f}<extra></extra>",
    )
    _layout(figure, "seconds since the first trial started", "validation NLL (log scale)")
    figure.update_xaxes(rangemode="tozero")
    _log_axis(figure, [point.nll for point in points])
    return figure


def objectives_chart(records: list[RunRecord], front: Front) -> go.Figure:
    """Every trial by its first two objectives, and the front among them."""
    figure = go.Figure()
    x_name, y_name = front.objectives[1], front.objectives[0]
    shown = [record for record in records if values_of(record, front.objectives) is not None]
    on_front = [record for record in shown if record.trial in front]
    on_front.sort(key=OBJECTIVES[x_name].value)
    others = [record for record in shown if record.trial not in front]
    for name, chosen, style in (
        ("other trials", others, {"mode": "markers", "marker": {"color": SKY, "symbol": "circle-open", "size": 8}}),
        ("front", on_front, {"mode": "lines+markers", "marker": {"color": BLUE, "size": 9}, "line": {"shape": "hv"}}),
    ):
        figure.add_scatter(
            x=np.array([OBJECTIVES[x_name].value(record) for record in chosen]),
            y=np.array([OBJECTIVES[y_name].value(record) for record in chosen]),
            customdata=np.array([record.trial for record in chosen]),
            name=name,
            hovertemplate="trial %{customdata}<br>%{y:.4g}<br>%{x:,.4g}<extra></extra>",
            **style,
        )
    _layout(figure, OBJECTIVES[x_name].title, OBJECTIVES[y_name].title)
    for name, axis in ((x_name, figure.layout.xaxis), (y_name, figure.layout.yaxis)):
        if name != "accuracy" and shown:  # ratios count in all others
            axis.update(type="log", title=f"{OBJECTIVES[name].title} (log scale)", dtick="D2", exponentformat="none")
    return figure


def _curve_name(record: RunRecord) -> str:
    return f"{record.label} (trial {record.trial})" if record.label else f"trial {record.trial}"


def learning_curves(records: list[RunRecord]) -> go.Figure:
    """Train and validation loss by epoch of the best few trials, the epoch that counts marked."""
    figure = go.Figure()
    for record, colour in zip(records[:CURVE_COUNT], SERIES_COLOURS, strict=False):
        epochs = np.array([row.epoch for row in record.curve])
        validation = np.array([row.validation_nll for row in record.curve])
        name, group = _curve_name(record), str(record.trial)
        figure.add_scatter(
            x=epochs, y=validation, mode="lines", name=name, legendgroup=group, line={"color": colour, "width": 2},
            hovertemplate=f"{name}, validation<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=epochs, y=np.array([row.train_loss for row in record.curve]), showlegend=False,
            mode="lines" if len(epochs) > 1 else "markers", marker={"symbol": "circle-open"},
            legendgroup=group, line={"color": colour, "width": 1, "dash": "dot"},
            hovertemplate=f"{name}, training (augmented)<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )  # fmt: skip
        chosen = epochs == record.best_epoch
        figure.add_scatter(
            x=epochs[chosen], y=validation[chosen], mode="markers", showlegend=False, legendgroup=group,
            marker={"color": colour, "size": 11, "symbol": "star"},
            hovertemplate=f"{name}, chosen epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )  # fmt: skip
    _layout(figure, "epoch", "loss, nats (log scale)")
    shown = [row for record in records[:CURVE_COUNT] for row in record.curve]
    if max((row.epoch for row in shown), default=0) <= MOST_EPOCH_TICKS:
        figure.update_xaxes(dtick=1)
    _log_axis(figure, [loss for row in shown for loss in (row.train_loss, row.validation_nll)])
    return figure
