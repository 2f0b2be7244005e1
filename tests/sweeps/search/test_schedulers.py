import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import TrialScheduler

from digits_core.recipe import Recipe
from digits_core.records import Assignment
from digits_core.runs.journal import History, TrialHistory
from sweeps.plans.config import SCHEDULERS
from sweeps.search.reported import EPOCH, FAILED, METRIC
from sweeps.search.schedulers import BUILDERS, SparingScheduler, scheduler_for


class Reporting:
    """The part of a Tune trial that a scheduler looks at."""

    def __init__(self, number: int) -> None:
        self.trial_id, self.config = str(number), {"trial": number}


def scheduler(name: str, max_epochs: int, history: History | None = None) -> SparingScheduler:
    made = scheduler_for(name, max_epochs, history or History())
    assert made.set_search_properties(METRIC, "min")
    return made


def outcome(scheduler: SparingScheduler, number: int, curve: list[float]) -> int:
    """The epoch after which the trial ends."""
    trial = Reporting(number)
    scheduler.on_trial_add(None, trial)
    for epoch, value in enumerate(curve, start=1):
        result = {EPOCH: epoch, METRIC: value, FAILED: False}
        if scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP or epoch == len(curve):
            scheduler.on_trial_complete(None, trial, result)
            return epoch
    raise AssertionError


def test_every_scheduler_has_a_name_and_a_description() -> None:
    assert {*BUILDERS, "pbt"} == set(SCHEDULERS)  # a population is a search (tests/sweeps/search/test_population.py)


@pytest.mark.parametrize(("max_epochs", "rungs"), [(40, [6, 12, 24]), (12, [2, 4, 8]), (8, [1, 3]), (2, [1]), (1, [])])
def test_weak_trials_stop_at_the_rungs_and_the_default_never(max_epochs: int, rungs: list[int]) -> None:
    asha = scheduler("asha", max_epochs)
    good, bad = [0.1] * max_epochs, [0.9] * max_epochs
    assert [outcome(asha, number, good) for number in (1, 2, 3)] == [max_epochs] * 3
    assert outcome(asha, 4, bad) == (rungs[0] if rungs else max_epochs)
    for number, rung in enumerate(rungs[1:], start=5):
        late = [0.1] * (rung - 1) + [0.9] * (max_epochs - rung + 1)
        assert outcome(asha, number, late) == rung
    assert outcome(asha, 0, bad) == max_epochs  # although it runs last and is the worst


@pytest.mark.parametrize("name", ["median", "hyperband", "none"])
def test_the_other_schedulers_spare_good_trials_and_the_default(name: str) -> None:
    made = scheduler(name, 9)
    assert [outcome(made, number, [0.5] * 9) for number in (1, 2, 3)] == [9] * 3
    assert outcome(made, 0, [0.9] * 9) == 9
    assert outcome(made, 4, [0.1] * 9) == 9
    ends = [outcome(made, number, [0.8] * 9) for number in range(5, 35)]
    assert (min(ends) < 9) == (name != "none")


def test_recipes_known_to_be_good_are_never_stopped() -> None:
    asha = scheduler_for("asha", 8, History(), spared=3)
    assert asha.set_search_properties(METRIC, "min")
    assert [outcome(asha, number, [0.1] * 8) for number in (4, 5, 6)] == [8] * 3
    assert [outcome(asha, number, [0.9] * 8) for number in (0, 1, 2, 3)] == [8, 8, 8, 1]


def told(*events: tuple[int, int | None, float], failed: tuple[int, ...] = ()) -> History:
    """A history of results in this order: trial, epoch (None when the trial ends), value."""
    history = History()
    for number, epoch, value in events:
        trial = history.trials.setdefault(number, TrialHistory(assignment=Assignment(trial=number, recipe=Recipe())))
        history.order.append((number, epoch))
        if epoch is None:
            trial.status = "failed" if number in failed else "finished"
        else:
            trial.nlls[epoch] = value
    return history


FOUR_GOOD_ONES = [(number, epoch, 0.1) for number in range(1, 5) for epoch in (1, 2, 3, 4, 5, 6, 7, 8, None)]


@pytest.mark.parametrize("name", ["asha", "median"])
def test_earlier_sessions_are_remembered(name: str) -> None:
    assert outcome(scheduler(name, 8), 9, [0.9] * 8) == 8  # no other trial to compare with
    assert outcome(scheduler(name, 8, told(*FOUR_GOOD_ONES)), 9, [0.9] * 8) == 1
    assert outcome(scheduler(name, 8, told(*FOUR_GOOD_ONES, failed=(1, 2, 3, 4))), 9, [0.9] * 8) == 8


def test_a_resumed_trial_is_not_judged_at_a_rung_again() -> None:
    asha = scheduler("asha", 8, told(*[(n, e, 0.4) for n, e, _ in FOUR_GOOD_ONES], (5, 1, 0.1)))
    trial = Reporting(5)
    asha.on_trial_add(None, trial)
    for epoch in (1, 2, 3):  # epoch 1 is reported twice, because it was trained again
        assert asha.on_trial_result(None, trial, {EPOCH: epoch, METRIC: 0.3, FAILED: False}) == "CONTINUE"
    assert asha.inner._brackets[0]._rungs[-1][1]["5"] == -0.1


def test_a_stop_that_the_last_session_did_not_carry_out_is_carried_out() -> None:
    asha = scheduler("asha", 8, told(*FOUR_GOOD_ONES, (5, 1, 0.9)))
    trial = Reporting(5)
    asha.on_trial_add(None, trial)
    assert asha.on_trial_result(None, trial, {EPOCH: 1, METRIC: 0.9, FAILED: False}) == "STOP"


def test_a_stopped_trial_that_is_trained_again_from_the_start_stops_where_it_did() -> None:
    good = [(number, epoch, 0.1) for number in range(1, 5) for epoch in (*range(1, 9), None)]
    asha = scheduler("asha", 8, told(*good, (5, 1, 0.05), (5, 2, 0.05), (5, 3, 0.9)))
    trial = Reporting(5)
    asha.on_trial_add(None, trial)
    decisions = [
        asha.on_trial_result(None, trial, {EPOCH: epoch, METRIC: value, FAILED: False})
        for epoch, value in enumerate((0.05, 0.05, 0.9), start=1)
    ]
    assert decisions == ["CONTINUE", "CONTINUE", "STOP"]


@given(st.lists(st.lists(st.floats(0.01, 2.0), min_size=8, max_size=8), min_size=2, max_size=12), st.data())
@settings(max_examples=50)
@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_resumed_scheduler_decides_like_an_undisturbed_one(
    name: str, curves: list[list[float]], data: st.DataObject
) -> None:
    def play(made: SparingScheduler, numbers: range) -> tuple[list[int], list[tuple[int, int | None, float]]]:
        ends = [outcome(made, number, curves[number]) for number in numbers]
        events = [
            event
            for number, end in zip(numbers, ends, strict=True)
            for event in [
                *((number, epoch, curves[number][epoch - 1]) for epoch in range(1, end + 1)),
                (number, None, 0.0),
            ]
        ]
        return ends, events

    cut = data.draw(st.integers(1, len(curves) - 1))
    whole, _ = play(scheduler(name, 8), range(len(curves)))
    before, events = play(scheduler(name, 8), range(cut))
    after, _ = play(scheduler(name, 8, told(*events)), range(cut, len(curves)))
    assert before + after == whole


def test_failed_trials_are_ignored() -> None:
    asha, trial = scheduler("asha", 8), Reporting(1)
    asha.on_trial_add(None, trial)
    result = {EPOCH: 1, METRIC: math.nan, FAILED: True}
    assert asha.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE
    asha.on_trial_complete(None, trial, result)
    assert outcome(asha, 2, [0.9] * 8) == 8
    assert len(asha.inner._brackets[0]._rungs[-1][1]) == 1
