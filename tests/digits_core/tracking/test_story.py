"""What trackers are told of a run: every figure is a stored one, and nothing is opened for them."""

from dataclasses import replace

import pytest

from digits_core.inference.ensembling import build_ensemble
from digits_core.metrics import score
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from digits_core.tracking.story import clock, curve_figures, slug, story


def test_a_run_its_trials_and_what_is_known_of_them(sweep_store: Run) -> None:
    first, *trials = story(sweep_store)
    assert (first.key, first.is_run, first.facts["data set"]) == ("tiny", True, "sklearn-digits")
    assert [one.key for one in trials] == [f"tiny/{record.trial}" for record in sweep_store.records]
    leading = sweep_store.ranked[0]
    assert first.facts["leader"] == f"trial {leading.trial}"
    assert first.figures["leader validation accuracy"] == pytest.approx(leading.validation.accuracy)
    assert first.figures["leader validation accuracy low"] < leading.validation.accuracy
    assert not any("test" in name for name in first.figures if name != "test openings")
    assert "README.md" in {file.name for file in first.files}
    for one, record in zip(trials, sweep_store.records, strict=True):
        assert one.parameters == record.recipe.as_overrides()
        assert one.status == record.status
        assert one.figures["train seconds"] == record.train_seconds
        assert not any(name.startswith("test") for name in one.figures)
    assert not sweep_store.ledger


def test_what_was_opened_is_told(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    run = Run(sweep_store.folder)
    entries = {one.key: one for one in story(run)}
    assert entries["tiny/ensemble"].figures["test errors"] == run.ensemble.chosen.test.error_count
    opened = next(member.trial for member in run.ensemble.members)
    expected = score(run.test_labels, run.test_probabilities(opened))
    assert entries[f"tiny/{opened}"].figures["test nll"] == expected.nll
    assert len(run.ledger) == 1  # the ensemble's own


def test_a_fingerprint_changes_with_the_entry_and_its_name_does_not(sweep_store: Run) -> None:
    before = {one.key: one for one in story(sweep_store)}
    again = {one.key: one for one in story(Run(sweep_store.folder))}
    assert {key: one.fingerprint for key, one in before.items()} == {key: one.fingerprint for key, one in again.items()}
    RunWriter(sweep_store.folder).append_to_ledger("a look", ())
    after = {one.key: one for one in story(Run(sweep_store.folder))}
    assert [key for key in before if before[key].fingerprint != after[key].fingerprint] == ["tiny"]
    assert before["tiny"].identifier == after["tiny"].identifier
    assert len({one.identifier for one in before.values()}) == len(before)
    renamed = sweep_store.folder.rename(sweep_store.folder.with_name("renamed"))
    assert [one.identifier for one in story(Run(renamed))] == [one.identifier for one in before.values()]


def test_an_epoch_has_its_figures_and_its_time(sweep_store: Run) -> None:
    entry = next(one for one in story(sweep_store) if one.curve)
    times = [at for _, at in clock(entry)]
    assert times[-1] - entry.started_at == pytest.approx(sum(row.seconds for row in entry.curve), abs=1e-4)
    row = replace(entry.curve[0], train_error_count=1, train_n=4, validation_error_count=1, validation_n=5)
    assert curve_figures(row)["train accuracy"] == 0.75
    assert curve_figures(row)["validation accuracy"] == pytest.approx(0.8)


def test_names_are_what_every_tracker_takes() -> None:
    assert slug("leader validation accuracy") == "leader_validation_accuracy"
    assert slug("version of scikit-learn: <b>") == "version_of_scikit-learn_b_"
