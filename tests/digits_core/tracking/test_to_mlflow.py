"""MLflow: its own store here, a real server in `make test-all`; both read back with its own client."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as StoredRun

from digits_core.errors import EnvironmentFailure
from digits_core.inference.ensembling import build_ensemble
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.tracking.story import story
from digits_core.tracking.to_mlflow import EPOCHS, FINGERPRINT, MLflow
from tests.helpers.paths import ROOT

SERVER = Path(os.environ.get("DIGITS_TEST_MLFLOW", ROOT / ".venv-mlflow/bin/mlflow"))


def send(run: Run, address: str) -> list[bool]:
    tracker, entries = MLflow(address), list(story(run))
    return [tracker.send(entry, entries[0]) for entry in entries]


def stored(address: str) -> dict[str, StoredRun]:
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("digits")
    return {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes seconds to create
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": ""}
    process = subprocess.Popen(
        [SERVER, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--artifacts-destination", tmp_path / "artifacts"],
        cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)


def check(run: Run, address: str) -> None:
    """Send twice, and compare what is there with what is stored."""
    assert all(send(run, address))
    assert not any(send(Run(run.folder), address))
    found, record = stored(address), run.ranked[0]
    parent, child = found["tiny"], found[f"tiny trial {record.trial}"]
    assert set(found) == {"tiny", *(f"tiny trial {one.trial}" for one in run.records)}
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params["optimizer.learning_rate"] == str(record.recipe.optimizer.learning_rate)
    assert child.data.metrics["validation_accuracy"] == record.validation.accuracy
    client = MlflowClient(address)
    curve = client.get_metric_history(child.info.run_id, "curve/validation_nll")
    assert [(point.step, point.value) for point in curve] == [(row.epoch, row.validation_nll) for row in record.curve]
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= {"README.md"}
    assert [file.path for file in client.list_artifacts(child.info.run_id)] == ["weights.safetensors"]
    assert {one.info.status for one in found.values()} <= {"FINISHED", "KILLED", "FAILED", "RUNNING"}


def test_a_run_and_its_trials_arrive_once(sweep_store: Run, store: str) -> None:
    check(sweep_store, store)


def test_what_was_cut_off_is_sent_again_and_nothing_twice(sweep_store: Run, store: str) -> None:
    send(sweep_store, store)
    client, record = MlflowClient(store), sweep_store.ranked[0]
    child = stored(store)[f"tiny trial {record.trial}"]
    client.set_tag(child.info.run_id, FINGERPRINT, "")  # as if it had been cut off before the end
    assert int(child.data.tags[EPOCHS]) == len(record.curve)
    assert send(sweep_store, store).count(True) == 1
    curve = client.get_metric_history(child.info.run_id, "curve/validation_nll")
    assert len(curve) == len(record.curve)
    assert len(client.get_metric_history(child.info.run_id, "validation_accuracy")) == 1


def test_a_figure_that_falls_is_the_latest(sweep_store: Run, store: str) -> None:
    """MLflow takes the value of the latest time, and of two of one time the larger."""
    send(sweep_store, store)
    first = next(iter(story(sweep_store)))
    figures = {**first.figures, "leader validation accuracy": 0.25}
    assert MLflow(store).send(replace(first, figures=figures), first)
    found = stored(store)["tiny"].data.metrics
    assert found["leader_validation_accuracy"] == 0.25
    assert found["leader_validation_nll"] == first.figures["leader validation nll"]


def test_what_may_change_is_no_parameter(sweep_store: Run, store: str) -> None:
    for method in ("greedy", "uniform"):
        build_ensemble(Run(sweep_store.folder), EnsembleConfig(top=2, method=method))
        send(Run(sweep_store.folder), store)
        assert stored(store)["tiny ensemble"].data.tags["method"] == method
    first = next(iter(story(Run(sweep_store.folder))))
    assert MLflow(store).send(replace(first, parameters={"seed": 99}), first)  # MLflow would refuse to change it
    assert stored(store)["tiny"].data.params["seed"] == "0"


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    monkeypatch.setattr("digits_core.tracking.to_mlflow.MlflowClient", lambda _: MlflowClient(store))
    tracker = MLflow("http://ana:secret@127.0.0.1:5000")
    assert (tracker.where, tracker.next_command) == ("http://127.0.0.1:5000", "open http://127.0.0.1:5000")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(EnvironmentFailure, match="check that a server runs there") as raised:
        MLflow(address)
    assert address in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.skipif(not SERVER.exists(), reason="MLflow's server is not there; `make test-all` installs it")
def test_a_real_server(sweep_store: Run, server: str) -> None:
    check(sweep_store, server)
