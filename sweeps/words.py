"""Durations and counts as people write them."""

import re

from digits_core.errors import UsageError

SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
LONGEST_SECONDS = 365 * 86_400


def seconds_of(option: str, text: str) -> float:
    """Parse `90`, `90s`, `10m`, `1.5h`, `2d` or `1h30m`. Raises UsageError for anything else, 0 s, or over a year."""
    pieces = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.strip().lower())
    is_whole = re.fullmatch(r"(?:\d+(?:\.\d+)?\s*(?:s|m|min|h|d)?\s*)+", text.strip().lower())
    seconds = sum(float(number) * SECONDS.get(unit, 0) for number, unit in pieces) if is_whole else 0.0
    if not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(f"{option} takes a duration such as 90s, 10m or 1h30m, got {text!r}")
    return seconds


def optional_seconds_of(option: str, text: str | None) -> float | None:
    """`seconds_of`, or None if the option was not given."""
    return None if text is None else seconds_of(option, text)


def duration(seconds: float) -> str:
    """`42 s`, `3 min 07 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(count: int, noun: str) -> str:
    """`1 trial`, `30 trials`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
