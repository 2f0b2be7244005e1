"""The page of several runs side by side, and what `digits report A B` prints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from digits_core.judging.stats import p_value_text
from digits_core.runs.command_line import open_command
from digits_core.runs.store import SweepStore
from reports.charts.plotly_library import PlotlyMode
from reports.charts.style import SERIES_COLOURS, laid_out, log_axis, plain
from reports.pages.report import checked_output, figures_text, page_assets, page_environment, write_page
from reports.rows.versus import SHOWN, RunColumn, VersusData, collect_versus

SCRIPTS = ("helpers", "charts", "versus")
LONGEST_NAME = 120


def default_output(runs: Path, names: Sequence[str]) -> Path:
    """Where the page goes if nothing is said."""
    return runs / f"{'-vs-'.join(names)[:LONGEST_NAME]}.html"


def write_versus(stores: Sequence[SweepStore], output: Path, plotly: PlotlyMode = "inline") -> tuple[VersusData, Path]:
    """Write the page and return what is on it and its absolute path."""
    path = checked_output(output)
    data = collect_versus(stores)
    write_page(path, {path.name: render_versus(data, plotly).encode()}, plotly)
    return data, path


def render_versus(data: VersusData, plotly: PlotlyMode = "inline") -> str:
    """The whole page as text."""
    figures = figures_text({"incumbents": incumbents_chart(data.columns)})
    template = page_environment().get_template("versus.html.j2")
    return template.render(data=data, shown=SHOWN, figures_text=figures, **page_assets(plotly, SCRIPTS))


def incumbents_chart(columns: Sequence[RunColumn]) -> go.Figure:
    """The best validation NLL so far of each run, against seconds of search and against epochs trained."""
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
    figure.update_xaxes(title="seconds of search", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title="epochs of all trials together", rangemode="tozero", row=1, col=2)
    log_axis(figure, [point.incumbent_nll for column in columns for point in column.history])
    figure.update_yaxes(title="best validation NLL so far (log scale)", row=1, col=1)
    return figure


def versus_document(data: VersusData, path: Path) -> dict[str, Any]:
    """What `report A B --json` prints. Differences are second minus first: positive where the second is worse."""
    return {
        "sweeps": [column.header.name for column in data.columns],
        "report": str(path),
        "bytes": path.stat().st_size,
        "winners": [
            {
                "sweep": column.header.name,
                "trial": column.winner.trial,
                "seeds": len(column.winner.runs),
                "validation_nll": column.winner.validation.mean_nll,
                "validation_accuracy": column.winner.validation.accuracy.mean,
                "test_accuracy": column.winner.test.accuracy.mean if column.winner.test else None,
                "seconds": column.summary and column.summary.seconds,
                "epochs": column.epochs,
            }
            for column in data.columns
        ],
        "tests": [
            {
                "first": test.first,
                "second": test.second,
                "part": test.part,
                "n": test.duel and test.duel.n,
                "error_rate": test.duel and test.duel.error_rate,
                "error_rate_interval": test.duel and [test.duel.interval.low, test.duel.interval.high],
                "p_value": test.duel and test.duel.p_value,
                "corrected_p_value": test.corrected_p_value,
                "verdict": test.verdict,
            }
            for test in data.tests
        ],
    }


def versus_lines(data: VersusData, path: Path) -> list[tuple[str, str]]:
    """What `report A B` prints for people."""
    lines = []
    for column in data.columns:
        answers = column.winner.validation
        text = f"trial {column.winner.trial}: {answers.accuracy.mean:.2%} of {answers.n:,}, NLL {answers.mean_nll:.4f}"
        lines.append((column.header.name, text))
    for test in data.tests:
        detail = ""
        if test.duel is not None and test.corrected_p_value is not None:
            low, high = (f"{-100 * end:+.2f}" for end in (test.duel.interval.high, test.duel.interval.low))
            points = f"{0.0 - 100 * test.duel.error_rate:+.2f} points [{low}, {high}]"
            detail = f"{points}, p {p_value_text(test.corrected_p_value)}: "
        lines.append((f"{test.second} to {test.first}", f"{test.part}: {detail}{test.verdict}"))
    return [*lines, ("report", str(path)), ("next", open_command(path))]
