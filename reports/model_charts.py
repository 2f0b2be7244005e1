"""Rows about models -> Plotly figures: learning curves, calibration, embeddings, members of an ensemble."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from digits_core.ensemble_records import EnsembleRecord
from digits_core.records import RunRecord
from reports.answers import trial_title
from reports.figures import DIGIT_COLOURS, GREEN, SERIES_COLOURS, laid_out, log_axis
from reports.inside_rows import InsideModel
from reports.views import View

CURVE_COUNT = 5
MOST_EPOCH_TICKS = 12


def learning_curves(records: Sequence[RunRecord]) -> go.Figure:
    """Train and validation loss by epoch of the best few trials, the epoch that counts marked."""
    figure = go.Figure()
    for record, colour in zip(records[:CURVE_COUNT], SERIES_COLOURS, strict=False):
        _add_curve(
            figure, record, colour,
            validation=[row.validation_nll for row in record.curve], train=[row.train_loss for row in record.curve],
        )  # fmt: skip
    laid_out(figure, "epoch", "loss, nats (log scale)")
    shown = [row for record in records[:CURVE_COUNT] for row in record.curve]
    _epoch_ticks(figure, records)
    losses = [loss for row in shown for loss in (row.train_loss, row.validation_nll)]
    log_axis(figure, [loss for loss in losses if np.isfinite(loss) and loss > 0])
    return figure


def accuracy_curves(records: Sequence[RunRecord]) -> go.Figure:
    """The same for the share of mistakes, where both parts can be read on one log scale."""
    figure = go.Figure()
    for record, colour in zip(records[:CURVE_COUNT], SERIES_COLOURS, strict=False):
        _add_curve(
            figure, record, colour,
            validation=[100 * row.validation_error_count / max(row.validation_n, 1) for row in record.curve],
            train=[100 * row.train_error_count / max(row.train_n, 1) for row in record.curve],
        )  # fmt: skip
    laid_out(figure, "epoch", "mistakes, % (log scale)")
    _epoch_ticks(figure, records)
    log_axis(figure, [])
    return figure


def _add_curve(
    figure: go.Figure, record: RunRecord, colour: str, *, validation: list[float], train: list[float]
) -> None:
    epochs = np.array([row.epoch for row in record.curve])
    name, group = trial_title(record), str(record.trial)
    figure.add_scatter(
        x=epochs, y=np.array(validation), mode="lines", name=name, legendgroup=group,
        line={"color": colour, "width": 2},
        hovertemplate=f"{_plain(name)}, validation<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=epochs, y=np.array(train), showlegend=False, legendgroup=group,
        mode="lines" if len(epochs) > 1 else "markers", marker={"symbol": "circle-open"},
        line={"color": colour, "width": 1, "dash": "dot"},
        hovertemplate=f"{_plain(name)}, training (augmented)<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    )  # fmt: skip
    chosen = epochs == record.best_epoch
    figure.add_scatter(
        x=epochs[chosen], y=np.array(validation)[chosen], mode="markers", showlegend=False, legendgroup=group,
        marker={"color": colour, "size": 11, "symbol": "star"},
        hovertemplate=f"{_plain(name)}, chosen epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    )  # fmt: skip


def _plain(name: str) -> str:
    """Without what Plotly would take for a placeholder or a tag."""
    return name.translate(str.maketrans("", "", "<>%{}&"))


def _epoch_ticks(figure: go.Figure, records: Sequence[RunRecord]) -> None:
    longest = max((row.epoch for record in records[:CURVE_COUNT] for row in record.curve), default=0)
    if longest <= MOST_EPOCH_TICKS:
        figure.update_xaxes(dtick=1)


def calibration_chart(views: Sequence[View]) -> go.Figure:
    """How often answers of like confidence are right, with 95 % intervals, beside how often they should be."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="as sure as right", line={"color": GREEN, "dash": "dash", "width": 1},
        hoverinfo="skip",
    )  # fmt: skip
    for view, colour in zip(views, SERIES_COLOURS, strict=False):
        accuracies = np.array([one.accuracy for one in view.bins])
        figure.add_scatter(
            x=np.array([one.confidence for one in view.bins]),
            y=accuracies,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": np.array([one.interval.high for one in view.bins]) - accuracies,
                "arrayminus": accuracies - np.array([one.interval.low for one in view.bins]),
                "thickness": 1,
            },
            customdata=np.array([one.n for one in view.bins]),
            mode="lines+markers",
            name=view.title,
            marker={"color": colour, "size": 8},
            line={"color": colour, "width": 1},
            hovertemplate="confidence %{x:.3f}<br>right %{y:.3f}<br>%{customdata} images<extra></extra>",
        )
    laid_out(figure, "confidence", "share that is right", height=420)
    figure.update_xaxes(range=[0, 1.02])
    figure.update_yaxes(range=[0, 1.05])
    return figure


def embedding_chart(inside: InsideModel) -> go.Figure:
    """The same images before and after the network: each point is a digit, coloured by its label."""
    figure = make_subplots(
        rows=2, cols=2, horizontal_spacing=0.06, vertical_spacing=0.12,
        subplot_titles=[scatter.title for scatter in inside.scatters],
    )  # fmt: skip
    for place, scatter in enumerate(inside.scatters):
        for digit in range(10):
            of_digit = inside.labels == digit
            if not of_digit.any():
                continue
            wrong = inside.answers[of_digit] != digit
            figure.add_scatter(
                x=scatter.points[of_digit, 0], y=scatter.points[of_digit, 1], mode="markers", name=str(digit),
                legendgroup=str(digit), showlegend=place == 0, row=place // 2 + 1, col=place % 2 + 1,
                customdata=np.stack([inside.images[of_digit], inside.answers[of_digit]], axis=1),
                marker={
                    "color": DIGIT_COLOURS[digit], "size": np.where(wrong, 10, 5).tolist(),
                    "symbol": np.where(wrong, "x", "circle").tolist(),
                },
                hovertemplate=f"a {digit}, read as %{{customdata[1]}}<br>image %{{customdata[0]}}<extra></extra>",
            )  # fmt: skip
    laid_out(figure, "", "", height=880)
    figure.update_layout(legend={"y": 1.05})
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    return figure


def disagreement_chart(ensemble: EnsembleRecord) -> go.Figure:
    """The share of validation images that one of two members alone gets right, for each two."""
    trials = [member.trial for member in ensemble.members]
    names = [member.name for member in ensemble.members]
    shares = np.full((len(trials), len(trials)), np.nan)
    for pair in ensemble.pairs:
        first, second = (trials.index(trial) for trial in pair.trials)
        shares[first, second] = shares[second, first] = 100 * pair.disagreement
    figure = go.Figure()
    texts = [["" if np.isnan(value) else f"{value:.2f}" for value in row] for row in shares]
    figure.add_heatmap(
        z=shares, x=names, y=names, text=texts, texttemplate="%{text}" if len(trials) <= 12 else None,
        colorscale="Cividis", reversescale=True, colorbar={"title": "%", "thickness": 12}, hoverongaps=False,
        hovertemplate="%{y} and %{x}: %{z:.2f} % of images<extra></extra>",
    )  # fmt: skip
    laid_out(figure, "", "", height=min(180 + 36 * len(trials), 760))
    figure.update_xaxes(type="category", automargin=True)
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    return figure
