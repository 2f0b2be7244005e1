"""What `digits transfer` prints."""

import dataclasses
from typing import Any

from digits_core.runs.transfer_records import Transfer, TransferCell


def transfer_document(transfer: Transfer, page: str) -> dict[str, Any]:
    """What `transfer --json` prints."""
    rows = [
        {
            **dataclasses.asdict(row),
            "cells": [
                {"dataset": column.name, "accuracy": cell.accuracy, **dataclasses.asdict(cell)}
                for column, cell in zip(transfer.columns, row.cells, strict=True)
            ],
        }
        for row in transfer.rows
    ]
    return {"columns": [dataclasses.asdict(column) for column in transfer.columns], "rows": rows, "page": page}


def transfer_lines(transfer: Transfer) -> list[tuple[str, str]]:
    """The same for people, a line for each model and data set."""
    lines = []
    for row in transfer.rows:
        lines.append((row.model, f"trained on {row.trained_on}, {row.side}x{row.side}"))
        lines += [
            (f"  {column.name}", cell_text(cell)) for column, cell in zip(transfer.columns, row.cells, strict=True)
        ]
    return lines


def cell_text(cell: TransferCell) -> str:
    """Accuracy with its interval, and what makes it worth less."""
    seen = f"; {cell.seen_count:,} of these images it was trained or chosen on" if cell.seen_count else ""
    own = "; its own" if cell.is_own else ""
    return f"{cell.accuracy:.2%} [{cell.low:.2%}, {cell.high:.2%}], {cell.error_count:,} of {cell.n:,} wrong{own}{seen}"
