from pathlib import Path

import pytest

from digits_cli.printed.runs import list_document, list_lines, run_document, run_lines, trial_document, trial_lines
from digits_core.errors import UsageError
from digits_core.records import Assignment, RunSummary, status_counts
from digits_core.runs.journal import Journal
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.view.run_state import RunState, list_runs, remove_run, trial_of
from tests.helpers.runs import reread


def journalled(store: Run) -> None:
    """Write a journal with the store's trials and one more that is running."""
    with Journal(store.folder) as journal:
        journal.session(1, 5.0)
        for record in store.records:
            journal.drawn(Assignment(trial=record.trial, recipe=record.recipe))
            journal.over(record.trial, record.status)
        journal.drawn(Assignment(trial=5, recipe=record.recipe))
        journal.epoch(5, 1, 0.5)
        journal.epoch(5, 2, 0.4)


def test_a_run_is_shown_while_it_runs_and_after_it_was_interrupted(sweep_store: Run) -> None:
    journalled(sweep_store)
    with sole_driver(sweep_store.folder):
        running = RunState.of(reread(sweep_store))
        size = sum(path.stat().st_size for path in sweep_store.folder.rglob("*") if path.is_file())
    cut = RunState.of(reread(sweep_store))
    RunWriter(sweep_store.folder).write_summary(RunSummary(seconds=1.0, training_share=0.5, interrupted=False))
    over = RunState.of(reread(sweep_store))
    assert [state.state for state in (running, cut, over)] == ["running", "interrupted", "over"]

    document, best = run_document(running), reread(sweep_store).ranked[0]
    assert (
        document["trials"] == status_counts(reread(sweep_store).records) == {"finished": 3, "stopped": 1, "failed": 1}
    )
    assert (document["running"], document["best"]["trial"]) == ({"5": 2}, best.trial)
    assert document["bytes"] == size
    lines = dict(run_lines(running))
    assert lines["trials"] == "5 of 5: 3 finished, 1 stopped early, 1 failed"
    assert lines["running"] == "5 (epoch 2)"
    assert lines["next"].startswith("digits watch tiny")
    assert dict(run_lines(cut))["next"].startswith("digits resume tiny")
    assert dict(run_lines(over))["next"].startswith("digits report tiny")


def test_a_trial_is_shown_with_its_recipe_and_its_error(sweep_store: Run) -> None:
    good, failed = trial_of(sweep_store, 1), trial_of(sweep_store, 4)
    lines = trial_lines(sweep_store, good)
    assert ("  model.name", "mlp") in lines
    assert dict(lines)["epochs"] == f"3 of 3, best {good.best_epoch}"
    assert trial_document(sweep_store, good)["curve"][2]["epoch"] == 3
    errors = [text for label, text in trial_lines(sweep_store, failed) if label == "error"]
    assert errors[0] == "Traceback"
    assert errors[-1].startswith("RuntimeError: ")
    with pytest.raises(UsageError, match="'tiny' has no trial 7; it has 5"):
        trial_of(sweep_store, 7)
    journalled(sweep_store)
    with pytest.raises(UsageError, match="trial 5 of 'tiny' has not ended yet"):
        trial_of(reread(sweep_store), 5)


def test_damaged_runs_are_listed_as_damaged(sweep_store: Run, tmp_path: Path) -> None:
    runs = sweep_store.folder.parent
    (runs / "broken").mkdir()
    (runs / "broken" / "sweep.json").write_text("{")
    listed = {row["sweep"]: row for row in list_document(list_runs(runs))}
    assert listed["tiny"]["trials"]["finished"] == 3
    assert listed["broken"]["state"] == "damaged"
    assert "cannot use" in listed["broken"]["problem"]
    lines = dict(list_lines(runs, list_runs(runs)))
    assert "sweep on sklearn-digits, interrupted, 5 of 5 trials" in lines["tiny"]
    assert lines["broken"].startswith("damaged: ")
    (runs / ".removing-tiny-1").mkdir()  # left by an rm that was killed
    (runs / ".removing-tiny-1" / "sweep.json").write_text("{}")
    assert set(dict(list_lines(runs, list_runs(runs)))) == {"tiny", "broken", "next"}
    with pytest.raises(UsageError, match="is not a folder"):
        list_runs(sweep_store.folder / "sweep.json")
    assert dict(list_lines(tmp_path / "none", list_runs(tmp_path / "none")))["next"].startswith(
        "digits sweep --trials 100"
    )


def test_removing_a_run_deletes_nothing_else(sweep_store: Run, tmp_path: Path) -> None:
    runs = sweep_store.folder.parent
    with sole_driver(sweep_store.folder), pytest.raises(UsageError, match="is running"):
        remove_run(runs, "tiny")
    for name in ("..", "tiny/trials", "tin", ""):
        with pytest.raises(UsageError):
            remove_run(runs, name)
    elsewhere = tmp_path / "elsewhere"
    sweep_store.folder.rename(elsewhere)
    (runs / "linked").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link"):
        remove_run(runs, "linked")
    (runs / "linked").unlink()
    elsewhere.rename(runs / "tiny")
    size = sum(path.stat().st_size for path in (runs / "tiny").rglob("*") if path.is_file())
    assert remove_run(runs, "tiny") >= size
    assert list(runs.iterdir()) == []
