"""TensorBoard: a folder of event files, one per entry, written whole and under a name that tells its content."""

import io
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.scalar import summary_v2 as scalars
from tensorboard.plugins.text import summary_v2 as texts
from tensorboard.summary.writer.record_writer import RecordWriter

from digits_core.delivery.exports import CARD
from digits_core.errors import EnvironmentFailure
from digits_core.recipe import Scalar
from digits_core.runs.durable import write_atomically
from digits_core.tracking.story import PAGE, Entry, clock, curve_figures, finite

VERSION = "brain.Event:2"
CHOSEN_BY = ("validation accuracy", "validation nll", "test accuracy")  # columns of the HParams tab


class TensorBoard:
    """Writes FOLDER/RUN and FOLDER/RUN/trial 17. TensorBoard keeps no files, so weights are not sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)
        self.next_command = shlex.join(["tensorboard", "--logdir", str(folder)])

    def send(self, entry: Entry, of: Entry) -> bool:
        """Write the entry's event file, unless it is there. Raises EnvironmentFailure if that fails."""
        # One run at a time: TensorBoard takes the settings of one run for all that it is shown.
        self.next_command = shlex.join(["tensorboard", "--logdir", str(self.folder / of.name)])
        folder = self.folder / of.name if entry.is_run else self.folder / of.name / entry.name
        # "tfevents" is how TensorBoard knows its files; the number orders them.
        ours = f"digits.{entry.identifier}"
        path = folder / f"events.out.tfevents.{int(entry.started_at)}.{ours}.{entry.fingerprint[:12]}"
        if path.exists():
            return False
        if entry.is_run and any(f".{ours}." not in other.name for other in folder.glob("events.*.digits.*")):
            raise EnvironmentFailure(f"{folder} has another run of that name; name another folder with --at")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _content(_events(entry)))
            for other in folder.glob(f"events.*.{ours}.*"):
                if other != path:
                    other.unlink()  # what was known of it before
        except OSError as error:
            raise EnvironmentFailure(
                f"cannot write {folder}: {error.strerror}; name another folder with --at"
            ) from error
        return True


def _content(events: Iterable[Event]) -> bytes:
    stream = io.BytesIO()
    writer = RecordWriter(stream)
    for event in events:
        writer.write(event.SerializeToString())
    return stream.getvalue()


def _events(entry: Entry) -> Iterator[Event]:
    at = entry.started_at
    yield Event(wall_time=at, file_version=VERSION)
    if entry.is_run:
        metrics = [hparams.Metric(name) for name in CHOSEN_BY]
        settings = [hparams.HParam(name, _domain(values)) for name, values in entry.varied.items()]
        yield _event(at, 0, hparams.hparams_config_pb(hparams=settings, metrics=metrics))
    else:
        yield _event(at, 0, hparams.hparams_pb(_settings(entry), trial_id=entry.key, start_time_secs=at))
    for row, time in clock(entry):
        for name, value in curve_figures(row).items():
            yield _event(time, row.epoch, scalars.scalar_pb(f"curve/{name}", value))
    ended = entry.ended_at or at
    for name, value in finite(entry.figures).items():
        yield _event(ended, 0, scalars.scalar_pb(name, value))
    for name, text in _texts(entry):
        yield _event(ended, 0, texts.text_pb(name, text))


def _domain(values: Sequence[Scalar]) -> hparams.Domain:
    """The values of a setting, as TensorBoard asks for them to offer filters."""
    if any(isinstance(value, bool | str) for value in values):
        return hparams.Discrete(values)
    return hparams.RealInterval(float(min(values)), float(max(values)))


def _settings(entry: Entry) -> dict[str, bool | float | str]:
    return {name: value if isinstance(value, bool | str) else float(value) for name, value in entry.parameters.items()}


def _texts(entry: Entry) -> Iterator[tuple[str, str]]:
    """Markdown: the facts as a table, and the model card."""
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in entry.facts.items())
    yield "facts", f"| fact | |\n| --- | --- |\n{rows}"
    for file in entry.files:
        if file.name == CARD:
            yield "model card", file.text
        elif file.name == PAGE:
            yield "page", f"The page of this run is {PAGE} in its folder: TensorBoard keeps no files."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _event(at: float, step: int, summary: Summary) -> Event:
    return Event(wall_time=at, step=step, summary=summary)
