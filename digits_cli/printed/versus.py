"""What `digits report` prints for several runs."""

from pathlib import Path
from typing import Any

from digits_core.judging.stats import p_value_text, points_text
from digits_core.runs.command_line import open_command
from reports.rows.versus import VersusData


def versus_document(data: VersusData, path: Path) -> dict[str, Any]:
    """Differences are second minus first: positive if the second is worse."""
    return {
        "sweeps": [column.header.name for column in data.columns],
        "report": str(path),
        "bytes": path.stat().st_size,
        "winners": [
            {
                "sweep": column.header.name,
                "trial": column.leader.trial,
                "seeds": len(column.leader.runs),
                "validation_nll": column.leader.validation.mean_nll,
                "validation_accuracy": column.leader.validation.accuracy.mean,
                "test_accuracy": column.leader.test.accuracy.mean if column.leader.test else None,
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
    lines = []
    for column in data.columns:
        answers = column.leader.validation
        text = f"trial {column.leader.trial}: {answers.accuracy.mean:.2%} of {answers.n:,}, NLL {answers.mean_nll:.4f}"
        lines.append((column.header.name, text))
    for test in data.tests:
        detail = ""
        if test.duel is not None and test.corrected_p_value is not None:
            low, high = map(points_text, (test.duel.interval.high, test.duel.interval.low))
            points = f"{points_text(test.duel.error_rate)} points [{low}, {high}]"
            detail = f"{points}, p {p_value_text(test.corrected_p_value)}: "
        lines.append((f"{test.second} vs {test.first}", f"{test.part}: {detail}{test.verdict}"))
    return [*lines, ("report", str(path)), ("next", open_command(path))]
