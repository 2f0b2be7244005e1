import math
from dataclasses import replace

import pytest

from digits_core.errors import UsageError
from digits_core.records import RunRecord
from digits_core.runs.run import Run
from sweeps.plans.timing import START_SECONDS, TIME_MARGIN, Reckoning, in_time


def timed(run: Run, seconds: list[float]) -> list[RunRecord]:
    """The sweep's records, best first, as if each had taken so long for all of its epochs."""
    return [
        replace(one, curve=tuple(replace(row, seconds=each / one.recipe.training.epochs) for row in one.curve))
        for one, each in zip(run.ranked, seconds, strict=False)
    ]


def reckoning(left: float, **changes: object) -> Reckoning:
    return Reckoning(**{"seconds_left": left, "concurrency": 2, "seeds": [7, 8, 9, 10, 11], **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "left", "expected"),
    [
        ([10, 10, 10], math.inf, (3, 5)),
        ([10, 10, 10], START_SECONDS + TIME_MARGIN * 80, (3, 5)),  # 15 runs of two at a time
        ([10, 10, 10], START_SECONDS + TIME_MARGIN * 30, (3, 2)),
        (
            [10, 10, 10],
            START_SECONDS + TIME_MARGIN * 20,
            (2, 2),
        ),  # four runs: two recipes on two seeds, not one on four
        ([10, 10, 10], START_SECONDS + TIME_MARGIN * 10, (1, 2)),  # two runs: one recipe twice says more than two once
        (
            [10, 99, 10],
            START_SECONDS + TIME_MARGIN * 30,
            (1, 5),
        ),  # the second is too slow, and the third is not better than it
        ([20, 20, 20], START_SECONDS + TIME_MARGIN * 19, None),
    ],
)
def test_as_many_runs_as_there_is_time_for(
    sweep_store: Run, seconds: list[float], left: float, expected: tuple[int, int] | None
) -> None:
    if expected is None:
        with pytest.raises(UsageError, match="a run takes about 20 s, and 31 s of the time budget are left"):
            in_time(timed(sweep_store, seconds), reckoning(left))
        return
    chosen, seeds = in_time(timed(sweep_store, seconds), reckoning(left + 1e-9))
    assert (len(chosen), seeds) == expected
    assert [one.trial for one in chosen] == [one.trial for one in sweep_store.ranked[: len(chosen)]]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (10, (1, 2, 3)),  # two runs of the recipe as it is
        (19, (1, 2, 5)),
        (20, (1, 2, 6)),
        (40, (2, 2, 6)),  # two recipes before more seeds
        (60, (3, 2, 6)),
        (math.inf, (3, 5, 6)),
    ],
)
def test_longer_training_comes_before_more_runs(sweep_store: Run, left: float, expected: tuple[int, int, int]) -> None:
    records = timed(sweep_store, [10.0] * 3)  # for three epochs
    chosen, seeds = in_time(records, reckoning(START_SECONDS + TIME_MARGIN * left + 1e-9), most_epochs=6)
    assert {one.recipe.training.epochs for one in chosen} == {expected[2]}
    assert (len(chosen), seeds) == expected[:2]


def test_a_recipe_is_not_trained_for_less_than_in_the_search(sweep_store: Run) -> None:
    records = timed(sweep_store, [10.0])
    assert in_time(records, reckoning(600.0), most_epochs=2) == (records, 5)


def test_a_trial_that_was_stopped_is_reckoned_to_take_all_of_its_epochs(sweep_store: Run) -> None:
    (whole,) = timed(sweep_store, [30.0])[:1]
    cut = replace(whole, curve=whole.curve[:1])
    assert reckoning(1.0).training_seconds(cut) == pytest.approx(30.0)
    assert reckoning(1.0, images_share=1.2).training_seconds(cut) == pytest.approx(36.0)


def test_testing_takes_time_too(sweep_store: Run) -> None:
    records = timed(sweep_store, [10.0, 10.0])
    assert in_time(records, reckoning(START_SECONDS + TIME_MARGIN * 50 + 1e-9)) == (records, 5)
    slow = [replace(one, curve=tuple(replace(r, validation_busy_seconds=1.0) for r in one.curve)) for one in records]
    image_seconds = 1 / slow[0].curve[0].validation_n
    tested = reckoning(START_SECONDS + TIME_MARGIN * 50 + 1e-9, test_n=round(1 / image_seconds))  # a second a run
    assert in_time(slow, tested)[1] == 4


def test_many_seeds_are_planned_at_once(sweep_store: Run) -> None:
    chosen, seeds = in_time(timed(sweep_store, [0.001] * 3), reckoning(60.0, seeds=range(10_000)))
    assert (len(chosen), seeds) == (3, 10_000)
