"""What `digits export` and `digits transfer` print."""

import dataclasses
from typing import Any

from digits_core.delivery.exports import CARD, Export
from digits_core.delivery.onnx_model import FILE_NAME
from digits_core.runs.command_line import digits_command
from digits_core.runs.transfer_records import Transfer, TransferCell


def export_document(result: Export) -> dict[str, Any]:
    return {
        "model": result.model,
        "format": result.config.format,
        "int8": result.config.int8,
        "folder": str(result.folder),
        "files": [{"path": str(path), "bytes": path.stat().st_size} for path in result.files],
        "parity": dataclasses.asdict(result.parity),
        "seconds": result.seconds and {"file": result.seconds[0], "torch": result.seconds[1], "images": 1_000},
        "footprint": result.footprint and dataclasses.asdict(result.footprint),
    }


def export_lines(result: Export) -> list[tuple[str, str]]:
    parity = result.parity
    lines = [("model", result.model)]
    lines += [("file", f"{path} ({path.stat().st_size / 1024:,.0f} KB)") for path in result.files]
    lines.append(
        (
            "check",
            f"{parity.disagreements} of {parity.n:,} predictions differ from torch's, probabilities by at most"
            f" {parity.largest_difference:.2g}",
        )
    )
    if result.config.int8:
        cost = f"{parity.error_count} of the test images wrong, {parity.torch_error_count} wrong in float32"
        lines.append(("int8 costs", f"{cost} (McNemar p {parity.p_value:.2g})"))
    if result.seconds is not None:
        ours, torch_seconds = (1e3 * each for each in result.seconds)
        lines.append(("speed", f"{ours:.0f} ms for 1,000 images, torch {torch_seconds:.0f} ms, measured side by side"))
    if result.footprint is not None:
        size = result.footprint
        sizes = f"{size.flash / 1024:.1f} KB of flash, {size.ram / 1024:.1f} KB of RAM"
        lines.append(("footprint", f"{sizes} (compiled for {size.compiler})"))
    lines.append(
        ("card", f"{result.folder / CARD} (to share it: hf upload YOUR-NAME/{result.folder.name} {result.folder})")
    )
    lines.append(("next", _next(result)))
    return lines


def _next(result: Export) -> str:
    if result.config.format == "onnx":
        return digits_command("predict", "PICTURE.png", "--model", result.folder / FILE_NAME)
    return f"cat {result.folder / CARD}"


def transfer_document(transfer: Transfer, page: str) -> dict[str, Any]:
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
    lines = []
    for row in transfer.rows:
        lines.append((row.model, f"trained on {row.trained_on}, {row.side}x{row.side}"))
        lines += [
            (f"  {column.name}", cell_text(cell)) for column, cell in zip(transfer.columns, row.cells, strict=True)
        ]
    return lines


def cell_text(cell: TransferCell) -> str:
    """Accuracy with its interval, and whether the model has seen these images or this data set before."""
    seen = f"; trained or selected on {cell.seen_count:,} of these images" if cell.seen_count else ""
    own = "; its own data set" if cell.is_own else ""
    return f"{cell.accuracy:.2%} [{cell.low:.2%}, {cell.high:.2%}], {cell.error_count:,} of {cell.n:,} wrong{own}{seen}"
