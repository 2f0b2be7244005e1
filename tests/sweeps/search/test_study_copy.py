import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.runs.run import Run
from sweeps.plans.config import ResumeConfig
from sweeps.plans.planning import plan_resumption, plan_sweep
from sweeps.search.study_copy import StudyCopy, check_storage, database_of, make_storage, without_password
from sweeps.space.spaces import Choice, Float, Space
from tests.helpers.executors import run_here
from tests.helpers.sweeps import Interrupter, config

SPACE: Space = {
    "model.name": Choice(options=("cnn", "mlp")),
    "optimizer.learning_rate": Float(low=1e-4, high=1.0, log=True),
}
POINT = {"model.name": "mlp", "optimizer.learning_rate": 0.01}
STATES = optuna.trial.TrialState
PASSWORD = "only-for-a-test"  # noqa: S105


def read_back(url: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """The study's trials as another program sees them."""
    storage = make_storage(url)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    storage.engine.dispose()
    return trials


def test_trials_are_copied_once_with_what_a_dashboard_shows(sweep_store: Run) -> None:
    records = sweep_store.records
    for _ in range(2):  # the second time as a resumed session
        with contextlib.closing(StudyCopy("sqlite", sweep_store.folder, "tiny", SPACE)) as copy:
            copy.add(records, {record.trial: POINT for record in records})
        assert copy.problem == ""
    trials = read_back(database_of("sqlite", sweep_store.folder), "tiny")
    assert [trial.state for trial in trials] == [STATES.COMPLETE] * 3 + [STATES.PRUNED, STATES.FAIL]
    for record, trial in zip(records, trials, strict=True):
        assert trial.params == POINT
        assert trial.intermediate_values == {row.epoch: row.validation_nll for row in record.curve}
        assert (trial.user_attrs["trial"], trial.user_attrs["status"]) == (record.trial, record.status)
        if record.status == "finished":
            assert trial.value == record.nll
            assert record.validation is not None
            assert trial.user_attrs["validation_error_count"] == record.validation.error_count
    assert trials[4].user_attrs["error"].startswith("RuntimeError: ")


def test_storage_none_writes_no_database(sweep_store: Run) -> None:
    copy = StudyCopy("none", sweep_store.folder, "tiny", SPACE)
    copy.add(sweep_store.records, {})
    copy.close()
    assert not (sweep_store.folder / "study.db").exists()


def test_a_database_that_breaks_costs_a_message_and_not_the_sweep(sweep_store: Run) -> None:
    (sweep_store.folder / "study.db").write_bytes(b"this is no database" * 100)
    with contextlib.closing(StudyCopy("sqlite", sweep_store.folder, "tiny", SPACE)) as copy:
        copy.add(sweep_store.records, {})
    assert copy.problem.startswith("cannot use the database sqlite: ")
    assert "\n" not in copy.problem


def test_a_database_that_no_longer_answers_does_not_hold_up_the_end(sweep_store: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://somebody:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/digits"
        copy = StudyCopy(url, sweep_store.folder, "tiny", SPACE)
        copy.add(sweep_store.records, {})
        copy.close(limit_seconds=0.2)
        said = copy.problem  # before the server ends, which changes the message
    assert said.startswith("the database postgresql://somebody@127.0.0.1")
    assert said.endswith("/digits does not respond; digits resume adds what is missing")
    assert copy.thread is not None
    copy.thread.join()  # the server is gone, and the connection with it


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("postgres", "--storage is not a database URL; write sqlite, none or postgresql://user@host/database"),
        ("postgresql://u:secret@h:abc/x", "is not a database URL"),
        ("mongodb://host/x", "is not a database URL"),
        ("", "is not a database URL"),
    ],
)
def test_malformed_database_urls_are_refused(storage: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_storage(storage, "tiny", is_new=True)
    assert "secret" not in str(caught.value)


def test_an_unreachable_database_fails_in_one_line_without_the_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql://somebody:{PASSWORD}@127.0.0.1:{free.getsockname()[1]}/digits"
    with pytest.raises(EnvironmentFailure, match=r"the database postgresql://somebody@127\.0\.0\.1") as caught:
        check_storage(url, "tiny", is_new=True)
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert PASSWORD not in without_password(url)


@pytest.mark.parametrize("option", ["password", "sslpassword", "passfile", "PWD", "sslkey", "access_token"])
def test_a_password_among_the_options_is_not_kept_either(option: str) -> None:
    url = f"postgresql://somebody@host/digits?sslmode=require&{option}={PASSWORD}"
    assert without_password(url) == "postgresql://somebody@host/digits?sslmode=require"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of our own, on loopback, with a password."""
    found = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        *map(Path, filter(None, [shutil.which("initdb")])),
    ]
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    folder = found[0].parent
    # Its programs refuse to run as root.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    home = Path(tempfile.mkdtemp(prefix="postgres-"))  # other users cannot read pytest's own folders
    home.chmod(0o755)
    (home / "password").write_text(PASSWORD)
    (home / "data").mkdir()
    if user:
        shutil.chown(home / "data", "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        subprocess.run([folder / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **user)  # type: ignore[call-overload]

    data, password = str(home / "data"), f"--pwfile={home / 'password'}"
    run("initdb", "-D", data, "-U", "digits", "--auth=scram-sha-256", password, "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c fsync=off"
    run("pg_ctl", "-D", data, "-w", "-l", f"{data}/log", "-o", options, "start")
    yield f"postgresql://digits:{PASSWORD}@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    shutil.rmtree(home)


@pytest.mark.postgres
def test_a_sweep_in_postgresql_is_read_back_by_optuna(tmp_path: Path, postgres_url: str) -> None:
    asked = config(tmp_path, name="shared", storage=postgres_url)
    run = run_here(plan_sweep(asked), Interrupter(5))
    summary = run.summary
    assert summary.interrupted
    with pytest.raises(UsageError, match="the database already has a study 'shared'; choose another --name"):
        plan_sweep(replace(asked, runs=tmp_path / "other"))
    assert PASSWORD not in (run.folder / "sweep.json").read_text()
    with pytest.raises(UsageError, match=r"with --storage postgresql://digits@.*; give --storage again"):
        plan_resumption(ResumeConfig(runs=tmp_path, name="shared"))
    with pytest.raises(
        EnvironmentFailure,
        match=r"cannot use the database postgresql://digits@.*: .*; fix that, or use --storage sqlite",
    ):
        plan_resumption(ResumeConfig(runs=tmp_path, name="shared", storage=without_password(postgres_url)))

    resumed = plan_resumption(ResumeConfig(runs=tmp_path, name="shared", storage=postgres_url))
    run = run_here(resumed)
    summary = run.summary
    assert (summary.interrupted, summary.database) == (False, "")
    trials = read_back(postgres_url, "shared")
    records = {record.trial: record for record in run.records}
    assert sorted(trial.user_attrs["trial"] for trial in trials) == sorted(records) == list(range(6))
    complete = [trial for trial in trials if trial.state == STATES.COMPLETE]
    best = min((record for record in records.values() if record.status == "finished"), key=lambda record: record.nll)
    assert min(complete, key=lambda trial: trial.value or 9.0).user_attrs["trial"] == best.trial
    for trial in trials:
        record = records[trial.user_attrs["trial"]]
        assert trial.params["model.name"] == record.recipe.model.name
        assert len(trial.intermediate_values) == len(record.curve)
