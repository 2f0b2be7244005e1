"""The live view of a sweep, fed by events, and the epoch progress bar of a training run.

On a terminal both are redrawn in place; elsewhere they print a line now and then.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from digits_core.judging.stats import accuracy_interval
from digits_core.recipe import Recipe
from digits_core.records import EpochRow, RunHeader, RunRecord
from digits_core.stored import asked_trials
from sweeps.view.tally import Tally
from sweeps.words import counted, duration

PLAIN_INTERVAL_SECONDS = 15.0


class SweepView(Protocol):
    """Receives a sweep's events. `tick` is called often and must be cheap."""

    def recall(self, records: list[RunRecord], seconds_ago: float = 0.0) -> None:
        """Trials that ended before this session, which began `seconds_ago`. Called first."""

    def trial_started(self, trial: int) -> None:
        """A worker has started the trial."""

    def trial_retried(self, trial: int) -> None:
        """The trial's process was lost; another one resumes the trial."""

    def trial_advanced(self, trial: int, epoch: int) -> None:
        """The trial has finished an epoch."""

    def trial_over(self, record: RunRecord) -> None:
        """The trial has ended, and its record is on disk."""

    def tick(self) -> None:
        """Some time has passed."""

    def note(self, text: str) -> None:
        """Show a remark, in one line."""

    def close(self) -> None:
        """No more events will come. Closing again does nothing."""


def describe(record: RunRecord) -> str:
    """What a trial trained, in one short line."""
    return describe_recipe(record.recipe, record.parent)


def describe_recipe(recipe: Recipe, parent: int | None = None) -> str:
    """A recipe in one short line, with the trial that it continued from."""
    size = {"cnn": f" {recipe.model.width}x{recipe.model.kernel_size}", "resnet": f" {recipe.model.width}"}
    return (
        f"{recipe.model.name}{size.get(recipe.model.name, '')}, {recipe.optimizer.name}"
        f" {recipe.optimizer.learning_rate:.2g}, batch {recipe.training.batch_size}"
        f"{'' if parent is None else f', from trial {parent}'}"
    )


class PlainView(SweepView):
    """For pipes and logs: a line every 15 seconds, and one for every failure."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self.tally, self.console = tally, console
        self.last_line_at = time.monotonic()
        self.is_closed = False

    @override
    def recall(self, records: list[RunRecord], seconds_ago: float = 0.0) -> None:
        self.tally.recall(records, seconds_ago)

    @override
    def trial_started(self, trial: int) -> None:
        self.tally.start(trial)

    @override
    def trial_retried(self, trial: int) -> None:
        del trial
        self.tally.retry_count += 1

    @override
    def trial_advanced(self, trial: int, epoch: int) -> None:
        self.tally.running[trial] = epoch

    @override
    def trial_over(self, record: RunRecord) -> None:
        self.tally.finish(record)
        if record.error:
            self.note(f"failed: {self.tally.last_error}")

    @override
    def tick(self) -> None:
        if time.monotonic() - self.last_line_at >= PLAIN_INTERVAL_SECONDS:
            self.print_line()

    @override
    def note(self, text: str) -> None:
        self.console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    @override
    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.print_line()

    def print_line(self) -> None:
        self.tally.measure_disk()
        self.last_line_at = time.monotonic()
        self.note(status_line(self.tally))


class LiveView(PlainView):
    """For a terminal: progress bar, counts and the top five, redrawn in place."""

    def __init__(self, tally: Tally, console: Console) -> None:
        super().__init__(tally, console)
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.live.start()
        self.live.update(block(tally), refresh=True)

    @override
    def trial_over(self, record: RunRecord) -> None:
        self.tally.finish(record)

    @override
    def tick(self) -> None:
        """Redraw, at most five times a second."""
        now = time.monotonic()
        if not self.live.is_started or now - self.last_line_at < 0.2:
            return
        self.last_line_at = now
        self.tally.measure_disk()
        self.live.update(block(self.tally), refresh=True)

    @override
    def close(self) -> None:
        """Remove the block and leave one line."""
        if self.is_closed:
            return
        self.live.stop()
        super().close()
        if self.tally.last_error:
            self.console.print(f"  last failure: {self.tally.last_error}", markup=False, highlight=False)


def status_line(tally: Tally) -> str:
    """Counts, times and the best trial in one line of text."""
    parts = [_counts(tally)]
    if tally.top:
        parts.append(f"best {_accuracy_text(tally.top[0])} (trial {tally.top[0].trial})")
    return " · ".join(parts)


def _counts(tally: Tally) -> str:
    planned = f"of {counted(tally.trial_count, 'trial')}" if asked_trials(tally.trial_count) else "trials"
    parts = [f"{tally.over_count} {planned}"]
    parts.append(", ".join(f"{count} {status}" for status, count in tally.over.items() if count) or "none finished yet")
    if tally.retry_count:
        parts.append(f"{tally.retry_count} retried")
    if tally.running:
        parts.append(f"{len(tally.running)} running")
    parts.append(duration(time.monotonic() - tally.started_at))
    if tally.trials_a_minute is not None and tally.training_share is not None:
        parts.append(f"{tally.trials_a_minute:.1f} a minute")
        parts.append(f"{tally.training_share:.0%} training")
    if tally.disk_bytes:
        parts.append(f"{tally.disk_bytes / 1e6:.0f} MB")
    left = tally.seconds_left()
    if left is not None and left >= 1:
        parts.append(f"about {duration(left)} left")
    return " · ".join(parts)


def _accuracy_text(record: RunRecord) -> str:
    assert record.validation is not None
    interval = accuracy_interval(record.validation.error_count, record.validation.n)
    return f"{record.validation.accuracy:.2%} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def block(tally: Tally) -> RenderableType:
    """The live view's block: bar, counts, running trials and the top five."""
    running = "  ".join(f"{trial}: {epoch}/{tally.max_epochs}" for trial, epoch in sorted(tally.running.items())[:8])
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=bool(tally.top))
    for heading, width in (("trial", 5), ("val. NLL", 8), ("accuracy [95 % interval]", 24)):
        table.add_column(heading, no_wrap=True, min_width=width)
    table.add_column("recipe", no_wrap=True)  # the column that may be truncated on a narrow terminal
    for record in tally.top:
        table.add_row(str(record.trial), f"{record.nll:.4f}", _accuracy_text(record), describe(record))
    bar = Table.grid()
    bar.add_row(ProgressBar(total=tally.trial_count, completed=tally.over_count, width=40))
    return Group(
        bar,
        Text(_counts(tally)),
        Text(f"running (epoch): {running or 'starting workers'}", style="dim"),
        table,
    )


class TolerantStream:
    """A text stream that goes silent once nobody reads it: a closed pipe or terminal must not end a sweep."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def progress_console(stream: IO[str]) -> Console:
    """A console for progress on a stream that may be closed at any time."""
    return Console(file=cast("IO[str]", TolerantStream(stream)))


def make_view(tally: Tally, console: Console) -> SweepView:
    """The live view on a terminal, the plain view elsewhere."""
    return LiveView(tally, console) if console.is_terminal else PlainView(tally, console)


def view_of(header: RunHeader, folder: Path, console: Console) -> SweepView:
    """The view of a run that is about to start, or that runs in another process."""
    return make_view(
        Tally(
            trial_count=header.trial_count,
            max_epochs=header.max_epochs,
            concurrency=header.concurrency,
            folder=folder,
        ),
        console,
    )


@contextlib.contextmanager
def epoch_progress(epochs: int, console: Console) -> Iterator[Callable[[EpochRow], None]]:
    """Show a training run's progress. Yields the function to call after every epoch."""
    if console.is_terminal:
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("first epoch running", total=epochs)

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
    """An epoch's results in a few words."""
    wrong = f"{row.validation_error_count} of {counted(row.validation_n, 'validation image')} wrong"
    return f"{wrong}, NLL {row.validation_nll:.4f}, {row.seconds:.1f} s"
