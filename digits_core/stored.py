"""Builds stored values from the JSON in which they were stored, checked once, when read, by their fields' types."""

from collections.abc import Iterable, Mapping
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


class UnknownField(ValueError):
    """A value has a field that this version does not know."""


def from_json(kind: type[T], content: bytes, *, besides: Iterable[str] = ()) -> T:
    """Build a value of this kind from a JSON document. Raises ValueError, in one line, if it does not fit.

    besides: fields of the document that are not fields of `kind`. Any others raise UnknownField.
    """
    try:
        values = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if isinstance(values, dict):
        for name in besides:
            values.pop(name, None)
    return from_values(kind, values)


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
    if isinstance(given, Mapping) and isinstance(kept, Mapping):
        missing = next((str(name) for name in given if name not in kept), None)
        return missing or _first(_unknown_field(value, kept[name]) for name, value in given.items())
    if isinstance(given, list | tuple) and isinstance(kept, list | tuple):
        return _first(_unknown_field(one, other) for one, other in zip(given, kept, strict=True))
    return None


def _first(found: Iterable[str | None]) -> str | None:
    return next((name for name in found if name is not None), None)
