"""Models made elsewhere and a run's own in one ranking."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_core.data.datasets import digits_at_hand
from digits_core.data.digits import Digits, Split
from digits_core.errors import UsageError
from digits_core.inference.ensembling import build_ensemble
from digits_core.judging.leaderboard import leaderboard
from digits_core.outside.images import (
    Images,
    are_for_test,
    images_of_dataset,
    images_of_handed,
    images_of_run,
    unopened_test_images,
)
from digits_core.outside.judged import entries_of, entries_of_run, judged, together
from digits_core.outside.predictions import HandedIn
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from tests.helpers.models import answers
from tests.helpers.runs import opened_for, reread

N = 200
LABELS = np.arange(N) % 10
IMAGES = Images(labels=LABELS, indices=None, part="labels", what="the labels")


def handed(wrong: range, model: str = "theirs", seed: str = "", confidence: float = 0.9) -> HandedIn:
    said = answers(LABELS, list(wrong), confidence)
    return HandedIn(
        model=model, seed=seed, source=Path(f"{model}.npz"), predicted=said.argmax(axis=1), probabilities=said,
        indices=None, labels=None,
    )  # fmt: skip


def digits_only(one: HandedIn) -> HandedIn:
    return replace(one, probabilities=None)


def test_seeds_of_a_model_are_judged_as_one() -> None:
    (entry,) = entries_of([handed(range(4), seed="1"), handed(range(6), seed="2")], IMAGES)
    assert (entry.name, entry.seeds, entry.answers.error_counts) == ("theirs", ("1", "2"), (4, 6))


@pytest.mark.parametrize("name", ["tree-seedling", "seed3", "forest-seeded-3", "forestseed3"])
def test_not_every_name_with_seed_in_it_has_one(name: str) -> None:
    (entry,) = entries_of([handed(range(4), name)], IMAGES)
    assert (entry.name, entry.seeds) == (name, ())


def test_the_first_seed_is_the_lowest() -> None:
    (entry,) = entries_of([handed(range(2), seed="10"), handed(range(3), seed="2")], IMAGES)
    assert (entry.seeds, entry.answers.error_counts) == (("2", "10"), (3, 2))


@pytest.mark.parametrize("name", ["forest-seed3", "forest_seed_3", "forest.seed3", "Forest Seed 3"])
def test_the_seed_may_be_in_the_name(name: str) -> None:
    (entry,) = entries_of([handed(range(4), name)], IMAGES)
    assert (entry.name.lower(), entry.seeds) == ("forest", ("3",))


def test_a_model_handed_in_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"both hold theirs; say which is which"):
        entries_of([handed(range(4)), handed(range(5))], IMAGES)


def test_digits_without_probabilities_are_ranked_by_error_rate() -> None:
    found = judged(
        entries_of([handed(range(9), "sure", confidence=0.99), digits_only(handed(range(4)))], IMAGES), IMAGES
    )
    assert found.ranked_by == "error_rate"
    assert [row.entry.name for row in found.rows] == ["theirs", "sure"]
    assert np.isnan(found.rows[0].entry.answers.mean_nll)
    to_leader = found.rows[1].to_leader
    assert to_leader is not None
    assert to_leader.error_rate == pytest.approx(5 / N)
    assert to_leader.p_value == pytest.approx(2 / 2**5)  # five images, one way: McNemar


def test_a_model_without_probabilities_leaves_the_others_their_nll() -> None:
    models = [handed(range(4), "one"), handed(range(20, 29), "two")]
    alone = judged(entries_of(models, IMAGES), IMAGES)
    beside = judged(entries_of([*models, digits_only(handed(range(70)))], IMAGES), IMAGES)
    assert beside.rows[1].to_leader is not None
    assert alone.rows[1].to_leader is not None
    ours, theirs = beside.rows[1].to_leader.nll_interval, alone.rows[1].to_leader.nll_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-4)
    assert beside.rows[2].to_leader is not None
    assert np.isnan(beside.rows[2].to_leader.nll_interval.low)


def test_some_seeds_with_probabilities_and_some_without_are_refused() -> None:
    with pytest.raises(UsageError, match="hand in one kind"):
        entries_of([handed(range(4), seed="1"), digits_only(handed(range(4), seed="2"))], IMAGES)


def test_the_best_of_several_handed_in_is_corrected_for_that() -> None:
    models = [handed(range(10 * place, 10 * place + 8), f"model {place}") for place in range(5)]
    found = judged(entries_of(models, IMAGES), IMAGES)
    assert found.selected is not None
    assert found.picked_from == 5
    assert found.selected.shown == 1 - 8 / N
    assert found.selected.accuracy < found.selected.shown
    assert judged(entries_of(models[:1], IMAGES), IMAGES).selected is None


def test_an_ensemble_of_all_is_scored_on_images_that_did_not_choose_it() -> None:
    entries = entries_of([handed(range(8), "one"), handed(range(50, 58), "other")], IMAGES)
    both = together(entries, IMAGES)
    assert both is not None
    assert both.answers.error_counts[0] <= 16
    assert both.detail == "one (0.50), other (0.50)"
    assert together(entries[:1], IMAGES) is None
    assert together(entries, replace(IMAGES, part="sealed test")) is None  # nothing is chosen by it


def test_against_a_run_the_tests_are_the_leaderboard_s(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=2))
    run = reread(sweep_store)
    board = leaderboard(run)
    images = images_of_run(run, on_test=False)
    entries = entries_of_run(run, board, 4, on_test=False)
    found = judged([one for one in entries if one.origin == "run"], images)
    assert [row.entry.name for row in found.rows] == [f"tiny/{row.candidate.trial}" for row in board.rows]
    assert [row.ranks for row in found.rows] == [row.ranks for row in board.rows]
    assert [row.to_leader for row in found.rows] == [row.to_leader for row in board.rows]
    assert {one.name for one in entries if one.origin == "ensemble"} == {"tiny/ensemble"}


def test_on_the_test_set_only_what_was_opened_for_is_ranked(sweep_store: Run) -> None:
    run = opened_for(sweep_store)
    found = entries_of_run(run, leaderboard(run, draws=10), 4, on_test=True)
    assert [one.name for one in found] == [f"tiny/{run.ranked[0].trial}"]
    assert found[0].answers.n == 359


def test_the_images_are_a_run_s_or_a_data_set_s(sweep_store: Run, digits: Digits, split: Split) -> None:
    ours, theirs = images_of_run(sweep_store, on_test=False), images_of_dataset(digits)
    assert ours.indices is not None
    assert theirs.indices is not None
    assert ours.indices.tolist() == theirs.indices.tolist() == split.validation_indices.tolist()
    assert ours.labels.tolist() == theirs.labels.tolist()
    with pytest.raises(UsageError, match=r"theirs\.npz has no labels; name the run or data set"):
        images_of_handed([handed(range(3))])


def test_predictions_of_the_test_set_are_told_by_their_indices_or_number(sweep_store: Run, digits: Digits) -> None:
    known, _ = digits_at_hand(sweep_store.header.dataset, sweep_store.header.data_checksum)
    assert known is not None
    _, validation, test = digits.parts

    def on(indices: np.ndarray | None, count: int) -> HandedIn:
        return replace(handed(range(3)), predicted=np.zeros(count, int), probabilities=None, indices=indices)

    assert are_for_test([on(test, 359)], sweep_store, known)
    assert are_for_test([on(None, 359)], sweep_store, known)
    assert not are_for_test([on(validation, 360)], sweep_store, known)
    assert not are_for_test([on(None, 360)], sweep_store, known)
    assert not are_for_test([on(test, 359)], sweep_store, None)
    with pytest.raises(UsageError, match="judge them apart"):
        are_for_test([on(test, 359), on(validation, 360)], sweep_store, known)
    with pytest.raises(UsageError, match="of images that are not in the test set of tiny"):
        entries_of([on(validation, 360)], unopened_test_images([], sweep_store, known))
    with pytest.raises(UsageError, match="test set is sealed; hand in the predictions without them"):
        unopened_test_images([replace(on(test, 359), labels=np.zeros(359, int))], sweep_store, known)
    assert digits_at_hand("sklearn-digits", "0" * 64)[0] is None


def test_indices_need_labels_with_indices() -> None:
    one = replace(handed(range(3)), indices=np.arange(N))
    with pytest.raises(UsageError, match="hand in both with indices or both without"):
        entries_of([one], IMAGES)
