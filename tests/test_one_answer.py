"""Whoever is asked who leads, and by how much, gives the same answer; and a run's files are read once."""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_core.data.digits import Digits, Split
from digits_core.inference.classifier import open_classifier
from digits_core.judging.leaderboard import leaderboard
from digits_core.judging.leaderboard_document import leaderboard_document
from digits_core.recipe import Recipe
from digits_core.records import RunKind, RunSummary
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from reports.pages.report import write_report
from reports.rows.tables import collect
from sweeps.finishing.finish import finish
from sweeps.running.replay import choose_trial
from tests.helpers.command_line import run as digits
from tests.helpers.runs import make_header, opened_for, reread, train_into

SUMMARY = RunSummary(seconds=1.0, training_share=0.5, interrupted=False)
BASE = Recipe().with_overrides({"training.epochs": 3, "model.width": 8})


def compared(runs: Path, digits_: Digits, split: Split) -> Run:
    """Two recipes on two seeds; `steady` has the better mean, `lucky` the best single run and the worst."""
    header = replace(make_header(digits_, split, "versus"), kind=RunKind.COMPARISON, trial_count=4)
    writer = RunWriter.create(runs, header, split)
    steady, lucky = BASE, BASE.with_overrides({"model.name": "lenet"})
    for trial, (label, recipe, seed) in enumerate(
        [("steady", steady, 1), ("lucky", lucky, 1), ("steady", steady, 2), ("lucky", lucky, 2)]
    ):
        train_into(writer, split, trial, recipe.with_overrides({"training.seed": seed}), 1, label)
    nlls = {0: 0.5, 1: 0.1, 2: 0.6, 3: 3.0}  # as the records have it: who leads is read from them
    for trial, nll in nlls.items():
        path = writer.trial(trial).folder / "record.json"
        record = json.loads(path.read_text())
        record["validation"]["nll"] = nll
        path.write_text(json.dumps(record))
    writer.write_summary(SUMMARY)
    return writer.run


def confirmed(sweep: Run, split: Split) -> Run:
    """The sweep with its second recipe confirmed on two fresh seeds."""
    second = sweep.ranked[1]
    header = replace(sweep.header, name="confirmed", kind=RunKind.CONFIRMATION, trial_count=2)
    writer = RunWriter.create(sweep.folder, header, split)
    for trial, seed in enumerate((50, 51)):
        recipe = second.recipe.with_overrides({"training.seed": seed})
        train_into(writer, split, trial, recipe, 3, f"trial {second.trial}")
    writer.write_summary(SUMMARY)
    finish(writer.run)
    return reread(sweep)


@pytest.fixture(params=["sweep", "confirmed", "comparison", "training"])
def finished(request: pytest.FixtureRequest, sweep_store: Run, digits: Digits, split: Split, tmp_path: Path) -> Run:
    """A finished run of every kind that is ranked."""
    RunWriter(sweep_store.folder).write_summary(SUMMARY)
    if request.param == "comparison":
        return finish(compared(tmp_path / "runs", digits, split))
    if request.param == "training":
        header = replace(make_header(digits, split, "single"), kind=RunKind.TRAINING, trial_count=1)
        writer = RunWriter.create(tmp_path / "runs", header, split)
        train_into(writer, split, 0, BASE, 3, "mine")
        writer.write_summary(SUMMARY)
        return finish(writer.run)
    return finish(confirmed(reread(sweep_store), split) if request.param == "confirmed" else reread(sweep_store))


def test_everybody_names_the_same_recipe(finished: Run) -> None:
    first = leaderboard(finished, draws=10).rows[0].candidate
    expected = first.record.recipe.recipe_id
    best = json.loads((finished.folder / "best_parameters.json").read_text())
    assert Recipe.from_dict(best["recipe"]).recipe_id == expected

    classifier = open_classifier(finished.folder.parent, finished.name)  # predict, export and transfer
    home, record = choose_trial(finished, None)  # replay
    data = collect(finished)
    featured, inside = data.answered.featured[0], data.inside
    assert classifier.records[0].recipe.recipe_id == record.recipe.recipe_id == expected
    # And all use the same network of it: the first of its runs.
    assert (classifier.run.folder, classifier.records[0].trial) == (home.folder, record.trial)
    assert (home, record) == (first.home, first.runs[0])
    assert data.board.rows[0].candidate.record.recipe.recipe_id == expected
    assert featured.trial == first.trial
    wrong = home.test_probabilities(record.trial).argmax(axis=1) != home.test_labels
    assert featured.result.score.error_count == int(wrong.sum())
    assert inside is not None
    assert inside.trial == first.trial
    assert home.trial(record.trial).read_inside() is not None
    status, out, err = digits("show", finished.name, "--runs", str(finished.folder.parent), "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["best"]["trial"] == first.trial


def test_a_comparison_takes_the_best_mean_not_the_luckiest_run(tmp_path: Path, digits: Digits, split: Split) -> None:
    run = finish(compared(tmp_path, digits, split))
    assert leaderboard(run, draws=10).rows[0].candidate.name == "steady"
    assert run.ranked[0].label == "lucky"
    assert open_classifier(tmp_path, "versus").name == "versus/0"


def test_compare_and_leaderboard_print_the_same_p_values(tmp_path: Path, digits: Digits, split: Split) -> None:
    from digits_cli.printed.comparison import ComparisonOutcome, comparison_document, comparison_lines

    run = finish(compared(tmp_path, digits, split))
    outcome = ComparisonOutcome(run=run, report=None)
    ours = comparison_document(outcome)["rows"]
    theirs = leaderboard_document(run, leaderboard(run))["rows"]
    for key in ("rank", "to_leader", "to_leader_on_test", "validation", "test", "verdict"):
        assert [row[key] for row in ours] == [row[key] for row in theirs]
    assert ours[1]["to_leader_on_test"]["method"] == "seeds"
    status, out, _ = digits_lines(run)
    assert status == 0
    for label, text in comparison_lines(outcome):
        if "vs leader" in label or "on the test" in label:
            assert text in out


def digits_lines(run: Run) -> tuple[int, str, str]:
    return digits("leaderboard", run.name, "--runs", str(run.folder.parent))


def test_the_test_set_is_judged_with_the_same_correction(tmp_path: Path, digits: Digits, split: Split) -> None:
    """With three recipes, two tests: on either part the smaller p-value is doubled."""
    header = replace(make_header(digits, split, "three"), kind=RunKind.COMPARISON, trial_count=3)
    writer = RunWriter.create(tmp_path, header, split)
    for trial, (name, epochs) in enumerate((("cnn", 2), ("mlp", 1), ("lenet", 1))):
        train_into(writer, split, trial, BASE.with_overrides({"model.name": name}), epochs, name)
    run = opened_for(writer, writer.run.ranked)
    rows = leaderboard(run, draws=10).rows[1:]
    for part in ("to_leader", "on_test"):
        tests = [getattr(row, part) for row in rows]
        smaller, larger = sorted(tests, key=lambda one: float(one.p_value))
        assert smaller.corrected_p_value == pytest.approx(min(1.0, 2 * smaller.p_value))
        assert larger.corrected_p_value == pytest.approx(max(larger.p_value, smaller.corrected_p_value))


def opened_files(folder: Path, what: Any) -> Counter[str]:
    """How often each file below the folder is opened to be read while `what` runs."""
    counts: Counter[str] = Counter()
    active = [True]

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if active and event == "open" and str(arguments[0]).startswith(str(folder)) and not arguments[2] & 0o3:
            counts[str(Path(str(arguments[0])).relative_to(folder))] += 1

    sys.addaudithook(note)  # hooks cannot be removed
    try:
        what()
    finally:
        active.clear()
    return counts


def test_a_page_reads_every_file_once(sweep_store: Run, split: Split) -> None:
    RunWriter(sweep_store.folder).write_summary(SUMMARY)
    run = confirmed(reread(sweep_store), split)
    folder = run.folder
    counts = opened_files(folder, lambda: write_report(reread(run)))
    assert counts["sweep.json"] == counts["validation_labels.npy"] == 1
    assert counts["trials/00001/record.json"] == counts["confirmed/trials/00000/validation.npy"] == 1
    twice = {name: count for name, count in counts.items() if count > 1}
    assert set(twice) <= {".", "trials", "confirmed", "confirmed/trials"}  # folders are listed, not read


def test_a_frozen_run_keeps_what_it_has_read(sweep_store: Run) -> None:
    first = sweep_store.validation_probabilities(0)
    assert sweep_store.validation_probabilities(0) is first
    assert not first.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = np.float32(2)
