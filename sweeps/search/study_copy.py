"""A copy of a search's trials as an Optuna study in a database, for optuna-dashboard and for teams.

Only the driver writes it, trial by trial as they end. A search never waits for the database to draw, and losing the
database costs a message, not the search: the next session adds what is missing. Runs are resumed from the journal, not
from this copy.
"""

import contextlib
import queue
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.judging.objectives import values_of
from digits_core.records import DEFAULT_OBJECTIVES, RunRecord
from sweeps.search.study import directions_of, frozen_trial
from sweeps.space.spaces import Space

FILE_NAME = "study.db"
REST = 4.0  # times as long as writing took: the copy takes at most a fifth of a processor from training
SECRET = re.compile("pass|pwd|secret|token|key", re.IGNORECASE)  # options of a database's address: ?sslpassword=...
BESIDE, NONE = "sqlite", "none"  # values of --storage other than a database URL


def without_password(storage: str) -> str:
    """A database URL without its password, which must not be stored."""
    if storage in (BESIDE, NONE):
        return storage
    url = make_url(storage)
    query = {name: value for name, value in url.query.items() if not SECRET.search(name)}
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query).render_as_string()


def database_of(storage: str, folder: Path) -> str:
    """The database URL; for "sqlite", that of a file in the sweep's folder."""
    return f"sqlite:///{(folder / FILE_NAME).absolute()}" if storage == BESIDE else storage


@contextlib.contextmanager
def one_line_errors(storage: str) -> Iterator[None]:
    """Turn errors of a database or its driver into one line without the password."""
    try:
        yield
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError(
            "--storage is not a database URL; write sqlite, none or postgresql://user@host/database"
        ) from error
    except ImportError as error:
        raise UsageError(
            f"--storage {without_password(storage)} needs its driver; for PostgreSQL: pip install 'digits[postgres]'"
        ) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise EnvironmentFailure(
            f"cannot use the database {without_password(storage)}: {_reason(error)}; fix that, or use --storage sqlite"
        ) from error


def _reason(error: BaseException) -> str:
    """The database's own message, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def check_storage(storage: str, name: str, *, is_new: bool) -> None:
    """Check the database of --storage before a run starts.

    Raises UsageError for a malformed URL or a new sweep's name that is taken, EnvironmentFailure if the database cannot
    be used.
    """
    if storage in (BESIDE, NONE):
        return
    with one_line_errors(storage), connected(storage) as backend:
        names = optuna.get_all_study_names(backend)
    if is_new and name in names:
        raise UsageError(f"the database already has a study {name!r}; choose another --name")


def make_storage(url: str) -> optuna.storages.RDBStorage:
    """Connect to a database. Creates its tables if they are missing."""
    return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


@contextlib.contextmanager
def connected(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """Connect to a database, and close the connections at the end."""
    backend = make_storage(url)
    try:
        yield backend
    finally:
        backend.engine.dispose()


class StudyCopy:
    """The study in the database. `problem` says why trials are missing from it, if any are; it is final once closed.

    A separate thread writes, because a database that stops responding must not stop the search. A trial takes about
    25 ms of SQL, so the thread rests between trials while the search runs and catches up at the end.
    """

    def __init__(
        self, storage: str, folder: Path, name: str, space: Space, objectives: Sequence[str] = DEFAULT_OBJECTIVES
    ) -> None:
        self.storage, self.url = storage, database_of(storage, folder)
        self.name, self.space, self.objectives, self.problem = name, space, objectives, ""
        self.is_closing, self.known = threading.Event(), set[int | None]()  # known: trials in the database
        self.waiting: queue.SimpleQueue[tuple[RunRecord, Mapping[str, Any] | None] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        if storage != NONE:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            self.thread = threading.Thread(target=self._write, name="study-copy", daemon=True)
            self.thread.start()

    def add(self, records: Iterable[RunRecord], points: Mapping[int, Mapping[str, Any] | None]) -> None:
        """Queue trials to be copied. The writing thread skips those that are in the database already."""
        if self.thread is not None:
            for record in records:
                self.waiting.put((record, points.get(record.trial)))

    def close(self, limit_seconds: float = 30.0) -> None:
        """Wait until all trials are written, or until none was written for `limit_seconds`."""
        if self.thread is None:
            return
        self.is_closing.set()
        self.waiting.put(None)
        written = -1
        while self.thread.is_alive() and written != len(self.known):
            written = len(self.known)
            self.thread.join(limit_seconds)
        if self.thread.is_alive():
            self.problem = (
                f"the database {without_password(self.storage)} does not respond; digits resume adds what is missing"
            )

    def _write(self) -> None:
        try:
            with one_line_errors(self.storage), connected(self.url) as backend:
                self._copy_into(backend)
        except (UsageError, EnvironmentFailure) as error:
            self.problem = str(error)

    def _copy_into(self, backend: optuna.storages.RDBStorage) -> None:
        study = optuna.create_study(
            study_name=self.name, storage=backend, directions=directions_of(self.objectives), load_if_exists=True
        )
        self.known |= {trial.user_attrs.get("trial") for trial in study.get_trials(deepcopy=False)}
        while (job := self.waiting.get()) is not None:
            record, point = job
            if record.trial in self.known:
                continue
            trial = frozen_trial(
                point or {},
                {row.epoch: row.validation_nll for row in record.curve},
                record.status,
                self.space,
                attributes_of(record),
                values_of(record, self.objectives),
            )
            began = time.monotonic()
            backend.create_new_trial(study._study_id, template_trial=trial)
            self.known.add(record.trial)
            self.is_closing.wait(REST * (time.monotonic() - began))


def attributes_of(record: RunRecord) -> dict[str, Any]:
    """What the study stores about a trial besides its parameters."""
    attributes: dict[str, Any] = {
        "trial": record.trial,
        "recipe_id": record.recipe.recipe_id,
        "label": record.label,
        "status": record.status,
        "seed": record.recipe.training.seed,
        "train_seconds": record.train_seconds,
        "parameter_count": record.parameter_count,
        "recipe": record.recipe.changes(),
    }
    if record.validation is not None:
        attributes |= {
            "best_epoch": record.best_epoch,
            "validation_accuracy": record.validation.accuracy,
            "validation_error_count": record.validation.error_count,
            "validation_n": record.validation.n,
        }
    return attributes | ({"error": record.failure} if record.error else {})
