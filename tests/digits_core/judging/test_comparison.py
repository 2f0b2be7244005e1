import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_core.data.digits import Digits, Split
from digits_core.judging.comparison import compare_runs, our_figures, published_as, reached
from digits_core.metrics import score
from digits_core.recipe import Recipe
from digits_core.recipes import RECIPES, named_recipe
from digits_core.records import RunRecord
from digits_core.runs.store import SweepStore
from digits_core.runs.trial_folder import best_files
from tests.helpers.models import answers
from tests.helpers.runs import make_header


@pytest.fixture
def store(tmp_path: object, digits: Digits, split: Split) -> SweepStore:
    """`good` on seeds 0 and 1 with 2 and 4 errors, `bad` with 10 and 14, and a run that failed."""
    header = replace(make_header(digits, split), kind="comparison")
    store = SweepStore.create(tmp_path, header, split)  # type: ignore[arg-type]
    labels = store.validation_labels()
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
    return store


def test_rows_by_hand(store: SweepStore) -> None:
    good, bad = compare_runs(store)
    n = store.header.validation_n
    assert (good.label, good.trials, good.seeds, good.test) == ("good", (0, 2), (0, 1), None)
    assert good.validation.error_counts == (2, 4)
    assert good.validation.accuracy.mean == pytest.approx(1 - 3 / n)
    assert good.validation.accuracy.best == pytest.approx(1 - 2 / n)
    assert good.validation.to_leader is None
    assert good.mean_nll < bad.mean_nll
    assert bad.validation.to_leader is not None
    assert bad.validation.to_leader.mean == pytest.approx(9 / n)
    assert bad.validation.to_leader.interval.low < 9 / n < bad.validation.to_leader.interval.high


def test_test_results_need_the_test_set_opened_for_all_runs(store: SweepStore) -> None:
    labels = np.arange(20, dtype=np.uint8) % 10
    store.write_test_part(labels, np.arange(20))
    for trial in range(3):
        store.write_test(trial, answers(labels, [trial], 0.8))
    assert [row.test for row in compare_runs(store)] == [None, None]
    store.write_test(3, answers(labels, [], 0.8))
    good, bad = compare_runs(store)
    assert good.test is not None
    assert bad.test is not None
    assert good.test.error_counts == (1, 1)
    assert bad.test.error_counts == (1, 0)


def test_published_figures_are_only_for_recipes_trained_as_published(store: SweepStore) -> None:
    row, header = compare_runs(store)[0], store.header
    lenet = replace(row, label="lenet", recipe=named_recipe("lenet").build().with_overrides({"training.seed": 7}))
    mnist = replace(header, dataset="mnist")
    assert published_as(lenet, mnist) is RECIPES["lenet"]
    assert published_as(lenet, header) is None  # other data
    assert published_as(lenet, replace(mnist, fold_count=4)) is None
    assert published_as(replace(lenet, recipe=lenet.recipe.with_overrides({"training.epochs": 1})), mnist) is None
    assert published_as(row, mnist) is None


@pytest.mark.parametrize(("published", "expected"), [(0.99, "mean"), (0.993, "best"), (0.999, "no"), (None, None)])
def test_reached_by_mean_by_best_or_by_none(store: SweepStore, published: float | None, expected: str | None) -> None:
    row = compare_runs(store)[0]  # 2 and 4 of 360 wrong: 99.44 and 98.89 %, mean 99.17 %
    assert reached(row, replace(RECIPES["lenet"], published_accuracy=published)) == expected


def test_our_figures_are_those_of_runs_trained_as_published(tmp_path: Path, digits: Digits, split: Split) -> None:
    def run(name: str, recipe: Recipe, errors: int, created_at: float, **header: object) -> SweepStore:
        described = make_header(digits, split, name, created_at)
        described = replace(described, kind="training", dataset="mnist", **header)  # type: ignore[arg-type]
        store = SweepStore.create(tmp_path, described, split)
        folder, labels = store.trial(0), store.validation_labels()
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
        return store

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


def test_a_recipe_with_a_run_missing_does_not_lead(store: SweepStore) -> None:
    (store.trial(2).folder / "record.json").unlink()  # the second seed of the better recipe
    assert [(row.label, row.seeds) for row in compare_runs(store)] == [("bad", (0, 1)), ("good", (0,))]
