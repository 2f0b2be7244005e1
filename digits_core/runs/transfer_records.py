"""What is kept of a transfer: models by rows, data sets by columns, as plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_core.records import check_fields
from digits_core.runs.durable import json_bytes, read_json, write_atomically

FILE_NAME = "transfer.json"


@dataclass(frozen=True, kw_only=True)
class TransferCell:
    """One model on one data set's test part."""

    n: int
    error_count: int
    low: float  # Wilson's 95 % interval of the accuracy
    high: float
    seen_count: int  # of these images, how many it was trained or chosen on as well: then the figure says little
    is_own: bool  # the data set that it was trained on

    @property
    def accuracy(self) -> float:
        """0..1."""
        return 1 - self.error_count / self.n


@dataclass(frozen=True, kw_only=True)
class TransferColumn:
    """A data set's test part, or a corruption of it."""

    name: str
    side: int  # pixels; where a model takes another size, images are laid out anew
    n: int


@dataclass(frozen=True, kw_only=True)
class TransferRow:
    """One model. cells: by column."""

    model: str
    trained_on: str
    side: int
    cells: tuple[TransferCell, ...]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The whole matrix."""

    created_at: float
    columns: tuple[TransferColumn, ...]
    rows: tuple[TransferRow, ...]

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Transfer":
        """Inverse of `dataclasses.asdict` after a trip through JSON."""
        check_fields(Transfer, values)
        for row in values["rows"]:
            for cell in row["cells"]:
                check_fields(TransferCell, cell)
        rows = [{**row, "cells": tuple(TransferCell(**cell) for cell in row["cells"])} for row in values["rows"]]
        return Transfer(
            created_at=values["created_at"],
            columns=tuple(TransferColumn(**column) for column in values["columns"]),
            rows=tuple(TransferRow(**row) for row in rows),
        )


def write_transfer(folder: Path, transfer: Transfer) -> None:
    """Keep it in a run's folder, where its report finds it."""
    import dataclasses

    write_atomically(folder / FILE_NAME, json_bytes(dataclasses.asdict(transfer)))


def read_transfer(folder: Path) -> Transfer | None:
    """What was kept; None where nothing was."""
    path = folder / FILE_NAME
    return read_json(path, Transfer.from_dict) if path.is_file() else None
