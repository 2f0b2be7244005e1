import pytest

from digits_core.errors import UsageError
from sweeps.words import duration, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("10 min", 600), ("1.5h", 5400), ("1h30m", 5400), ("2d", 172_800)],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    assert seconds_of("--time-budget", text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-5m", "5 weeks", "1e9", "nan", "inf", "400d", "10m!", "5x"])
def test_malformed_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--time-budget takes a duration such as 90s, 10m or 1h30m"):
        seconds_of("--time-budget", text)


def test_durations_are_written_for_people() -> None:
    assert [duration(seconds) for seconds in (42.4, 187, 7500)] == ["42 s", "3 min 07 s", "2 h 05 min"]
