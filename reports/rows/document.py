"""The data behind a page: the JSON document inside it, written and read back. docs/report-data.md describes it."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.recipe import Recipe
from digits_core.records import RunRecord
from digits_core.runs.command_line import digits_command, runs_option
from reports.rows.answers import Answered
from reports.rows.frames import leaderboard_rows
from reports.rows.pictures import Sheet
from reports.rows.search import Dimension
from reports.rows.tables import ReportData
from reports.rows.views import View

SCHEMA = "digits-report/1"
ELEMENT = "digits-data"
MOST_FIELDS = 8
FEWEST_TRIALS = 2
HEADER_FIELDS = (
    "name", "kind", "dataset", "side", "created_at", "train_n", "validation_n", "fold_count",
    "max_epochs", "seed", "concurrency", "device", "hardware", "versions", "data_checksum", "split_id", "space",
)  # fmt: skip


def report_document(data: ReportData) -> dict[str, Any]:
    """Build the document from plain JSON values; NaN and infinity become null."""
    found: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "sweep": {name: getattr(data.header, name) for name in HEADER_FIELDS}
            | {"trial_count": data.header.asked_trials},
            "summary": data.summary and dataclasses.asdict(data.summary),
            "openings": [dataclasses.asdict(opening) for opening in data.openings],
            "leaderboard": data.board_document,
            "trials": _columns(data),
            "failures": [
                {"trial": record.trial, "error": record.failure, "recipe": record.recipe.as_overrides()}
                for record in data.failures
            ],
            "curves": {str(row.record.trial): _curve(row.record) for row in data.leaderboard},
            "defaults": Recipe().as_overrides(),
            "commands": _commands(data),
            "exportable": list(data.exportable),
            "ensemble": data.ensemble and dataclasses.asdict(data.ensemble),
            "sheet": {"columns": data.sheet.columns, "rows": data.sheet.rows},
            "images": _images(data.answered, data.sheet),
            "views": _views(data.answered),
        }
    )
    return found


def fields_document(data: ReportData, fields: Sequence[Dimension]) -> list[dict[str, Any]]:
    """The searched fields, then the NLL, as plain JSON; values in leaderboard order, null if a field does not apply."""
    found = [
        {"name": field.name, "numeric": field.numeric, "log": field.log, "values": list(field.values)}
        for field in fields[:MOST_FIELDS]
    ]
    nlls = [row.record.nll for row in data.leaderboard]
    enough = found and len(nlls) >= FEWEST_TRIALS
    figure = {"name": "validation_nll", "numeric": True, "log": min(nlls) > 0, "values": nlls}
    return [finite(field) for field in (*found, figure)] if enough else []


def _commands(data: ReportData) -> dict[str, str]:
    """Commands for one trial or the first few; the last 0 in each stands for the number."""
    name, options = data.folder.name, runs_option(data.folder)
    found = {
        "replay": digits_command("replay", name, *options, "--trial", 0),
        "export": digits_command("export", *options, "--model", f"{name}/0"),
    }
    if data.searched:
        found["confirm"] = digits_command("confirm", "--sweep", name, *options, "--top", 0)
    return found


def _columns(data: ReportData) -> dict[str, list[Any]]:
    """The columns of leaderboard.csv as lists, ready for pandas.DataFrame."""
    rows = leaderboard_rows(data.leaderboard)
    return {name: [row[name] for row in rows] for name in rows[0]}


def _curve(record: RunRecord) -> dict[str, list[float | int]]:
    rows = record.curve
    return {
        "train_loss": [float(f"{row.train_loss:.5g}") for row in rows],
        "train_error_rate": [float(f"{row.train_error_count / max(row.train_n, 1):.4g}") for row in rows],
        "validation_nll": [float(f"{row.validation_nll:.5g}") for row in rows],
        "validation_error_count": [row.validation_error_count for row in rows],
        "seconds": [round(row.seconds, 2) for row in rows],
    }


def _images(answered: Answered, sheet: Sheet) -> dict[str, list[Any]]:
    """By column; views refer to an image by its position in these lists."""
    pictures = answered.pictures
    return {
        "index": [picture.index for picture in pictures],
        "name": [picture.name for picture in pictures],
        "label": [picture.label for picture in pictures],
        "missed_by": [picture.missed.by for picture in pictures],
        "models": [picture.missed.of for picture in pictures],
        "contested": [picture.contested for picture in pictures],
        "place": [sheet.places.get(picture.index) for picture in pictures],
    }


def _views(answered: Answered) -> list[dict[str, Any]]:
    places = {picture.index: place for place, picture in enumerate(answered.pictures)}
    return [_view(view, places) for view in answered.views]


def _view(view: View, places: dict[int, int]) -> dict[str, Any]:
    mistakes, figures = view.mistakes, view.result.score
    return {
        "key": view.key,
        "title": view.title,
        "part": view.part,
        "trial": view.trial,
        "n": figures.n,
        "error_count": figures.error_count,
        "accuracy": round(figures.accuracy, 6),
        "accuracy_interval": [round(end, 6) for end in (view.result.interval.low, view.result.interval.high)],
        "confusion": [[int(i), int(j), int(view.confusion[i, j])] for i, j in np.argwhere(view.confusion)],
        "mistakes": [
            [places[index], round(p_true, 4), *(part for pair in zip(digits, shares, strict=True) for part in pair)]
            for index, p_true, digits, shares in zip(
                mistakes.images.tolist(),
                mistakes.p_true.astype(float).tolist(),
                mistakes.likeliest.tolist(),
                mistakes.p_likeliest.astype(float).round(4).tolist(),
                strict=True,
            )
        ],
    }


def finite(value: Any) -> Any:
    """The value with null for numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def is_report(name: str) -> bool:
    """Whether a name on the command line is that of a page rather than a run."""
    return name.lower().endswith((".html", ".htm"))


def read_report(path: Path) -> dict[str, Any]:
    """Read the document inside a page.

    Raises UsageError unless the file is a complete `digits report` page of one run, EnvironmentFailure if it cannot be
    read.
    """
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no file {str(path)!r}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{str(path)!r} is not a `digits report` page: it is not text") from None
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {path}: {error.strerror}") from error
    start_tag = f'<script type="application/json" id="{ELEMENT}">'
    _, found, rest = page.partition(start_tag)
    if not found and "digits report" not in page[:100_000]:
        raise UsageError(f"{str(path)!r} is not a `digits report` page: it has no report data in it")
    content, closed, _ = rest.partition("</script>")
    if not found and page.rstrip().endswith("</html>"):
        raise UsageError(f"{str(path)!r} shows several runs; name the page of a single run, or the run itself")
    if not closed or not page.rstrip().endswith("</html>"):
        raise UsageError(f"{str(path)!r} is truncated; write it again with `digits report`")
    try:
        document: dict[str, Any] = json.loads(content)
        schema, rows = document["schema"], document["leaderboard"]["rows"]
        whole = bool(rows) and all(isinstance(row, dict) for row in rows)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise damaged(path) from None
    if schema != SCHEMA:
        raise UsageError(f"{str(path)!r} was made by another version of digits; write it again with `digits report`")
    if not whole:
        raise damaged(path)
    return document


def damaged(path: Path) -> UsageError:
    """Return (not raise) the error for a page with unusable data."""
    return UsageError(f"the data in {str(path)!r} is damaged; write it again with `digits report`")
