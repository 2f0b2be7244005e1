from dataclasses import replace

import numpy as np
import pytest

from digits_core.data.datasets import MNIST_CONTESTED_TESTS
from digits_core.data.digits import Digits, Split
from digits_core.inference.ensembling import build_ensemble
from digits_core.judging.candidates import candidates
from digits_core.metrics import score
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from reports.rows.answers import _pictures, _Tally, answered
from reports.rows.tables import collect
from tests.helpers.runs import opened_for, reread, train_into


def test_every_view_agrees_with_the_stored_predictions(sweep_store: Run, digits: Digits) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    found = collect(sweep_store).answered
    leader, ensemble = found.featured
    assert (leader.key, leader.part, ensemble.key, ensemble.part) == (
        "leader",
        "sealed test",
        "ensemble",
        "sealed test",
    )
    assert ensemble.result.score == score(sweep_store.test_labels, sweep_store.ensemble_test_probabilities)
    assert [view.key for view in found.trials if view.part == "validation"] == [
        f"trial-{record.trial}" for record in sweep_store.ranked
    ]
    tested = {view.key for view in found.trials if view.part == "sealed test"}
    assert tested == {"trial-0-test", "trial-1-test", "trial-2-test"}
    assert len({view.key for view in found.views}) == len(found.views)
    for view in found.views:
        errors = view.result.score.error_count
        assert view.confusion.sum() == view.result.score.n
        assert view.confusion.sum() - np.trace(view.confusion) == errors == len(view.mistakes)
        margins = view.mistakes.p_likeliest[:, 0] - view.mistakes.p_true
        assert (np.diff(margins) <= 1e-7).all()
        assert np.array_equal(digits.labels[view.mistakes.images], view.mistakes.labels)
        assert (view.mistakes.likeliest[:, 0] != view.mistakes.labels).all()


def test_images_say_how_many_models_miss_them(sweep_store: Run) -> None:
    sweep_store = opened_for(sweep_store)
    found = collect(sweep_store).answered
    labels, indices = sweep_store.validation_labels, sweep_store.validation_indices.tolist()
    wrong = np.stack(
        [sweep_store.validation_probabilities(r.trial).argmax(axis=1) != labels for r in sweep_store.ranked]
    )
    seen = [picture for picture in found.pictures if picture.index in indices]
    assert len(seen) == wrong.any(axis=0).sum()
    for picture in seen:
        assert (picture.missed.by, picture.missed.of) == (wrong[:, indices.index(picture.index)].sum(), 4)
    on_test = [picture for picture in found.pictures if picture.index not in indices]
    assert {(picture.missed.by, picture.missed.of) for picture in on_test} == {(1, 1)}


def test_runs_on_fresh_seeds_count_as_models_too(sweep_store: Run, split: Split) -> None:
    sweep_store = opened_for(sweep_store)
    header = replace(reread(sweep_store).header, name="confirmed", kind="confirmation")
    confirmed = RunWriter.create(sweep_store.folder, header, split)
    second = reread(sweep_store).ranked[1]
    for trial, seed in enumerate((50, 51)):
        train_into(
            confirmed, split, trial, second.recipe.with_overrides({"training.seed": seed}), 3, f"trial {second.trial}"
        )
    confirmed = opened_for(confirmed, reread(confirmed).ranked, "confirmation")
    found = collect(reread(sweep_store)).answered
    assert found.featured[0].title == f"Leader (trial {second.trial}), first of 2 fresh seeds"
    assert found.featured[0].trial == second.trial
    tested = set(reread(sweep_store).test_indices.tolist())
    assert {picture.missed.of for picture in found.pictures if picture.index in tested} == {3}


def test_rescued_and_broken_images_are_on_the_page(sweep_store: Run) -> None:
    build_ensemble(reread(sweep_store), EnsembleConfig(top=3, method="uniform"))
    record = reread(sweep_store).ensemble
    assert record is not None
    assert record.against_single is not None
    forced = replace(record, against_single=replace(record.against_single, rescued=(3, 5), broken=(8,)))
    RunWriter(sweep_store.folder).write_ensemble(
        forced, reread(sweep_store).ensemble_validation_probabilities, reread(sweep_store).ensemble_test_probabilities
    )
    found = collect(reread(sweep_store)).answered
    indices = reread(sweep_store).test_indices
    assert [picture.index for picture in found.rescued] == indices[[3, 5]].tolist()
    assert [picture.index for picture in found.broken] == indices[[8]].tolist()
    assert [picture.label for picture in found.rescued] == reread(sweep_store).test_labels[[3, 5]].tolist()


def test_disputed_labels_are_marked(digits: Digits) -> None:
    index = 60_000 + MNIST_CONTESTED_TESTS[0]
    first, second = _pictures({index: 5, 3: 1}, _Tally(), None, (index,))
    assert (first.contested, second.contested) == (True, False)
    assert first.name == f"{index} of the whole data set"


def test_only_the_best_trials_list_their_mistakes(sweep_store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.rows.answers.DETAILED_TRIALS", 2)
    found = answered(sweep_store, candidates(sweep_store)[0], None, None)
    assert [len(view.mistakes) > 0 for view in found.trials] == [True, True, False, False]
    assert all(view.confusion.sum() == len(reread(sweep_store).validation_labels) for view in found.trials)
