"""Rows about models -> Plotly figures: learning curves, calibration, embeddings, disagreement of members."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from digits_core.judging.stats import decimals
from digits_core.records import RunRecord
from digits_core.runs.ensemble_records import EnsembleRecord
from reports.charts.style import DIGIT_COLOURS, GREEN, SEQUENTIAL, SERIES_COLOURS, laid_out, log_axis, plain
from reports.rows.inside import InsideModel, Scatter
from reports.rows.views import View

CURVE_COUNT = 5
MOST_EPOCH_TICKS = 12
FEW_ANSWERS = 10  # a calibration bin with fewer says little and is drawn faintly
MOST_NUMBERED_MEMBERS = 16


@dataclass(frozen=True, kw_only=True)
class ShownRun:
    """A run whose curves are drawn. trial: its number on the page, also where the run is one on a fresh seed."""

    trial: int
    title: str
    record: RunRecord


def learning_curves(runs: Sequence[ShownRun]) -> go.Figure:
    """Training and validation loss by epoch of the first few runs; a star marks the epoch that counts."""
    figure = go.Figure()
    for run, colour in zip(runs[:CURVE_COUNT], SERIES_COLOURS, strict=False):
        curve = run.record.curve
        _add_curve(
            figure, run, colour,
            validation=[row.validation_nll for row in curve], train=[row.train_loss for row in curve],
        )  # fmt: skip
    laid_out(figure, "epoch", "loss, nats (log scale)")
    shown = [row for run in runs[:CURVE_COUNT] for row in run.record.curve]
    _epoch_ticks(figure, runs)
    losses = [loss for row in shown for loss in (row.train_loss, row.validation_nll)]
    log_axis(figure, losses)
    return figure


def accuracy_curves(runs: Sequence[ShownRun]) -> go.Figure:
    """Training and validation error rate by epoch, drawn like the losses; both fit on one log scale."""
    figure = go.Figure()
    for run, colour in zip(runs[:CURVE_COUNT], SERIES_COLOURS, strict=False):
        curve = run.record.curve
        _add_curve(
            figure, run, colour,
            validation=[100 * row.validation_error_count / max(row.validation_n, 1) for row in curve],
            train=[100 * row.train_error_count / max(row.train_n, 1) for row in curve],
        )  # fmt: skip
    laid_out(figure, "epoch", "error rate, % (log scale)")
    _epoch_ticks(figure, runs)
    shown = [row for run in runs[:CURVE_COUNT] for row in run.record.curve]
    counts = [(row.train_error_count, row.train_n) for row in shown]
    counts += [(row.validation_error_count, row.validation_n) for row in shown]
    log_axis(figure, [100 * wrong / max(n, 1) for wrong, n in counts])
    return figure


def _add_curve(figure: go.Figure, run: ShownRun, colour: str, *, validation: list[float], train: list[float]) -> None:
    record, name = run.record, plain(run.title)
    epochs = np.array([row.epoch for row in record.curve])
    group, trials = name, np.full(len(epochs), run.trial)
    figure.add_scatter(
        x=epochs, y=np.array(validation), customdata=trials, mode="lines", name=name, legendgroup=group,
        line={"color": colour, "width": 2},
        hovertemplate=f"{name}, validation<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=epochs, y=np.array(train), customdata=trials, showlegend=False, legendgroup=group,
        mode="lines" if len(epochs) > 1 else "markers", marker={"symbol": "circle-open"},
        line={"color": colour, "width": 1, "dash": "dot"},
        hovertemplate=f"{name}, training (augmented)<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    )  # fmt: skip
    chosen = epochs == record.best_epoch
    figure.add_scatter(
        x=epochs[chosen], y=np.array(validation)[chosen], customdata=trials[chosen], mode="markers", showlegend=False,
        legendgroup=group,
        marker={"color": colour, "size": 11, "symbol": "star"},
        hovertemplate=f"{name}, chosen epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    )  # fmt: skip


def _epoch_ticks(figure: go.Figure, runs: Sequence[ShownRun]) -> None:
    longest = max((row.epoch for run in runs[:CURVE_COUNT] for row in run.record.curve), default=0)
    if longest <= MOST_EPOCH_TICKS:
        figure.update_xaxes(dtick=1)


def calibration_chart(views: Sequence[View]) -> go.Figure:
    """Share of correct predictions by confidence, with 95 % intervals, beside perfect calibration."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="perfect calibration", line={"color": GREEN, "dash": "dash", "width": 1},
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
            mode="markers",
            name=plain(view.title),
            marker={
                "color": colour,
                "size": 9,
                "opacity": [1.0 if one.n >= FEW_ANSWERS else 0.35 for one in view.bins],
            },
            hovertemplate="confidence %{x:.3f}<br>correct %{y:.3f}<br>%{customdata} images<extra></extra>",
        )
    laid_out(figure, "confidence", "share of correct predictions", height=420)
    figure.update_xaxes(range=[0, 1.02])
    figure.update_yaxes(range=[0, 1.05])
    return figure


def embedding_chart(inside: InsideModel) -> go.Figure:
    """The same images before and after the network: a point per image, coloured by label; crosses are misclassified."""
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
        figure.add_scatter(
            **_digit_marks(inside, scatter), mode="text", showlegend=False, hoverinfo="skip",
            textfont={"size": 18, "weight": 700}, row=place // 2 + 1, col=place % 2 + 1,
        )  # fmt: skip
    laid_out(figure, "", "", height=880)
    figure.update_layout(legend={"y": 1.05, "itemsizing": "constant"})
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    return figure


def _digit_marks(inside: InsideModel, scatter: Scatter) -> dict[str, list[float] | list[str]]:
    """Each digit as text, at the median of its points."""
    present = [digit for digit in range(10) if (inside.labels == digit).any()]
    middles = np.stack([np.median(scatter.points[inside.labels == digit], axis=0) for digit in present])
    return {"x": middles[:, 0].tolist(), "y": middles[:, 1].tolist(), "text": [str(digit) for digit in present]}


def disagreement_chart(ensemble: EnsembleRecord) -> go.Figure:
    """For each pair of members, the share of validation images that exactly one of them gets right."""
    trials = [member.trial for member in ensemble.members]
    names = [plain(member.name) for member in ensemble.members]
    shares = np.full((len(trials), len(trials)), np.nan)
    for pair in ensemble.pairs:
        first, second = (trials.index(trial) for trial in pair.trials)
        shares[first, second] = shares[second, first] = 100 * pair.disagreement
    figure = go.Figure()
    places = decimals(ensemble.members[0].validation.n) if ensemble.members else 2
    texts = [["" if np.isnan(value) else f"{value:.{places}f}" for value in row] for row in shares]
    figure.add_heatmap(
        z=shares, x=names, y=names, text=texts,
        texttemplate="%{text}" if len(trials) <= MOST_NUMBERED_MEMBERS else None,
        colorscale=SEQUENTIAL, colorbar={"title": "%", "thickness": 12}, hoverongaps=False,
        hovertemplate="%{y} and %{x}: %{z:.2f} % of images<extra></extra>",
    )  # fmt: skip
    laid_out(figure, "", "", height=min(180 + 24 * len(trials), 640))
    figure.update_xaxes(type="category", automargin=True)
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    return figure
