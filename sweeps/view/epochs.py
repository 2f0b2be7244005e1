"""The progress of one training run: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from digits_core.records import EpochRow
from sweeps.view.progress import PLAIN_INTERVAL_SECONDS
from sweeps.words import counted


@contextlib.contextmanager
def epoch_progress(epochs: int, console: Console) -> Iterator[Callable[[EpochRow], None]]:
    """Yield what is to be called after every epoch."""
    if console.is_terminal:
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("the first epoch runs", total=epochs)

            def advance(row: EpochRow) -> None:
                progress.update(task, completed=row.epoch, description=epoch_text(row))

            yield advance
        return
    shown_at = time.monotonic()

    def line(row: EpochRow) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= PLAIN_INTERVAL_SECONDS or row.epoch == epochs:
            shown_at = time.monotonic()
            text = f"  epoch {row.epoch} of {epochs}: {epoch_text(row)}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    yield line


def epoch_text(row: EpochRow) -> str:
    """An epoch in a few words."""
    wrong = f"{row.validation_error_count} of {counted(row.validation_n, 'validation image')} wrong"
    return f"{wrong}, NLL {row.validation_nll:.4f}, {row.seconds:.1f} s"
