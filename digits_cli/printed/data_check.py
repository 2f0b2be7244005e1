"""What `digits datasets check` prints."""

import dataclasses
from typing import Any

from digits_core.data.checks import DataCheck
from digits_core.runs.command_line import digits_command

MOST_FILES = 20  # that are named


def check_document(check: DataCheck) -> dict[str, Any]:
    """What `datasets check --json` prints."""
    return {**dataclasses.asdict(check), "usable": not check.problems}


def check_lines(check: DataCheck) -> list[tuple[str, str]]:
    """The same for people."""
    lines = [
        ("data set", check.name),
        ("images", f"{check.image_count:,} of {check.side}x{check.side} pixels, SHA-256 {check.checksum[:12]}"),
        ("by digit", "  ".join(f"{digit}: {count:,}" for digit, count in enumerate(check.counts))),
    ]
    if check.twice:
        lines.append(("held twice", f"{check.twice:,} images are copies of others"))
    lines += [("shared", f"{count:,} images are in {name} as well") for name, count in check.shared.items()]
    lines += [("refused", f"{one.path}: {one.why}") for one in check.refused[:MOST_FILES]]
    if len(check.refused) > MOST_FILES:
        lines.append(("", f"and {len(check.refused) - MOST_FILES} more"))
    lines += [("remark", remark) for remark in check.remarks]
    lines += [("problem", problem) for problem in check.problems]
    if not check.problems:
        lines.append(("next", digits_command("sweep", "--dataset", check.name)))
    return lines
