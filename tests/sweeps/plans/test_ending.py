import time

import pytest

from digits_core.errors import UsageError
from sweeps.plans.ending import (
    AS_LONG_AFTERWARDS,
    LONGER_AFTERWARDS,
    SECONDS_FOR_THE_REST,
    SHORT_SEARCH_SECONDS,
    START_SECONDS,
    WHOLE_TIME,
    Ending,
    parse_target,
)


def test_the_budget_covers_the_whole_command_with_what_follows_the_search() -> None:
    now = time.monotonic()
    assert Ending.of(now, 600.0, None, 0).deadline == now + 592.0
    assert Ending.of(now, 600.0, None, 5000 * 784).deadline == pytest.approx(now + 568.48)
    assert Ending.of(now, 8.0, None, 5000 * 784).deadline == now + 6.0
    assert Ending.of(now, None, None, 0).deadline is None


@pytest.mark.parametrize(
    ("seconds", "shares", "own"),
    [
        (1_200.0, LONGER_AFTERWARDS, 240.0),
        (400.0, LONGER_AFTERWARDS, SHORT_SEARCH_SECONDS),
        (100.0, LONGER_AFTERWARDS, 40.0),
        (1_200.0, AS_LONG_AFTERWARDS, 480.0),
        (100.0, AS_LONG_AFTERWARDS, 40.0),
        (100.0, WHOLE_TIME, 100.0),
    ],
)
def test_a_search_leaves_time_for_what_follows(seconds: float, shares: tuple[float, float], own: float) -> None:
    budget = seconds + START_SECONDS + SECONDS_FOR_THE_REST
    assert Ending.of(-START_SECONDS, budget, None, 0, shares).deadline == pytest.approx(own)


def test_the_deadline() -> None:
    now = time.monotonic()
    assert Ending(deadline=now - 1).is_due()
    assert not Ending(deadline=now + 100).is_due()
    assert not Ending().is_due()


def test_a_target_is_reached_exactly() -> None:
    ending = Ending.of(0.0, None, 0.995, 0)
    assert ending.is_reached(25 / 5000)
    assert not ending.is_reached(26 / 5000)
    assert not Ending().is_reached(0.0)


def test_targets_are_read() -> None:
    assert parse_target("accuracy=0.995") == parse_target("accuracy = 99.5%") == 0.995


@pytest.mark.parametrize(
    "text", ["", "accuracy", "accuracy=", "nll=0.1", "accuracy=1.1", "accuracy=99.5", "accuracy=0"]
)
def test_malformed_targets_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--target takes a validation accuracy, written as accuracy=0.995"):
        parse_target(text)
