import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.recipe import Recipe
from digits_core.records import RunRecord
from sweeps.assignments import Drawn
from sweeps.config import SweepConfig
from sweeps.runner import plan_sweep, run_trials, training_share
from sweeps.space import Choice, Float, Space
from tests.processes import children_of


class Recorder:
    """A view that remembers its events."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.epochs: dict[int, list[int]] = {}
        self.over: list[RunRecord] = []
        self.closed = False

    def trial_started(self, trial: int) -> None:
        self.started.append(trial)

    def trial_advanced(self, trial: int, epoch: int) -> None:
        self.epochs.setdefault(trial, []).append(epoch)

    def trial_over(self, record: RunRecord) -> None:
        self.over.append(record)

    def tick(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def config(runs: Path, **changes: object) -> SweepConfig:
    return SweepConfig(**{"runs": runs, "name": "test", "trials": 6, "max_epochs": 3, "concurrency": 2, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "--trials must be between 1 and 99,999, got 0"),
        ({"max_epochs": -1}, "--max-epochs must be between 1 and 100,000"),
        ({"concurrency": 0}, "--concurrency must be between 1 and 1,000"),
        ({"seed": -1}, "--seed must be between 0 and"),
        ({"seed": 2**32 - 6}, "--seed must be between 0 and 4294967289"),
        ({"name": "../x"}, "cannot be a sweep's name"),
        ({"dataset": "mnits"}, "did you mean 'mnist'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        plan_sweep(config(tmp_path / "runs", **changes))
    assert not (tmp_path / "runs").exists()


def test_unwritable_runs_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="cannot write"):
        plan_sweep(config(tmp_path / "file"))


def test_every_trial_has_a_seed_of_its_own() -> None:
    drawn = {"trial": 4, "model.name": "mlp"}
    recipe = Drawn(base=Recipe(), space={}, seed=100, trial_count=9).assigned(drawn).recipe
    assert (recipe.training.seed, recipe.model.name) == (104, "mlp")


def test_training_share_by_hand() -> None:
    # Two workers for 10 s: 20 s of worker time, 15 of them busy.
    assert training_share([(0.0, 6.0, 5.0), (0.0, 10.0, 8.0), (6.0, 9.0, 2.0)], 2) == pytest.approx(0.75)
    assert training_share([], 2) == 0.0


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_sweep_runs_every_trial(tmp_path: Path) -> None:
    plan, view = plan_sweep(config(tmp_path)), Recorder()
    store, summary = run_trials(plan, view)
    records = store.records()
    assert [record.trial for record in records] == list(range(6))
    assert sorted(view.started) == list(range(6))
    assert {record.trial: record for record in view.over} == {record.trial: record for record in records}
    assert view.closed
    assert not summary.interrupted
    assert 0 < summary.training_share < 1
    assert store.summary() == summary
    for record in records:
        assert record.recipe.training.seed == record.trial
        assert record.thread_count == 1
        assert view.epochs[record.trial] == list(range(1, len(record.curve) + 1))
        assert record.status == ("finished" if len(record.curve) == 3 else "stopped")
        assert not (store.trial(record.trial).folder / "progress.json").exists()
    assert isinstance(plan.recipes, Drawn)
    assert records[0].recipe == plan.recipes.base


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_failed_trials_are_rows_and_the_sweep_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Learning rates that reach far beyond what trains, so that some trials diverge for real.
    plan = plan_sweep(config(tmp_path, trials=8))
    wild: Space = {
        "optimizer.name": Choice(options=("adamw", "sgd")),
        "optimizer.learning_rate": Float(low=0.005, high=100.0, log=True),
    }
    view = Recorder()
    assert isinstance(plan.recipes, Drawn)
    store, summary = run_trials(replace(plan, recipes=replace(plan.recipes, space=wild)), view)
    records = store.records()
    failed = [record for record in records if record.status == "failed"]
    assert len(records) == 8
    assert 0 < len(failed) < 8
    assert not summary.interrupted
    for record in failed:
        assert record.error is not None
        assert "Diverged" in record.error
        assert not any(row.validation_nll != row.validation_nll for row in record.curve)
    assert records[0].status == "finished"
    assert not set(failed) & set(store.ranked())
    assert capfd.readouterr() == ("", "")  # rows, not log lines


class WorkerKiller(Recorder):
    """Kills the process of the first trial that reports an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.victims: list[int] = []

    def trial_advanced(self, trial: int, epoch: int) -> None:
        super().trial_advanced(trial, epoch)
        if not self.victims:
            self.victims = own_workers()
            os.kill(self.victims[0], signal.SIGKILL)


def own_workers() -> list[int]:
    """Processes of Ray's workers whose raylet is a child of this process."""
    return [
        worker
        for child in children_of(os.getpid())
        for worker in children_of(child)
        if b"ray::Worker" in Path(f"/proc/{worker}/cmdline").read_bytes()
    ]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker through /proc")
@pytest.mark.usefixtures("ray_session")
def test_a_killed_worker_is_a_failed_row_and_the_sweep_goes_on(tmp_path: Path) -> None:
    view = WorkerKiller()
    store, summary = run_trials(plan_sweep(config(tmp_path)), view)
    records = store.records()
    assert view.victims
    assert len(records) == 6
    assert not summary.interrupted
    (failed,) = (record for record in records if record.status == "failed")
    assert failed.error is not None
    assert "died" in failed.error.lower()
    assert all(record.validation is not None for record in records if record is not failed)
