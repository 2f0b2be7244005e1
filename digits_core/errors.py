"""The two kinds of errors that users see."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 20  # listed in one error message
LONGEST_TEXT = 300  # characters quoted in one
LONGEST_MESSAGE = 3_000  # characters
# Of an OSError that has nothing to do with what was asked:
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def shortened(text: str, most: int = LONGEST_TEXT) -> str:
    """The text on one line, cut off where it goes on for too long to be read."""
    line = " ".join(text[: most + 1].splitlines())
    return line if len(text) <= most else f"{line[:most]} ..."


class UsageError(ValueError):
    """The request cannot be carried out as given (exit code 2). The message says how to fix it."""


class EnvironmentFailure(RuntimeError):
    """The request was fine but the environment was not: network, disk, damaged file (exit code 1)."""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Return (not raise) an error that suggests the closest valid names, or lists them if none is close."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return UsageError(f"unknown {kind} {name!r}; did you mean {' or '.join(map(repr, close))}?")
    if not names:
        return UsageError(f"unknown {kind} {name!r}; there are none yet")
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return UsageError(f"unknown {kind} {name!r}; valid: {', '.join(names[:MOST_NAMES])}{more}")


def check_count(option: str, value: int | None, high: int) -> None:
    """Raise UsageError unless `value` is None or from 1 to `high`."""
    if value is not None and not (isinstance(value, int) and 1 <= value <= high):
        raise UsageError(f"{option} must be between 1 and {high:,}, got {value:,}")
