"""A copy of a search's trials as an Optuna study in a database, for optuna-dashboard and for teams.

Written by the driver alone, a trial at a time, once it is over: a search never waits for a database in order to draw,
and one that goes away costs a message. What is missing then is added by the next session. The journal is what a run
goes on from.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.records import RunRecord
from sweeps.search import frozen_trial
from sweeps.space import Space

FILE_NAME = "study.db"
BESIDE, NONE = "sqlite", "none"  # what --storage takes beside a database's address


def without_password(storage: str) -> str:
    """What may be kept of a database's address."""
    if storage in (BESIDE, NONE):
        return storage
    url = make_url(storage)
    return URL.create(
        url.drivername, url.username, None, url.host, url.port, url.database, url.query
    ).render_as_string()


def database_of(storage: str, folder: Path) -> str:
    """The database's address; that of a file beside the sweep where none was given."""
    return f"sqlite:///{(folder / FILE_NAME).absolute()}" if storage == BESIDE else storage


@contextlib.contextmanager
def one_line_errors(storage: str) -> Iterator[None]:
    """Turn what a database or its driver raises into one line, without the password."""
    try:
        yield
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError(
            "--storage is no database's address; write sqlite, none or postgresql://user@host/database"
        ) from error
    except ImportError as error:
        raise UsageError(
            f"--storage {without_password(storage)} needs its driver; for PostgreSQL: pip install 'digits[postgres]'"
        ) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise EnvironmentFailure(
            f"the database {without_password(storage)} refuses: {_reason(error)}; or use --storage sqlite"
        ) from error


def _reason(error: BaseException) -> str:
    """The database's own words, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def check_storage(storage: str, name: str, *, is_new: bool) -> None:
    """Raise where a database elsewhere cannot be written to, or has a study of a new sweep's name already."""
    if storage in (BESIDE, NONE):
        return
    with one_line_errors(storage):
        backend = make_storage(storage)
        names = optuna.get_all_study_names(backend)
        backend.engine.dispose()
    if is_new and name in names:
        raise UsageError(f"the database has a study {name!r} already; choose another --name")


def make_storage(url: str) -> optuna.storages.RDBStorage:
    """Connect to a database, whose tables are made if they are not there."""
    return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


class StudyCopy:
    """The study in the database. `problem` says why trials are missing from it, if any are."""

    def __init__(self, storage: str, folder: Path, name: str, space: Space) -> None:
        self.space, self.problem = space, ""
        self.backend: optuna.storages.RDBStorage | None = None
        if storage == NONE:
            return
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._noted(), one_line_errors(storage):
            self.backend = make_storage(database_of(storage, folder))
            study = optuna.create_study(
                study_name=name, storage=self.backend, direction="minimize", load_if_exists=True
            )
            self.study_id = study._study_id
            self.known = {trial.user_attrs.get("trial") for trial in study.get_trials(deepcopy=False)}

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except (UsageError, EnvironmentFailure) as error:
            self.close()
            self.problem, self.backend = str(error), None

    def add(self, records: Iterable[RunRecord], points: Mapping[int, Mapping[str, Any] | None]) -> None:
        """Copy the trials that are not there yet."""
        for record in records:
            if self.backend is None or record.trial in self.known:
                continue
            with self._noted(), one_line_errors(str(self.backend.url)):
                self.backend.create_new_trial(
                    self.study_id,
                    template_trial=frozen_trial(
                        points.get(record.trial) or {},
                        {row.epoch: row.validation_nll for row in record.curve},
                        record.status,
                        self.space,
                        attributes_of(record),
                        value=record.nll if record.counts else None,
                    ),
                )
                self.known.add(record.trial)

    def close(self) -> None:
        """Let the connections go."""
        if self.backend is not None:
            self.backend.engine.dispose()


def attributes_of(record: RunRecord) -> dict[str, Any]:
    """What a study keeps of a trial beside its parameters."""
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
