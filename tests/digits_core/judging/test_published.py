import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_core.data.digits import Digits, Split
from digits_core.judging.candidates import candidates
from digits_core.judging.leaderboard import leaderboard
from digits_core.judging.published import our_figures, published_as, reached
from digits_core.metrics import score
from digits_core.recipe import Recipe
from digits_core.recipes import RECIPES, named_recipe
from digits_core.records import RunRecord
from digits_core.runs.run import Run
from digits_core.runs.trial_folder import best_files
from digits_core.runs.writer import RunWriter
from tests.helpers.models import answers
from tests.helpers.runs import make_header


@pytest.fixture
def store(tmp_path: object, digits: Digits, split: Split) -> Run:
    """`good` on seeds 0 and 1 with 2 and 4 errors, `bad` with 10 and 14, and a run that failed."""
    header = replace(make_header(digits, split), kind="comparison")
    store = RunWriter.create(tmp_path, header, split)  # type: ignore[arg-type]
    labels = store.run.validation_labels
    runs = [("good", 0, 2), ("bad", 0, 10), ("good", 1, 4), ("bad", 1, 14)]
    for trial, (label, seed, errors) in enumerate(runs):
        probabilities = answers(labels, list(range(errors)), 0.9)
        folder = store.trial(trial)
        recipe = Recipe().with_overrides({"training.seed": seed})
        folder.complete(
            RunRecord(
                trial=trial, status="finished", recipe=recipe, started_at=0.0, ended_at=1.0, best_epoch=1,
                validation=score(labels, probabilities), label=label,
            ),
            best_files(probabilities, {"w": np.zeros(1)}),
        )  # fmt: skip
    failed = RunRecord(trial=4, status="failed", recipe=Recipe(), started_at=0.0, ended_at=1.0, error="x", label="none")
    store.trial(4).complete(failed, {})
    return store.run


def test_rows_by_hand(store: Run) -> None:
    good, bad = leaderboard(store, draws=100).rows
    n = store.header.validation_n
    first = good.candidate
    assert (first.name, [one.trial for one in first.runs], first.seeds, first.test) == ("good", [0, 2], (0, 1), None)
    assert first.validation.error_counts == (2, 4)
    assert first.validation.accuracy.mean == pytest.approx(1 - 3 / n)
    assert first.validation.accuracy.best == pytest.approx(1 - 2 / n)
    assert (good.to_leader, good.on_test, bad.on_test) == (None, None, None)
    assert first.mean_nll < bad.candidate.mean_nll
    assert bad.to_leader is not None
    assert bad.to_leader.error_rate == pytest.approx(9 / n)
    assert bad.to_leader.error_rate_interval.low < 9 / n < bad.to_leader.error_rate_interval.high


def test_test_results_need_the_test_set_opened_for_all_runs(store: Run) -> None:
    labels = np.arange(20, dtype=np.uint8) % 10
    writer = RunWriter(store.folder)
    writer.write_test_part(labels, np.arange(20))
    for trial in range(3):
        writer.write_test(trial, answers(labels, [trial], 0.8))
    good, bad = leaderboard(writer.run, draws=100).rows
    assert good.candidate.test is not None
    assert (bad.candidate.test, bad.on_test) == (None, None)
    writer.write_test(3, answers(labels, [], 0.8))
    good, bad = leaderboard(writer.run, draws=100).rows
    assert good.candidate.test is not None
    assert bad.candidate.test is not None
    assert good.candidate.test.error_counts == (1, 1)
    assert bad.candidate.test.error_counts == (1, 0)
    assert good.on_test is None
    assert bad.on_test is not None
    assert bad.on_test.error_rate == pytest.approx(-0.5 / 20)


def test_published_figures_are_only_for_recipes_trained_as_published(store: Run) -> None:
    def as_published(label: str, recipe: Recipe, **header: object) -> object:
        home = Run(store.folder)
        home.__dict__["header"] = replace(store.header, **{"dataset": "mnist", **header})  # type: ignore[arg-type]
        candidate = candidates(store)[0]
        record = replace(candidate.record, label=label, recipe=recipe)
        return published_as(replace(candidate, home=home, record=record, runs=(record,)))

    lenet = named_recipe("lenet").build().with_overrides({"training.seed": 7})
    assert as_published("lenet", lenet) is RECIPES["lenet"]
    assert as_published("lenet", lenet, dataset="sklearn-digits") is None  # other data
    assert as_published("lenet", lenet, fold_count=4) is None
    assert as_published("lenet", lenet.with_overrides({"training.epochs": 1})) is None
    assert as_published("good", Recipe()) is None


@pytest.mark.parametrize(("published", "expected"), [(0.99, "mean"), (0.993, "best"), (0.999, "no"), (None, None)])
def test_reached_by_mean_by_best_or_by_none(store: Run, published: float | None, expected: str | None) -> None:
    leads = candidates(store)[0]  # 2 and 4 of 360 wrong: 99.44 and 98.89 %, mean 99.17 %
    assert reached(leads, replace(RECIPES["lenet"], published_accuracy=published)) == expected


def test_our_figures_are_those_of_runs_trained_as_published(tmp_path: Path, digits: Digits, split: Split) -> None:
    def run(name: str, recipe: Recipe, errors: int, created_at: float, **header: object) -> Run:
        described = make_header(digits, split, name, created_at)
        described = replace(described, kind="training", dataset="mnist", **header)  # type: ignore[arg-type]
        store = RunWriter.create(tmp_path, described, split)
        folder, labels = store.trial(0), store.run.validation_labels
        test_labels = np.arange(100, dtype=np.uint8) % 10
        store.write_test_part(test_labels, np.arange(100))
        validation = score(labels, answers(labels, [], 0.9))
        folder.complete(
            RunRecord(
                trial=0, status="finished", recipe=recipe, started_at=0.0, ended_at=1.0, best_epoch=1,
                validation=validation, label="lenet",
            ),
            best_files(answers(labels, [], 0.9), {"w": np.zeros(1)}),
        )  # fmt: skip
        store.write_test(0, answers(test_labels, list(range(errors)), 0.8))
        return store.run

    lenet = named_recipe("lenet").build()
    run("a", lenet, 3, 1.0)
    run("b", lenet.with_overrides({"training.seed": 1}), 5, 2.0)
    run("again", lenet, 1, 3.0)  # seed 0 once more: the later one counts
    run("changed", lenet.with_overrides({"training.epochs": 9}), 50, 4.0)
    for number, damage in enumerate(("{", '"nll": null', '"nll": "low"', '"label": ["lenet"]')):
        record = run(f"damaged{number}", lenet, 1, 5.0 + number).trial(0).folder / "record.json"
        field = damage.partition(":")[0]
        record.write_text(damage if field == "{" else re.sub(field + r": [^,\n]+", damage, record.read_text()))
    ours = our_figures(tmp_path)
    assert set(ours) == {"lenet"}
    assert ours["lenet"].n == 100
    assert ours["lenet"].accuracy.n == 2
    assert ours["lenet"].accuracy.mean == pytest.approx(0.97)
    assert our_figures(tmp_path / "nowhere") == {}


def test_a_recipe_with_a_run_missing_does_not_lead(store: Run) -> None:
    (store.trial(2).folder / "record.json").unlink()  # the second seed of the better recipe
    assert [(one.name, one.seeds) for one in candidates(store)] == [("bad", (0, 1)), ("good", (0,))]
