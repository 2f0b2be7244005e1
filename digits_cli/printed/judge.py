"""What `digits judge` prints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digits_cli.printed.leaderboard import answers_text, to_leader_text
from digits_core.judging.leaderboard import Leaderboard
from digits_core.judging.leaderboard_document import (
    answers_document,
    leader_selected_document,
    selected_document,
    to_leader_document,
)
from digits_core.metrics import confusion_matrix, wrong_margin
from digits_core.outside.images import SEALED
from digits_core.outside.judged import Judged, JudgedRow
from digits_core.runs.command_line import digits_command, open_command, runs_option
from digits_core.runs.run import Run
from reports.rows.document import finite
from sweeps.words import counted

MOST_MISTAKES = 100  # of each model, in the JSON


@dataclass(frozen=True, kw_only=True)
class JudgeOutcome:
    """What was judged, against which run, and the page."""

    files: Sequence[Path]
    judged: Judged
    run: Run | None
    board: Leaderboard | None  # of the run
    page: Path | None
    words: Sequence[str] = ()  # further options of the command, for the next one

    @property
    def openings(self) -> int | None:
        """How often the run's test set has been opened; None without a run."""
        return len(self.run.ledger) if self.run else None

    @property
    def run_selected(self) -> dict[str, Any] | None:
        """What the run's leader is worth, corrected for having been picked on these images."""
        if self.board is None or self.judged.images.part != "validation":
            return None
        return leader_selected_document(self.board)


def judge_document(outcome: JudgeOutcome) -> dict[str, Any]:
    """Differences are from the leader, and positive if the model is worse. NLL is null without probabilities."""
    judged = outcome.judged
    selected = judged.selected and {
        **selected_document(judged.selected, judged.picked_from),
        "name": judged.selected_name,
    }
    document: dict[str, Any] = finite(
        {
            "files": [str(path) for path in outcome.files],
            "against": outcome.run and outcome.run.name,
            "dataset": judged.images.dataset,
            "part": judged.images.part,
            "n": len(judged.images.labels),
            "ranked_by": judged.ranked_by,
            "test_openings": outcome.openings,
            "detectable_difference": judged.detectable,
            "selection_corrected": selected,
            "run_selection_corrected": outcome.run_selected,
            "rows": [_row_document(row, judged) for row in judged.rows],
            "page": outcome.page and str(outcome.page),
        }
    )
    return document


def _row_document(row: JudgedRow, judged: Judged) -> dict[str, Any]:
    entry, labels = row.entry, judged.images.labels
    wrong = np.flatnonzero(entry.predicted != labels)
    if entry.probabilities is not None:
        margins = wrong_margin(labels[wrong], entry.probabilities[wrong])
        wrong = wrong[np.argsort(-margins, kind="stable")]
    indices = judged.images.indices
    return {
        "name": entry.name,
        "origin": entry.origin,
        "detail": entry.detail,
        "seeds": list(entry.seeds),
        "rank": row.rank,
        "rank_interval": list(row.ranks),
        "verdict": row.to_leader.verdict if row.to_leader else "leads",
        "to_leader": row.to_leader and to_leader_document(row.to_leader),
        "answers": answers_document(entry.answers),
        "confusion": confusion_matrix(labels, entry.predicted).tolist(),
        "mistakes": [
            {
                "index": int(place if indices is None else indices[place]),
                "label": int(labels[place]),
                "predicted": int(entry.predicted[place]),
            }
            for place in wrong[:MOST_MISTAKES]
        ],
    }


def judge_lines(outcome: JudgeOutcome, document: dict[str, Any]) -> list[tuple[str, str]]:
    """document: from `judge_document`."""
    judged = outcome.judged
    lines: list[tuple[str, str]] = [("images", f"{document['n']:,}: {judged.images.what}")]
    for row in document["rows"]:
        lines += _row_lines(row, judged.images.part)
    chosen = document["selection_corrected"]
    if chosen:
        lines.append(("corrected", _corrected_text(chosen, chosen["name"], "handed in")))
    own = document["run_selection_corrected"]
    if own and outcome.run:
        lines.append(("corrected", _corrected_text(own, f"{outcome.run.name}/{own['trial']}", "trials of the sweep")))
    if document["detectable_difference"] is not None:
        points = f"{100 * document['detectable_difference']:.2f} points"
        lines.append(
            ("too small", f"a true difference below {points} between the first two would usually go undetected")
        )
    if judged.images.part == SEALED:
        times = counted(outcome.openings or 0, "time")
        lines.append(("sealed test", f"opened {times} for this run; choose nothing by it"))
    by = "NLL" if judged.ranked_by == "nll" else "error rate, because a model came without probabilities"
    lines.append(("how to read", f"ranked by {by}; p is corrected for the number of rows (Holm)"))
    if outcome.page:
        return [*lines, ("page", str(outcome.page)), ("next", open_command(outcome.page))]
    run = outcome.run
    options = runs_option(run.folder) if run else []
    if run and judged.images.part == SEALED:  # the same again would open it once more
        return [*lines, ("next", digits_command("leaderboard", run.name, *options))]
    words = [*map(str, outcome.files), *(("--against", run.name) if run else ()), *outcome.words, *options]
    return [*lines, ("next", digits_command("judge", *words, "--output", "judged.html"))]


def _row_lines(row: dict[str, Any], part: str) -> list[tuple[str, str]]:
    low, high = row["rank_interval"]
    seeds = (
        f", {counted(len(row['answers']['error_counts']), 'seed')}" if len(row["answers"]["error_counts"]) > 1 else ""
    )
    detail = f": {row['detail']}" if row["detail"] else ""
    lines = [(f"{row['rank']}. {row['name']}", f"{row['origin']}{detail}{seeds}; rank {low} to {high}")]
    lines.append((f"   {part}", answers_text(row["answers"])))
    if row["to_leader"] is not None:
        lines.append(("   vs leader", to_leader_text(row["to_leader"])))
    return lines


def _corrected_text(selected: dict[str, Any], name: str, among: str) -> str:
    low, high = selected["accuracy_interval"]
    worth = f"{selected['accuracy']:.2%} [{100 * low:.2f}, {100 * high:.2f}]"
    return f"{worth} for {name}, the best of {selected['picked_from']} {among}; uncorrected {selected['shown']:.2%}"
