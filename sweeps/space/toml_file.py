"""A search space as TOML: dotted recipe fields, each a range or a list of choices, optionally with a condition."""

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from digits_core.errors import UsageError
from digits_core.recipe import Scalar, field_type
from sweeps.space.spaces import Choice, Float, Int, Parameter, Space, When, check_space

KEYS = ("choices", "low", "high", "log", "when")
HEAD = """# A search space for `digits sweep --space FILE`. A table is a recipe field (see `digits recipes NAME`).
#   low, high       a range, both ends included; log = true makes it log-uniform
#   choices         a list of values
#   when            a condition: drawn only if another field, above this one, was drawn as one of these values
"""


def read_space(path: Path) -> Space:
    """Read the space in a file. Raises UsageError that says what is wrong with it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}; `digits space > {path}` writes one to start from") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, or absurdly long numbers or deep nesting
        raise UsageError(f"{path} is not TOML: {' '.join(str(error).split())[:200]}") from error
    space = space_of(_by_dotted_field(document))
    _check_sense(space)
    if not space:
        raise UsageError(f"{path} has no fields to search; `digits space` prints the default space")
    return space


def _check_sense(space: Space) -> None:
    """Raise UsageError for a condition that never holds, or a choice that is listed twice."""
    for name, parameter in space.items():
        if isinstance(parameter, Choice) and len(set(parameter.options)) < len(parameter.options):
            raise UsageError(f"{name} lists a choice twice")
        given = space.get(parameter.when.field) if parameter.when is not None else None
        if isinstance(given, Choice) and parameter.when and not set(parameter.when.values) & set(given.options):
            wanted = " or ".join(map(str, parameter.when.values)) or "nothing"
            raise UsageError(f"{name} is never drawn: {parameter.when.field} must be {wanted}, but can be {given}")


def _by_dotted_field(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Join nested keys: TOML reads `[optimizer.learning_rate]` as a table inside a table."""
    fields: dict[str, Any] = {}
    for part, members in tables.items():
        if "." in part or not isinstance(members, dict):
            fields[part] = members
        else:
            fields.update({f"{part}.{name}": description for name, description in members.items()})
    return fields


def space_of(document: Mapping[str, Any]) -> Space:
    """The space that a document describes. Raises UsageError if a recipe cannot take its fields or values."""
    space = {name: _parameter(name, description) for name, description in document.items()}
    check_space(space)
    return space


def _parameter(name: str, description: Any) -> Parameter:
    expected = field_type(name)  # raises for an unknown field
    if not isinstance(description, Mapping):
        raise UsageError(f"{name} must be a table with low and high, or with choices; got {description!r}")
    for key in description:
        if key not in KEYS:
            raise UsageError(f"{name} has {key!r}, which is not one of {', '.join(KEYS)}")
    when, log = _condition(name, description.get("when")), description.get("log", False)
    if "choices" in description:
        choices = description["choices"]
        if not isinstance(choices, list | tuple) or {"low", "high", "log"} & set(description):
            raise UsageError(f"{name}: choices must be a list of values, without low, high or log")
        return Choice(options=tuple(_value(name, option, expected) for option in choices), when=when)
    if expected not in (int, float) or not {"low", "high"} <= set(description):
        needed = "low and high, or choices" if expected in (int, float) else "choices"
        raise UsageError(f"{name} needs {needed}")
    if not isinstance(log, bool):
        raise UsageError(f"{name}: log must be true or false, not {log!r}")
    low, high = (_value(name, description[end], expected) for end in ("low", "high"))
    if expected is int:
        return Int(low=int(low), high=int(high), log=log, when=when)
    return Float(low=float(low), high=float(high), log=log, when=when)


def _value(name: str, value: Any, expected: type) -> Scalar:
    if expected is float and type(value) is int and abs(value) <= sys.float_info.max:
        value = float(value)
    if type(value) is not expected:
        raise UsageError(f"{name} takes values of type {expected.__name__}, got {repr(value)[:40]}")
    assert isinstance(value, Scalar)
    return value


def _condition(name: str, condition: Any) -> When | None:
    if condition is None:
        return None
    if not isinstance(condition, Mapping):
        raise UsageError(f'{name}: write a condition as when = {{"optimizer.name" = ["sgd"]}}')
    flat = _by_dotted_field(condition)
    if len(flat) != 1:
        raise UsageError(f"{name}: a condition must name one field and the values that it may have")
    ((field, values),) = flat.items()
    expected = field_type(field)
    listed = values if isinstance(values, list | tuple) else [values]
    return When(field=field, values=tuple(_value(field, value, expected) for value in listed))


def document_of(space: Space) -> dict[str, dict[str, Any]]:
    """The space as plain values. `space_of` reads them back."""
    return {name: _description(parameter) for name, parameter in space.items()}


def _description(parameter: Parameter) -> dict[str, Any]:
    if isinstance(parameter, Choice):
        described: dict[str, Any] = {"choices": list(parameter.options)}
    else:
        described = {"low": parameter.low, "high": parameter.high} | ({"log": True} if parameter.log else {})
    if parameter.when is not None:
        described["when"] = {parameter.when.field: list(parameter.when.values)}
    return described


def toml_of(space: Space) -> str:
    """The space as the text of a TOML file."""
    tables = [
        "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in description.items())])
        for name, description in document_of(space).items()
    ]
    return "\n\n".join([HEAD.rstrip(), *tables]) + "\n"


def _toml(value: Any) -> str:
    """A value in TOML. Strings need no escaping: they are names from a recipe, without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(member)}' for key, member in value.items()) + "}"
    return repr(value)
