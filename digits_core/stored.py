"""Builds stored values from the JSON in which they were stored, checked once, when read, by their fields' types."""

from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

MOST_TRIALS = 99_999  # per run: trial folders are numbered with five digits
LAST_SECOND = 1e11  # since 1970; anything later is not a plausible date

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
TrialNumber = Annotated[int, Meta(ge=0, le=MOST_TRIALS)]
Seconds = Annotated[float, Meta(ge=0, le=LAST_SECOND)]
Share = Annotated[float, Meta(ge=0, le=1)]
Checksum = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]  # SHA-256

T = TypeVar("T")


def asked_trials(trial_count: int) -> int | None:
    """How many trials a run with this stored count was asked for; None if its time budget alone decides."""
    return None if trial_count >= MOST_TRIALS else trial_count


NESTED = (dict, list, tuple)


class UnknownField(ValueError):
    """A value has a field that this version does not know."""


def from_json(kind: type[T], content: bytes, *, besides: Iterable[str] = (), with_others: bool = False) -> T:
    """Build a value of this kind from a JSON document. Raises ValueError, in one line, if it does not fit.

    besides: fields of the document that are not fields of `kind`. Any others raise UnknownField, unless `with_others`.
    """
    try:
        values = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if isinstance(values, dict):
        for name in besides:
            values.pop(name, None)
    return from_values(kind, values, with_others=with_others)


def from_values(kind: type[T], values: object, *, with_others: bool = False) -> T:
    """Like `from_json`, from plain JSON values. with_others: ignore fields that are not fields of `kind`."""
    try:
        value = msgspec.convert(values, kind, str_keys=True)
    except (msgspec.MsgspecError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error
    unknown = None if with_others else _unknown_field(values, msgspec.to_builtins(value, str_keys=True))
    if unknown is not None:
        raise UnknownField(f"it has a field {unknown[:60]!r}, which this version of digits does not know")
    return value


def _unknown_field(given: object, kept: object) -> str | None:
    """The name of a field that was given and not kept, at any depth; None if there is none."""
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(given, dict) and isinstance(kept, dict):
        for name in given:
            if name not in kept:
                return str(name)
        inner = [(value, kept[name]) for name, value in given.items() if isinstance(value, NESTED)]
    elif isinstance(given, list | tuple) and isinstance(kept, list | tuple):
        inner = [pair for pair in zip(given, kept, strict=True) if isinstance(pair[0], NESTED)]
    for value, own in inner:
        found = _unknown_field(value, own)
        if found is not None:
            return found
    return None
