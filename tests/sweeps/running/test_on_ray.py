"""What Ray and Ray Tune have to do with a run. What does not depend on them: test_runner.py, without Ray."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from digits_core.runs.journal import read_journal
from sweeps.plans.comparing import plan_comparison
from sweeps.plans.config import ComparisonConfig
from sweeps.plans.planning import plan_sweep
from sweeps.running.runner import run_trials
from tests.helpers.executors import InThisProcess
from tests.helpers.sweeps import Recorder, config, outcomes, own_workers

pytestmark = pytest.mark.usefixtures("ray_session")

RECIPES = [
    {"model.name": "mlp"},
    {"model.name": "cnn", "model.width": 4},
    {"optimizer.name": "sgd", "optimizer.learning_rate": 100.0},  # diverges
    {"model.name": "lenet", "training.epochs": 2},
]


def test_ray_and_this_process_train_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-a-log")
    (tmp_path / "list").write_text("\n".join(map(json.dumps, RECIPES)))
    plan, view = plan_sweep(config(tmp_path, trials=None, configs=tmp_path / "list")), Recorder()
    run = run_trials(plan, view)
    summary = run.summary
    assert capfd.readouterr() == ("", "")  # failures go into the records, not the log
    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    assert (logs / "runtime_env_agent.log").stat().st_size > 0
    assert not any(b"not-for-a-log" in path.read_bytes() for path in logs.rglob("*") if path.is_file())
    assert not summary.interrupted
    assert 0 < summary.training_share < 1
    assert [record.status for record in run.records] == ["finished", "finished", "failed", "finished"]
    assert {record.thread_count for record in run.ranked} == {1}
    assert sorted(view.started) == [0, 1, 2, 3]
    for record in run.ranked:
        assert view.epochs[record.trial] == list(range(1, len(record.curve) + 1))
    (tmp_path / "here").mkdir()
    here = run_trials(replace(plan, runs=tmp_path / "here"), Recorder(), InThisProcess())
    assert outcomes(here) == outcomes(run)
    assert read_journal(here.folder).trials.keys() == read_journal(run.folder).trials.keys()


class Stopper(Recorder):
    """Stops the first worker at its first epoch, as Ctrl-Z would."""

    def trial_advanced(self, trial: int, epoch: int) -> None:
        super().trial_advanced(trial, epoch)
        if len(self.started) == 1:
            (worker,) = own_workers()
            os.kill(worker, signal.SIGSTOP)


class StopperAndKiller(Stopper):
    """Kills the second worker once it has taken a step further than the first."""

    def trial_advanced(self, trial: int, epoch: int) -> None:
        super().trial_advanced(trial, epoch)
        if len(self.started) == 2 and epoch == 3:
            (worker,) = own_workers()
            os.kill(worker, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker through /proc")
def test_a_trial_goes_on_in_another_process_until_it_has_failed_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.running.on_ray.SECONDS_OF_SILENCE", 0.5)
    # The limit is only for a driver that does not notice: this test must then fail, not wait.
    asked = {"trials": 1, "max_epochs": 6, "concurrency": 1, "scheduler": "none", "trial_timeout_seconds": 120.0}
    view = StopperAndKiller()
    run = run_trials(plan_sweep(config(tmp_path, max_failures=1, **asked)), view)
    (record,) = run.records
    assert not run.summary.interrupted
    assert (view.started, view.retried) == ([0, 0], [0])
    assert any(
        "the process of trial 0 (" in note and "is stopped: going on in another one" in note for note in view.notes
    )
    assert (record.status, len(record.curve)) == ("failed", 3)
    assert "died" in str(record.error).lower()
    assert read_journal(run.folder).trials[0].retries == 1


def test_a_trial_that_takes_too_long_is_ended_and_says_where_it_stood(tmp_path: Path) -> None:
    # The first step of a fresh process takes longer than this limit.
    plan = plan_sweep(config(tmp_path, trials=1, max_failures=0, trial_timeout_seconds=0.001))
    run = run_trials(plan, Recorder())
    summary = run.summary
    (record,) = run.records
    assert not summary.interrupted
    assert record.status == "failed"
    assert record.failure == "the trial took longer than 0.001 s (--trial-timeout)"
    assert "Thread 0x" in str(record.error)
    assert not (run.trial(0).folder / "timeout.txt").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker through /proc")
def test_a_worker_that_was_stopped_is_ended_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a hang of its node, which does not show that its process was stopped."""
    monkeypatch.setattr("sweeps.running.on_ray.SECONDS_TO_END_ITSELF", 0.0)
    monkeypatch.setattr("sweeps.running.on_ray.SECONDS_OF_SILENCE", 1.0)
    monkeypatch.setattr("sweeps.running.on_ray._is_stopped", lambda _: False)
    asked = {"trials": 1, "max_epochs": 200, "concurrency": 1, "scheduler": "none", "trial_timeout_seconds": 5.0}
    view = Stopper()
    run = run_trials(plan_sweep(config(tmp_path, max_failures=0, **asked)), view)
    summary = run.summary
    (record,) = run.records
    assert not summary.interrupted
    assert record.failure == "the trial took longer than 5 s (--trial-timeout)"
    (told,) = view.notes
    assert told.startswith("no news of trial 0 for ")
    assert told.endswith("an epoch is slow, or its process or node hangs; --trial-timeout ends such trials")


@pytest.mark.slow
def test_a_population_s_states_travel_to_the_workers_of_its_next_generation(tmp_path: Path) -> None:
    asked = config(tmp_path, trials=9, max_epochs=2, scheduler="pbt", concurrency=1)
    run = run_trials(plan_sweep(asked), Recorder())
    summary = run.summary
    assert not summary.interrupted
    children = [record for record in run.records if record.parent is not None]
    assert children
    assert all(record.counts and record.inherited_epochs for record in children)


class KillerOfTheSecond(Recorder):
    """Kills the worker of the second company once it has trained two epochs."""

    def trial_advanced(self, trial: int, epoch: int) -> None:
        super().trial_advanced(trial, epoch)
        if (trial, epoch) == (3, 2) and not self.retried:
            (worker,) = own_workers()
            os.kill(worker, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker through /proc")
def test_a_company_is_one_trial_of_tune_s_and_survives_its_worker(tmp_path: Path) -> None:
    asked = plan_comparison(
        ComparisonConfig(
            runs=tmp_path,
            name="test",
            recipe_names=("lenet",),
            dataset="sklearn-digits",
            seeds=4,
            concurrency=2,
            overrides={"training.epochs": 3},
        )
    )
    one_at_a_time = replace(asked, header=replace(asked.header, concurrency=1))
    view = KillerOfTheSecond()
    run = run_trials(one_at_a_time, view)
    assert (view.started, view.retried) == ([0, 1, 2, 3, 2, 3], [2, 3])
    (tmp_path / "here").mkdir()
    here = run_trials(replace(one_at_a_time, runs=tmp_path / "here"), Recorder(), InThisProcess())
    assert outcomes(here) == outcomes(run)
    assert [record.company for record in run.records] == [(0, 1), (0, 1), (2, 3), (2, 3)]
