"""The two kinds of errors that are meant for the person at the keyboard."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 20  # that an error lists


class UsageError(ValueError):
    """What was asked for cannot be done as asked (exit code 2). The message names the fix."""


class EnvironmentFailure(RuntimeError):
    """The request was fine, the surroundings were not: network, disk, damaged file (exit code 1)."""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Return (not raise) an error that names the closest valid names, or all of them if none is close."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return UsageError(f"unknown {kind} {name!r}; did you mean {' or '.join(map(repr, close))}?")
    if not names:
        return UsageError(f"unknown {kind} {name!r}; there is none yet")
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return UsageError(f"unknown {kind} {name!r}; valid: {', '.join(names[:MOST_NAMES])}{more}")
