"""Rows and figures -> one self-contained HTML file: no network, every string escaped, scripts named by hash."""

import base64
import contextlib
import hashlib
import io
import json
import math
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image
from plotly.offline import get_plotlyjs

from digits_core.comparison import PartResult
from digits_core.contestants import Answers
from digits_core.durable import write_atomically
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.objectives import OBJECTIVES
from digits_core.resampling import Selected
from digits_core.stats import p_value_text
from digits_core.store import SweepStore
from reports.charts import learning_curves, objectives_chart, optimisation_history
from reports.frames import leaderboard_frame
from reports.tables import ReportData, Result, collect, standings


def write_report(store: SweepStore, output: Path | None = None) -> Path:
    """Write the sweep's page (default: report.html in its folder) and return its absolute path.

    Where the page goes to its default place, the leaderboard goes beside it as leaderboard.csv.
    """
    path = checked_output(output) if output else (store.folder / "report.html").absolute()
    data = collect(store)
    content = render(data).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        if output is None:
            table = leaderboard_frame(data.leaderboard, data.board).to_csv(index=False)
            write_atomically(path.with_name("leaderboard.csv"), table.encode())
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot write {path}: {error.strerror}; `digits report --output FILE` writes it elsewhere"
        ) from error
    return path


@contextlib.contextmanager
def report_after_result(store: SweepStore) -> Iterator[Path | None]:
    """Write the page. If that fails, the result inside is printed all the same, and then the failure is raised."""
    failure: EnvironmentFailure | None = None
    report: Path | None = None
    if store.ranked():
        try:
            report = write_report(store)
        except EnvironmentFailure as error:
            failure = error
    yield report
    if failure is not None:
        raise failure


def checked_output(output: Path) -> Path:
    """Where the page really goes: a link is followed, and nothing but a page is ever written over."""
    try:
        path = output.resolve()
    except (OSError, RuntimeError) as error:  # links that lead to themselves
        raise UsageError(f"--output {str(output)!r} leads nowhere: {error}") from error
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--output must name an .html file, got {str(output)!r}")
    if path.exists() and not path.is_file():
        raise UsageError(f"--output {str(output)!r} is not a file")
    return path


def page_environment() -> jinja2.Environment:
    """Templates with everything escaped, and the filters that they use."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent, interval=interval, png=png_uri, day=day, cell_strength=cell_strength, p_value=p_value_text
    )
    return environment


def page_style() -> Markup:
    """The style of all pages."""
    return Markup(_asset("style.css"))  # noqa: S704 - our own file


def render(data: ReportData) -> str:
    """The whole page as text."""
    plotly, script = get_plotlyjs(), _asset("script.js")
    figures = {
        "history": _figure_json(optimisation_history(data.history)),
        "curves": _figure_json(learning_curves([row.record for row in data.leaderboard])),
    }
    if data.front:
        records = [row.record for row in data.leaderboard]
        figures["objectives"] = _figure_json(objectives_chart(records, data.front))
    return (
        page_environment()
        .get_template("page.html.j2")
        .render(
            data=data,
            winner=data.leaderboard[0],
            standings=standings(data.board) if data.board else (),
            objectives=OBJECTIVES,
            figures=figures,
            style=page_style(),
            plotly=Markup(plotly),  # noqa: S704 - the library's own bundle
            script=Markup(script),  # noqa: S704 - our own file
            script_hashes=" ".join(f"'{source_hash(source)}'" for source in (plotly, script)),
        )
    )


def source_hash(source: str) -> str:
    """The name under which a Content-Security-Policy lets exactly this inline script run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _asset(name: str) -> str:
    return resources.files("reports").joinpath("templates", name).read_text(encoding="utf-8")


def _figure_json(figure: Any) -> Any:
    return json.loads(figure.to_json())


def percent(share: float) -> str:
    """`99.72 %` with a narrow space."""
    return f"{100 * share:.2f}\u202f%"


def interval(result: Result | PartResult | Answers | Selected) -> str:
    """`98.44 - 99.95`, in percent, kept on one line."""
    return f"{100 * result.interval.low:.2f}\u202f\u2013\u202f{100 * result.interval.high:.2f}"


def png_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """An image (H, W) as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def day(seconds: float) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def cell_strength(count: int, row_total: int) -> float:
    """0..1 on a logarithmic scale, so that single errors stay visible beside a full diagonal."""
    if count <= 0 or row_total <= 0:
        return 0.0
    return 0.15 + 0.85 * math.log1p(count) / math.log1p(max(row_total, count))
