"""What is kept of models tested on other data sets: a row per model, a column per data set, as plain frozen values."""

from dataclasses import dataclass
from pathlib import Path

from digits_core.runs.durable import json_bytes, read_json_if_any, write_atomically
from digits_core.stored import Count, Positive, Seconds, Share

FILE_NAME = "transfer.json"


@dataclass(frozen=True, kw_only=True)
class TransferCell:
    """One model on one data set's test set."""

    n: Positive
    error_count: Count
    low: Share  # of Wilson's 95 % interval for the accuracy
    high: Share
    seen_count: Count  # how many of these images were also in its training or validation set: then accuracy says little
    is_own: bool  # this is the data set that the model was trained on

    def __post_init__(self) -> None:
        if self.error_count > self.n:
            raise ValueError(f"{self.error_count} of {self.n} images wrong")

    @property
    def accuracy(self) -> float:
        """Between 0 and 1."""
        return 1 - self.error_count / self.n


@dataclass(frozen=True, kw_only=True)
class TransferColumn:
    """A data set's test set, or a corrupted version of it."""

    name: str
    side: Positive  # pixels; images are reframed for models that take another size
    n: Positive


@dataclass(frozen=True, kw_only=True)
class TransferRow:
    """One model. `cells`: in the order of the columns."""

    model: str
    trained_on: str
    side: Positive
    cells: tuple[TransferCell, ...]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The whole matrix of models by data sets."""

    created_at: Seconds
    columns: tuple[TransferColumn, ...]
    rows: tuple[TransferRow, ...]

    def __post_init__(self) -> None:
        if any(len(row.cells) != len(self.columns) for row in self.rows):
            raise ValueError("its rows and columns do not match")


def write_transfer(folder: Path, transfer: Transfer) -> None:
    """Write it to a run's folder, where the report reads it."""
    import dataclasses

    write_atomically(folder / FILE_NAME, json_bytes(dataclasses.asdict(transfer)))


def read_transfer(folder: Path) -> Transfer | None:
    """The transfer kept in a run's folder; None if there isn't one."""
    return read_json_if_any(folder / FILE_NAME, Transfer)
