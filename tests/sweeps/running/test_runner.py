import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typing_extensions import override

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.metrics import score
from digits_core.records import RunRecord
from digits_core.runs.journal import read_journal
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.plans.config import ResumeConfig
from sweeps.plans.ending import Ending
from sweeps.plans.planning import plan_resumption, plan_sweep
from sweeps.running.runner import run_trials
from sweeps.space.assignments import Drawn
from sweeps.space.spaces import Choice, Float, Space
from tests.helpers.executors import InThisProcess, loses, run_here
from tests.helpers.sweeps import Interrupter, Killed, Recorder, config, outcomes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "--trials must be between 1 and 99,999, got 0"),
        ({"max_epochs": -1}, "--max-epochs must be between 1 and 100,000"),
        ({"concurrency": 0}, "--concurrency must be between 1 and 1,000"),
        ({"seed": -1}, "--seed must be between 0 and"),
        ({"seed": 2**32 - 6}, "--seed must be between 0 and 4294967289"),
        ({"name": "../x"}, "cannot be a run's name"),
        ({"dataset": "mnits"}, "did you mean 'mnist'"),
        ({"search": "tpp"}, "unknown search 'tpp'; did you mean 'tpe'"),
        ({"objectives": ("nll", "params"), "search": "cmaes"}, "--search cmaes supports only one objective"),
        ({"objectives": ("nll", "params"), "scheduler": "asha"}, "would stop the small networks; with several"),
        ({"objectives": ("nll", "params"), "configs": Path("x")}, "exactly as given: leave out --objective"),
        ({"scheduler": "ahsa"}, "unknown scheduler 'ahsa'; did you mean 'asha'"),
        ({"max_failures": -1}, "--max-failures must be between 0 and 100, got -1"),
        ({"keep": 0}, "--keep must be between 1 and 99,999, got 0"),
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


def test_sweep_runs_every_trial(tmp_path: Path) -> None:
    plan, view = plan_sweep(config(tmp_path)), Recorder()
    run = run_here(plan, view)
    summary = run.summary
    records = run.records
    assert [record.trial for record in records] == list(range(6))
    assert sorted(view.started) == list(range(6))
    assert {record.trial: record for record in view.over} == {record.trial: record for record in records}
    assert view.closed
    assert not summary.interrupted
    assert 0 < summary.training_share < 1
    assert Run(plan.folder).summary == summary
    assert {trial.status for trial in read_journal(run.folder).over} == {record.status for record in records}
    for record in records:
        assert record.recipe.training.seed == record.trial
        assert record.thread_count == 1
        assert view.epochs[record.trial] == list(range(1, len(record.curve) + 1))
        assert record.status == ("finished" if len(record.curve) == 3 else "stopped")
        assert {path.name for path in run.trial(record.trial).folder.iterdir()} == {
            "record.json", "validation.npy", "weights.safetensors",
        }  # fmt: skip
    assert isinstance(plan.recipes, Drawn)
    assert records[0].recipe == plan.recipes.base


def test_failed_trials_are_recorded_and_the_sweep_goes_on(tmp_path: Path) -> None:
    # Learning rates that reach far beyond what trains, so that some trials diverge for real.
    plan = plan_sweep(config(tmp_path, trials=8))
    wild: Space = {
        "optimizer.name": Choice(options=("adamw", "sgd")),
        "optimizer.learning_rate": Float(low=0.005, high=100.0, log=True),
    }
    view = Recorder()
    assert isinstance(plan.recipes, Drawn)
    run = run_here(replace(plan, recipes=replace(plan.recipes, space=wild)), view)
    summary = run.summary
    records = run.records
    failed = [record for record in records if record.status == "failed"]
    assert len(records) == 8
    assert 0 < len(failed) < 8
    assert not summary.interrupted
    for record in failed:
        assert record.error is not None
        assert "Diverged" in record.error
        assert not any(row.validation_nll != row.validation_nll for row in record.curve)
    assert records[0].status == "finished"
    assert not set(failed) & set(run.ranked)


@pytest.mark.usefixtures("every_state")
def test_a_trial_whose_worker_is_lost_goes_on_where_it_was(tmp_path: Path) -> None:
    asked = config(tmp_path, search="random", scheduler="none")
    undisturbed = run_here(plan_sweep(replace(asked, name="undisturbed")))
    view = Recorder()
    run = run_here(plan_sweep(asked), view, InThisProcess(loses((1, 1), (3, 2), (3, 3))))
    summary = run.summary
    assert not summary.interrupted
    assert view.retried == [1, 3, 3]
    assert {number: trial.retries for number, trial in read_journal(run.folder).trials.items()} == {
        0: 0, 1: 1, 2: 0, 3: 2, 4: 0, 5: 0,
    }  # fmt: skip
    assert outcomes(run) == outcomes(undisturbed)
    assert view.epochs[3] == [1, 1, 2, 2, 3]  # what each attempt was given is reported, and not trained again


def test_without_retries_a_lost_worker_is_a_failed_trial_and_the_sweep_goes_on(tmp_path: Path) -> None:
    plan = plan_sweep(config(tmp_path, max_failures=0, scheduler="none"))
    run = run_here(plan, executor=InThisProcess(loses((2, 2), (4, 1))))
    summary = run.summary
    records = run.records
    assert not summary.interrupted
    assert [record.status for record in records] == ["finished", "finished", "failed", "finished", "failed", "finished"]
    assert [len(record.curve) for record in records] == [3, 3, 1, 3, 0, 3]
    assert records[2].failure == "OSError: the process was lost"
    assert not run.trial(2).has_weights
    assert 2 not in {record.trial for record in run.ranked}


def test_only_the_best_keep_their_weights(tmp_path: Path) -> None:
    run = run_here(plan_sweep(config(tmp_path, keep=2)))
    kept = {record.trial for record in run.records if run.trial(record.trial).has_weights}
    assert kept == {record.trial for record in run.ranked[:2]}
    assert all(len(run.validation_probabilities(trial)) == 360 for trial in range(6))


@pytest.mark.usefixtures("every_state")
def test_a_search_that_is_cut_off_again_and_again_is_the_undisturbed_one(tmp_path: Path) -> None:
    # One at a time, because what TPE draws and ASHA stops depends on the order of the results.
    asked = {"trials": 9, "max_epochs": 4, "concurrency": 1}
    undisturbed = run_here(plan_sweep(config(tmp_path, name="undisturbed", **asked)))
    summary = undisturbed.summary
    assert not summary.interrupted

    plan, cuts, before = plan_sweep(config(tmp_path, name="cut", **asked)), 0, {}
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    while True:
        view = Interrupter(2 + cuts % 4, Killed if cuts % 2 else KeyboardInterrupt)
        with contextlib.suppress(Killed):
            run = run_here(plan, view)
            summary = run.summary
            if not summary.interrupted:
                break
        assert not before.keys() & set(view.started)  # nothing is run again
        run = Run(plan.folder)
        assert before.items() <= outcomes(run).items()
        before, cuts = outcomes(run), cuts + 1
        if cuts == 1:
            run.folder.rename(moved / "renamed")
        plan = plan_resumption(ResumeConfig(runs=moved, name="renamed"))
    assert cuts > 5
    assert outcomes(run) == outcomes(undisturbed)
    stored = Run(moved / "renamed").summary
    assert stored is not None
    assert not stored.interrupted


def test_a_finished_sweep_is_resumed_with_more_trials(tmp_path: Path) -> None:
    asked = {"search": "random", "scheduler": "none", "max_epochs": 1}
    whole = run_here(plan_sweep(config(tmp_path, name="whole", trials=5, **asked)))
    run_here(plan_sweep(config(tmp_path, name="grown", trials=3, **asked)))
    plan = plan_resumption(ResumeConfig(runs=tmp_path, name="grown", trials=5))
    assert "2 of 5 trials left (0 started)" in plan.line
    grown = run_here(plan)
    summary = grown.summary
    assert not summary.interrupted
    assert grown.header.trial_count == 5
    (grown.trial(1).folder / "record.json").unlink()  # so it is trained again
    assert "1 of 5 trials left (1 started)" in plan_resumption(ResumeConfig(runs=tmp_path, name="grown")).line
    grown = run_here(plan_resumption(ResumeConfig(runs=tmp_path, name="grown")))
    assert outcomes(grown) == outcomes(whole)


def test_a_run_s_folder_that_is_moved_ends_the_sweep(tmp_path: Path) -> None:
    class Mover(Recorder):
        @override
        def trial_over(self, record: RunRecord) -> None:
            (tmp_path / "test").rename(tmp_path / "elsewhere")

    plan = plan_sweep(config(tmp_path, trials=4, max_epochs=1))
    with pytest.raises(EnvironmentFailure, match=r"moved or removed .*; put it back and run: digits resume test"):
        run_trials(plan, Mover(), InThisProcess())
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert len(Run(tmp_path / "elsewhere").records) == 1


def test_what_cannot_be_resumed_is_refused(tmp_path: Path, sweep_store: Run) -> None:
    with pytest.raises(EnvironmentFailure, match=r"journal.jsonl \(it lacks trial 0, which has ended"):
        plan_resumption(ResumeConfig(runs=sweep_store.folder.parent, name="tiny"))
    run = run_here(plan_sweep(config(tmp_path, trials=2, max_epochs=1)))
    resumed = ResumeConfig(runs=tmp_path, name="test")
    with pytest.raises(UsageError, match="--trials must be at least 2, the number already started, got 1"):
        plan_resumption(replace(resumed, trials=1))
    with sole_driver(run.folder), pytest.raises(UsageError, match=r"'test' is running: process \d+ on"):
        plan_resumption(resumed)
    RunWriter(run.folder).write_header(replace(run.header, data_checksum="another"))
    with pytest.raises(EnvironmentFailure, match="not those that 'test' started with"):
        plan_resumption(resumed)


@dataclass(frozen=True, kw_only=True)
class DueWithTwoTrials(Ending):
    """A time budget that is used up once two trials have finished an epoch, however fast the machine is."""

    view: Recorder

    def is_due(self) -> bool:
        return len(self.view.epochs) == 2


def test_a_time_budget_ends_the_search_and_what_runs_counts_as_stopped(tmp_path: Path) -> None:
    view = Recorder()
    plan = plan_sweep(config(tmp_path, trials=None, max_epochs=10_000, scheduler="none", time_budget_seconds=1e6))
    assert not plan.ending.is_due()
    run = run_here(replace(plan, ending=DueWithTwoTrials(view=view)), view)
    summary = run.summary
    assert (summary.limit, summary.interrupted) == ("the time budget is used up", False)
    assert {record.status for record in run.records} == {"stopped"}
    history = read_journal(run.folder)
    assert len(history.over) == len(run.records) == 2
    for record in run.records:  # the stored predictions belong to the record
        labels, probabilities = run.validation_labels, run.validation_probabilities(record.trial)
        assert record.validation == score(labels, probabilities)
    with pytest.raises(UsageError, match="has used up its time budget; give it another"):
        plan_resumption(ResumeConfig(runs=tmp_path, name="test"))


def test_a_target_ends_the_search_and_the_trial_that_reached_it_wins(tmp_path: Path) -> None:
    run = run_here(plan_sweep(config(tmp_path, trials=50, max_epochs=40, target_accuracy=0.85)))
    summary = run.summary
    assert summary.limit.endswith("reached the target")
    assert not summary.interrupted
    records = run.records
    assert len(records) < 50
    reached = int(summary.limit.split()[1])
    (record,) = (record for record in records if record.trial == reached)
    assert record.validation is not None
    assert record.validation.accuracy >= 0.85
    plan = plan_resumption(ResumeConfig(runs=tmp_path, name="test", trials=len(records) + 2))
    run = run_here(plan)
    summary = run.summary
    assert (summary.limit, summary.interrupted) == ("", False)
    assert len(run.records) == plan.header.trial_count


def test_a_list_of_recipes_runs_as_given(tmp_path: Path) -> None:
    (tmp_path / "list").write_text('{"model.name": "mlp"}\n{"model.width": 4, "training.epochs": 1}\n')
    run = run_here(plan_sweep(config(tmp_path, trials=None, configs=tmp_path / "list")))
    kinds = [(record.recipe.model.name, len(record.curve), record.status) for record in run.records]
    assert kinds == [("mlp", 3, "finished"), ("cnn", 1, "finished")]
