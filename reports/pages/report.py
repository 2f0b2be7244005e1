"""Rows and figures -> one self-contained HTML file: no network, every string escaped, scripts allowed by hash."""

import contextlib
import functools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.judging.objectives import OBJECTIVES
from digits_core.judging.stats import Interval, decimals, p_value_text, percent_text, points_text
from digits_core.runs.durable import as_utf8, write_atomically
from digits_core.runs.run import Run
from reports.charts.page import all_figures, sliced
from reports.charts.plotly_library import LIBRARY_FILE, PlotlyMode, library_source, plotly_library, source_hash
from reports.rows.document import fields_document, report_document
from reports.rows.frames import leaderboard_csv
from reports.rows.glance import glance_at
from reports.rows.pictures import png_uri
from reports.rows.tables import ReportData, collect

SCRIPTS = (
    "helpers", "data", "address", "tables", "leaderboard", "matrices", "gallery", "charts", "sections", "selection",
    "parallel", "panel", "main",
)  # fmt: skip


def write_report(
    run: Run,
    output: Path | None = None,
    plotly: PlotlyMode = "inline",
    refresh_seconds: int | None = None,
) -> Path:
    """Write the run's page (default: report.html in its folder); return its absolute path.

    In the default place, the leaderboard is written beside it as leaderboard.csv.
    """
    path = checked_output(output) if output else (run.folder / "report.html").absolute()
    data = collect(run)
    files = {path.name: as_utf8(render(data, plotly, refresh_seconds))}
    if output is None:
        files["leaderboard.csv"] = as_utf8(leaderboard_csv(data.leaderboard))
    write_page(path, files, plotly)
    return path


def write_page(path: Path, files: Mapping[str, bytes], plotly: PlotlyMode) -> None:
    """Write a page and the files that go with it into its folder."""
    if plotly == "directory":
        _check_library(path.with_name(LIBRARY_FILE))
        files = {LIBRARY_FILE: library_source().encode(), **files}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(path.with_name(name), content)
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot write {path}: {error.strerror}; write it elsewhere with `digits report --output FILE`"
        ) from error


def _check_library(path: Path) -> None:
    """Raise UsageError if the library would overwrite a file that is not Plotly."""
    if path.exists() and (not path.is_file() or b"plotly.js v" not in path.read_bytes()[:300]):
        raise UsageError(f"{path} already exists and is not Plotly; choose another folder with --output")


@contextlib.contextmanager
def report_after_result(run: Run) -> Iterator[Path | None]:
    """Write the page. If that fails, the body still runs, so that the result is printed; then the failure is raised."""
    failure: EnvironmentFailure | None = None
    report: Path | None = None
    if run.ranked:
        try:
            report = write_report(run)
        except EnvironmentFailure as error:
            failure = error
    yield report
    if failure is not None:
        raise failure


def checked_output(output: Path) -> Path:
    """Resolve links in the output path. Raises UsageError unless it is an .html or .htm file, existing or new."""
    try:
        path = output.resolve()
    except (OSError, RuntimeError) as error:  # links that lead to themselves
        raise UsageError(f"--output {str(output)!r} cannot be resolved: {error}") from error
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--output must name an .html file, got {str(output)!r}")
    if path.exists() and not path.is_file():
        raise UsageError(f"--output {str(output)!r} is not a file")
    return path


@functools.cache  # compiling the templates takes a quarter of a second
def page_environment() -> jinja2.Environment:
    """The templates, with autoescaping, errors for undefined names, and the filters that they use."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent_text,
        chance=chance,
        points=points_text,
        interval=interval,
        png=png_uri,
        day=day,
        cell_strength=cell_strength,
        p_value=p_value_text,
    )
    return environment


def page_style() -> Markup:
    return Markup(asset("style.css"))  # noqa: S704 - our own file


def render(data: ReportData, plotly: PlotlyMode = "inline", refresh_seconds: int | None = None) -> str:
    """The whole page as text. With `refresh_seconds` the browser reloads it at that interval."""
    assets, template = page_assets(plotly, SCRIPTS), page_environment().get_template("page.html.j2")
    document = embedded(report_document(data))
    # Last, because they have to wait for what is computed beside the rest.
    figures = {name: figure for name, figure in all_figures(data).items() if figure is not None}
    fields = fields_document(data, sliced(data)) if data.searched else []
    return template.render(
        data=data,
        objectives=OBJECTIVES,
        figures=set(figures),
        figures_text=figures_text(figures),
        glance=glance_at(data),
        fields=embedded(fields) if fields else "",
        slice_names=[dimension.name for dimension in sliced(data)],
        shown_name=data.answered.name_of(data.inside.shown_index) if data.inside else "",
        document=document,
        refresh_seconds=refresh_seconds,
        **assets,
    )


def embedded(value: Any) -> Markup:
    """JSON that is safe inside a script element."""
    return htmlsafe_json_dumps(value, separators=(",", ":"))


def page_assets(plotly: PlotlyMode, scripts: Sequence[str]) -> dict[str, Any]:
    """What every page with charts needs: style, library, scripts in one function scope, and the policy for both."""
    parts = "\n".join(asset(f"scripts/{name}.js") for name in scripts)
    script, library = f'"use strict";\n(() => {{\n{parts}\n}})();', plotly_library(plotly)
    return {
        "style": page_style(),
        "plotly": library,
        "script": Markup(script),  # noqa: S704 - our own files
        "script_sources": " ".join([*library.script_sources, f"'{source_hash(script)}'"]),
    }


def asset(name: str) -> str:
    """A file of the templates folder, as text."""
    return resources.files("reports").joinpath("templates", *name.split("/")).read_text(encoding="utf-8")


def figures_text(figures: Mapping[str, Any]) -> Markup:
    """Charts by name, as one JSON document that is safe to embed in a page."""
    text = ",".join(f"{json.dumps(name)}:{figure.to_json()}" for name, figure in figures.items())
    for letter in "<>&'":  # as htmlsafe_json_dumps does
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(f"{{{text}}}")  # noqa: S704 - every < is escaped


def interval(found: Interval, n: int) -> str:
    """`98.44 - 99.95`, in percent to the decimals that n images carry, with spaces that do not break."""
    places = decimals(n)
    return f"{100 * found.low:.{places}f}\u202f\u2013\u202f{100 * found.high:.{places}f}"


def chance(probability: float) -> str:
    """A probability to two decimals; a network's confidence in one image carries no more."""
    return "<0.01" if probability < 0.005 else ">0.99" if 0.995 <= probability < 1 else f"{probability:.2f}"


def day(seconds: float) -> str:
    """`2026-01-31 18:05`, local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def cell_strength(count: int, row_total: int) -> float:
    """0..1, logarithmic in the count, so that single errors stay visible beside a full diagonal."""
    if count <= 0 or row_total <= 0:
        return 0.0
    return 0.15 + 0.85 * math.log1p(count) / math.log1p(max(row_total, count))
