"""What is kept of models tested on other data sets: a row per model, a column per data set, as plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_core.records import check_fields
from digits_core.runs.durable import json_bytes, read_json, write_atomically

FILE_NAME = "transfer.json"


@dataclass(frozen=True, kw_only=True)
class TransferCell:
    """One model on one data set's test set."""

    n: int
    error_count: int
    low: float  # of Wilson's 95 % interval for the accuracy
    high: float
    seen_count: int  # how many of these images were also in its training or validation set: then accuracy says little
    is_own: bool  # this is the data set that the model was trained on

    @property
    def accuracy(self) -> float:
        """Between 0 and 1."""
        return 1 - self.error_count / self.n


@dataclass(frozen=True, kw_only=True)
class TransferColumn:
    """A data set's test set, or a corrupted version of it."""

    name: str
    side: int  # pixels; images are reframed for models that take another size
    n: int


@dataclass(frozen=True, kw_only=True)
class TransferRow:
    """One model. `cells`: in the order of the columns."""

    model: str
    trained_on: str
    side: int
    cells: tuple[TransferCell, ...]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The whole matrix of models by data sets."""

    created_at: float
    columns: tuple[TransferColumn, ...]
    rows: tuple[TransferRow, ...]

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Transfer":
        """Inverse of `dataclasses.asdict`, from JSON values."""
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
    """Write it to a run's folder, where the report reads it."""
    import dataclasses

    write_atomically(folder / FILE_NAME, json_bytes(dataclasses.asdict(transfer)))


def read_transfer(folder: Path) -> Transfer | None:
    """The transfer kept in a run's folder; None if there isn't one."""
    path = folder / FILE_NAME
    return read_json(path, Transfer.from_dict) if path.is_file() else None
