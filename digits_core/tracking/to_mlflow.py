"""MLflow: a run as a parent, its trials and its ensemble as nested runs, in one experiment."""

import os
import re
import shlex
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # seven would take minutes to say that nobody answers
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from digits_core.errors import EnvironmentFailure, UsageError, shortened
from digits_core.tracking.story import Entry, clock, curve_figures, finite, slug, title

EXPERIMENT = "digits"
# A trial that was stopped early has not failed.
STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
KEY, FINGERPRINT, EPOCHS = "digits.key", "digits.fingerprint", "digits.epochs"
MOST_AT_ONCE = 100  # parameters or tags in one request; metrics: 1,000
LONGEST_TAG = 4_000
T = TypeVar("T")


class MLflow:
    """Tells an MLflow server, or whatever MLflow can open as a store, of one run's entries."""

    def __init__(self, address: str | None, experiment: str = EXPERIMENT) -> None:
        if not address and not os.environ.get("MLFLOW_TRACKING_URI"):  # MLflow would start a database in this folder
            raise UsageError("say where MLflow is: --at http://127.0.0.1:5000, or set MLFLOW_TRACKING_URI")
        full = address or mlflow.get_tracking_uri()
        self.where = re.sub(r"(?<=://)[^/@]*@", "", full)  # without a password
        is_server = self.where.startswith("http")
        words = ["open", self.where] if is_server else ["mlflow", "ui", "--backend-store-uri", self.where]
        self.next_command = shlex.join(words)
        with self._told():
            self.client = MlflowClient(full)
            found = self.client.get_experiment_by_name(experiment)
            self.experiment = found.experiment_id if found else self.client.create_experiment(experiment)
        self.runs: dict[str, Any] = {}

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, OSError, ImportError) as error:
            reason = shortened(str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__, 200)
            raise EnvironmentFailure(
                f"MLflow at {self.where} did not accept the run: {reason}; check that a server runs there (--at or"
                " MLFLOW_TRACKING_URI sets the address)"
            ) from error

    def send(self, entry: Entry, of: Entry) -> bool:
        """Create the entry's run, or add what is new to it."""
        with self._told():
            run = self._found(entry)
            if run is not None and run.data.tags.get(FINGERPRINT) == entry.fingerprint:
                self.runs[entry.key] = run
                return False
            run = run or self._created(entry, of)
            self.runs[entry.key] = run
            self._fill(run, entry)
        return True

    def _found(self, entry: Entry) -> Any:
        wanted = f"tags.`{KEY}` = '{entry.identifier}'"
        return next(iter(self.client.search_runs([self.experiment], wanted, max_results=1)), None)

    def _created(self, entry: Entry, of: Entry) -> Any:
        tags = {KEY: entry.identifier, "mlflow.runName": title(entry, of)}
        if not entry.is_run:
            tags["mlflow.parentRunId"] = self.runs[of.key].info.run_id
        return self.client.create_run(self.experiment, start_time=_milliseconds(entry.started_at), tags=tags)

    def _fill(self, run: Any, entry: Entry) -> None:
        """The fingerprint comes last: what was cut off is sent again, and epochs that arrived are not."""
        identifier, sent = run.info.run_id, int(run.data.tags.get(EPOCHS, 0))
        ended = _milliseconds(entry.ended_at or entry.started_at)
        # The latest value is the one with the latest time: a figure that has changed must come after the old one.
        at = max(ended, _milliseconds(time.time())) if run.data.metrics else ended
        # MLflow never changes a parameter. What can change of an entry is among its facts.
        missing = {name: value for name, value in entry.parameters.items() if slug(name) not in run.data.params}
        for settings in _batches(missing.items(), MOST_AT_ONCE):
            self.client.log_batch(identifier, params=[Param(slug(name), str(value)) for name, value in settings])
        metrics = [
            Metric(slug(name), value, at, 0)
            for name, value in finite(entry.figures).items()
            if run.data.metrics.get(slug(name)) != value
        ]
        for row, when in list(clock(entry))[sent:]:
            metrics += [
                Metric(f"curve/{slug(name)}", value, _milliseconds(when), row.epoch)
                for name, value in curve_figures(row).items()
            ]
        for points in _batches(metrics, 10 * MOST_AT_ONCE):
            self.client.log_batch(identifier, metrics=points)
        self.client.set_tag(identifier, EPOCHS, str(len(entry.curve)))
        self._send_files(run, entry)
        for facts in _batches(entry.facts.items(), MOST_AT_ONCE):
            self.client.log_batch(identifier, tags=[RunTag(slug(name), text[:LONGEST_TAG]) for name, text in facts])
        if entry.status != "running":
            self.client.set_terminated(identifier, STATUS[entry.status], ended)
        self.client.set_tag(identifier, FINGERPRINT, entry.fingerprint)

    def _send_files(self, run: Any, entry: Entry) -> None:
        for file in entry.files:
            mark = f"digits.file.{slug(file.name)}"
            if run.data.tags.get(mark) == file.checksum:
                continue
            if file.path is not None:
                self.client.log_artifact(run.info.run_id, str(file.path))
            else:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / file.name
                    path.write_text(file.text, encoding="utf-8")
                    self.client.log_artifact(run.info.run_id, str(path))
            self.client.set_tag(run.info.run_id, mark, file.checksum)


def _batches(what: Iterable[T], size: int) -> Iterator[list[T]]:
    every = list(what)
    return (every[start : start + size] for start in range(0, len(every), size))


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
