"""The page of several runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from digits_core.runs.durable import as_utf8
from digits_core.runs.run import Run
from reports.charts.plotly_library import PlotlyMode
from reports.charts.search import incumbents_chart
from reports.pages.report import checked_output, figures_text, page_assets, page_environment, write_page
from reports.rows.glance import Spans, span_of
from reports.rows.versus import SHOWN, VersusData, collect_versus

SCRIPTS = ("helpers", "charts", "sections", "versus")
LONGEST_NAME = 120


def default_output(runs: Path, names: Sequence[str]) -> Path:
    """The page's path if no --output is given."""
    return runs / f"{'-vs-'.join(names)[:LONGEST_NAME]}.html"


def write_versus(stores: Sequence[Run], output: Path, plotly: PlotlyMode = "inline") -> tuple[VersusData, Path]:
    """Write the page; return its data and its absolute path."""
    path = checked_output(output)
    data = collect_versus(stores)
    write_page(path, {path.name: as_utf8(render_versus(data, plotly))}, plotly)
    return data, path


def render_versus(data: VersusData, plotly: PlotlyMode = "inline") -> str:
    """The whole page as text."""
    figures = figures_text({"incumbents": incumbents_chart(data.columns)})
    template = page_environment().get_template("versus.html.j2")
    accuracies = Spans.of(
        [
            span_of(one.leader, f"{one.header.name}, trial {one.leader.trial}", "#leaderboards", one.board.part)
            for one in data.columns
        ]
    )
    return template.render(
        data=data, accuracies=accuracies, shown=SHOWN, figures_text=figures, **page_assets(plotly, SCRIPTS)
    )
