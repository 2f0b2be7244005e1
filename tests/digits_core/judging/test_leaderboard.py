from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from digits_core.data.digits import Digits, Split
from digits_core.errors import UsageError
from digits_core.judging.answers import Answers
from digits_core.judging.candidates import candidates, trial_label
from digits_core.judging.leaderboard import leaderboard
from digits_core.judging.paired import duel
from digits_core.judging.stats import holm, mcnemar_p_value, seed_mean_difference
from digits_core.metrics import score
from digits_core.recipe import Recipe
from digits_core.records import RunRecord
from digits_core.runs.run import Run
from digits_core.runs.trial_folder import best_files
from digits_core.runs.writer import RunWriter
from tests.helpers.models import answers
from tests.helpers.runs import make_header


def add_run(
    store: Run | RunWriter,
    trial: int,
    wrong: Sequence[int],
    confidence: float,
    seed: int = 0,
    label: str = "",
    folds: int = 0,
) -> None:
    """Complete a trial that gets every image right, with that confidence, except those in `wrong`."""
    labels, folder = Run(store.folder).validation_labels, RunWriter(store.folder).trial(trial)
    probabilities = answers(labels, list(wrong), confidence)
    parts = np.array_split(np.arange(len(labels)), folds) if folds else []
    folder.complete(
        RunRecord(
            trial=trial, status="finished", recipe=Recipe().with_overrides({"training.seed": seed}), started_at=0.0,
            ended_at=1.0, best_epoch=1, validation=score(labels, probabilities), label=label,
            fold_scores=tuple(score(labels[part], probabilities[part]) for part in parts),
        ),
        best_files(probabilities, {"w": np.zeros(1)}),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, digits: Digits, split: Split) -> Run:
    """Trial 1 leads with 4 errors, trial 0 makes 6 others, trial 2 makes 40, trial 3 none but is never confident."""
    store = RunWriter.create(tmp_path, make_header(digits, split), split).run
    add_run(store, 0, range(10, 16), 0.99)
    add_run(store, 1, range(4), 0.99, seed=1)
    add_run(store, 2, range(100, 140), 0.99, seed=2)
    add_run(store, 3, [], 0.3, seed=3)
    return store


def test_rows_of_single_runs(store: Run) -> None:
    board = leaderboard(store, draws=500)
    assert [row.candidate.record.trial for row in board.rows] == [1, 0, 2, 3]
    assert (board.n, board.part, board.test_openings, board.picked_from) == (360, "validation", 0, 4)
    wrong = {row.candidate.record.trial: row.candidate.validation.wrong[0] for row in board.rows}
    p_values = [mcnemar_p_value(wrong[trial], wrong[1]) for trial in (0, 2, 3)]
    found = [row.to_leader for row in board.rows[1:] if row.to_leader]
    assert [one.p_value for one in found] == p_values
    assert tuple(one.corrected_p_value for one in found) == holm(p_values)
    assert {one.method for one in found} == {"mcnemar"}
    assert [row.tied_with_leader for row in board.rows] == [True, True, False, True]
    assert found[1].error_rate == pytest.approx(36 / board.n)
    assert found[1].error_rate_interval.low > 0
    assert found[2].nll_interval.low > 0  # ranked last by its NLL, although it makes fewer mistakes
    assert board.rows[0].ranks[0] == 1
    assert board.rows[3].ranks == (4, 4)
    assert board.detectable is not None
    assert 0 < board.detectable <= 10 / board.n


def test_the_best_of_many_is_worth_less_than_it_shows(store: Run) -> None:
    selected = leaderboard(store, draws=500).selected
    assert selected is not None
    assert selected.shown == 1 - 4 / store.header.validation_n
    assert 0.97 < selected.accuracy < selected.shown + 0.005


def test_fresh_seeds_outrank_a_lucky_run(store: Run, split: Split) -> None:
    header = replace(store.header, name="confirmed", kind="confirmation")
    confirmed = RunWriter.create(store.folder, header, split).run
    add_run(confirmed, 0, range(10, 16), 0.99, seed=100, label=trial_label(0))
    add_run(confirmed, 1, range(10, 14), 0.99, seed=101, label=trial_label(0))
    add_run(confirmed, 2, range(9), 0.99, seed=100, label=trial_label(1))
    add_run(confirmed, 3, range(11), 0.99, seed=101, label=trial_label(1))
    board = leaderboard(store, draws=500)
    assert [(row.candidate.record.trial, row.candidate.confirmed) for row in board.rows] == [
        (0, True), (1, True), (2, False), (3, False),
    ]  # fmt: skip
    first, second = (row.candidate for row in board.rows[:2])
    assert first.validation.error_counts == (6, 4)
    assert first.seeds == (100, 101)
    beside = board.rows[1].to_leader
    assert beside is not None
    assert beside.method == "seeds"
    assert beside.error_rate == pytest.approx(5 / board.n)
    assert beside.p_value == seed_mean_difference(second.validation.wrong, first.validation.wrong).p_value
    # The search picked from its own runs, not from those that confirm them.
    assert board.selected is not None
    assert board.selected.shown == 1 - 4 / board.n


def test_a_recipe_does_not_lead_because_its_worse_seed_is_missing(store: Run, split: Split) -> None:
    header = replace(store.header, name="versus", kind="comparison")
    versus = RunWriter.create(store.folder.parent, header, split).run
    add_run(versus, 0, range(2), 0.99, label="lucky")
    add_run(versus, 1, range(5), 0.99, label="whole")
    add_run(versus, 2, range(6), 0.99, seed=1, label="whole")
    assert [one.record.label for one in candidates(versus)] == ["whole", "lucky"]
    assert leaderboard(versus, draws=100).selected is None


def test_folds_are_paired_by_fold_and_seed(store: Run, split: Split) -> None:
    header = replace(store.header, name="confirmed-4-folds", kind="confirmation", fold_count=4, train_n=270)
    folded = RunWriter.create(store.folder, header, split).run
    for trial, (label, seed, wrong) in enumerate(
        [
            ("a", 0, range(0, 360, 60)),
            ("b", 0, range(0, 360, 12)),
            ("a", 1, range(5, 359, 70)),
            ("b", 1, range(5, 359, 9)),
            ("a", 2, range(7, 359, 65)),
            ("b", 2, range(3, 359, 10)),
        ]
    ):
        add_run(folded, trial, wrong, 0.99, seed=seed, label=label, folds=4)
    board = leaderboard(folded, draws=100)
    assert board.part == "out of fold"
    beside = board.rows[1].to_leader
    assert beside is not None
    assert beside.method == "folds"
    assert beside.error_rate == pytest.approx((30 + 40 + 36 - 3 * 6) / 3 / board.n)
    assert beside.error_rate_interval.low < beside.error_rate < beside.error_rate_interval.high
    assert not beside.tied


def test_identical_and_perfect_models_are_tied(tmp_path: Path, digits: Digits, split: Split) -> None:
    store = RunWriter.create(tmp_path, make_header(digits, split), split).run
    for trial in range(2):
        add_run(store, trial, [], 0.99)
    board = leaderboard(store, draws=100)
    beside = board.rows[1].to_leader
    assert beside is not None
    assert (beside.p_value, beside.error_rate, beside.tied) == (1.0, 0.0, True)
    assert board.rows[0].candidate.validation.interval.high == 1.0


def test_a_sweep_with_one_trial_or_none(tmp_path: Path, digits: Digits, split: Split) -> None:
    store = RunWriter.create(tmp_path, make_header(digits, split), split).run
    with pytest.raises(UsageError, match="no validated trial to rank"):
        leaderboard(store)
    add_run(store, 0, [1], 0.9)
    board = leaderboard(Run(store.folder))
    assert (len(board.rows), board.selected, board.detectable) == (1, None, None)


def sure_runs(*wrong: list[int], n: int = 400) -> Answers:
    """Confident runs, each wrong on the given images."""
    labels, runs = np.zeros(n, dtype=np.int64), []
    for places in wrong:
        said = np.full((n, 10), 0.01, dtype=np.float32)
        said[:, 0] = 0.91
        said[places] = np.roll(said[places], 1, axis=1)
        runs.append(said)
    return Answers.of(labels, runs)


def test_single_runs_are_compared_by_mcnemars_test() -> None:
    first, second = sure_runs(list(range(4))), sure_runs(list(range(2, 20)))
    found = duel(first, second)
    assert found.method == "mcnemar"
    assert found.p_value == pytest.approx(binomtest(2, 18).pvalue)
    assert found.error_rate == pytest.approx(14 / 400)
    assert found.interval.low < 14 / 400 < found.interval.high
    assert (found.first_accuracy, found.second_accuracy) == pytest.approx((0.99, 0.955))
    back = duel(second, first)
    assert (back.error_rate, back.p_value) == pytest.approx((-found.error_rate, found.p_value))


def test_several_seeds_are_compared_by_a_t_test() -> None:
    first, second = sure_runs([1, 2], [2, 3], [1, 4]), sure_runs(list(range(30)), list(range(28)))
    found = duel(first, second)
    assert found.method == "seeds"
    assert found.error_rate == pytest.approx((29 - 2) / 400)
    assert 0 < found.interval.low < found.error_rate < found.interval.high
    assert found.p_value < 0.001
    assert duel(first, first).p_value == 1


def test_predictions_for_different_images_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not for the same images"):
        duel(sure_runs([1]), sure_runs([1], n=300))
