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
from digits_core.judging.answers import Answers
from digits_core.judging.objectives import OBJECTIVES
from digits_core.judging.resampling import Selected
from digits_core.judging.stats import p_value_text, points_text
from digits_core.runs.durable import as_utf8, write_atomically
from digits_core.runs.run import Run
from reports.charts.page import all_figures, sliced
from reports.charts.plotly_library import LIBRARY_FILE, PlotlyMode, library_source, plotly_library, source_hash
from reports.rows.document import report_document
from reports.rows.frames import leaderboard_csv
from reports.rows.pictures import png_uri
from reports.rows.tables import ReportData, collect
from reports.rows.verdict import sweep_headline
from reports.rows.views import CalibrationBin, Result

SCRIPTS = ("helpers", "data", "tables", "leaderboard", "matrices", "gallery", "charts", "main")


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
        percent=percent,
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
    document = htmlsafe_json_dumps(report_document(data), separators=(",", ":"))
    # Last, because they have to wait for what is computed beside the rest.
    figures = {name: figure for name, figure in all_figures(data).items() if figure is not None}
    return template.render(
        data=data,
        objectives=OBJECTIVES,
        figures=set(figures),
        figures_text=figures_text(figures),
        headline=_headline(data),
        slice_names=[dimension.name for dimension in sliced(data)],
        shown_name=data.answered.name_of(data.inside.shown_index) if data.inside else "",
        document=document,
        refresh_seconds=refresh_seconds,
        **assets,
    )


def _headline(data: ReportData) -> str:
    if not data.searched:
        return ""
    began_with = 0 if data.header.plan is not None else None  # trial 0 of every search is the default recipe
    return sweep_headline(data.board, data.answered, data.ensemble, data.ensemble_p_value, began_with)


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


def percent(share: float) -> str:
    """`99.72 %`, with a narrow no-break space."""
    return f"{100 * share:.2f}\u202f%"


def interval(result: Result | Answers | Selected | CalibrationBin) -> str:
    """`98.44 - 99.95`, in percent, with spaces that do not break."""
    return f"{100 * result.interval.low:.2f}\u202f\u2013\u202f{100 * result.interval.high:.2f}"


def day(seconds: float) -> str:
    """`2026-01-31 18:05`, local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def cell_strength(count: int, row_total: int) -> float:
    """0..1, logarithmic in the count, so that single errors stay visible beside a full diagonal."""
    if count <= 0 or row_total <= 0:
        return 0.0
    return 0.15 + 0.85 * math.log1p(count) / math.log1p(max(row_total, count))
