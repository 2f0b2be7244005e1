"""`digits help`: subjects that belong to no single command, and the help of commands."""

import dataclasses
from importlib import resources
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from digits_cli.shell import AsJson, emit, errors_in_one_line
from digits_core.recipe import Recipe

TOPICS = {
    "spaces": "what a search may try: files for --space, and all fields of a recipe",
    "records": "the files of a run, and what is stored of a trial",
    "own-data": "your own pictures, tables and arrays as data sets",
    "comparing": "which differences are real, and what you can say of them",
}


def topic_names(context: typer.Context, incomplete: str) -> list[str]:
    """Topics and commands."""
    commands = getattr(context.parent.command, "commands", {}) if context.parent else {}
    return [name for name in (*TOPICS, *commands) if name.startswith(incomplete)]


@errors_in_one_line
def help_about(
    context: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(help="A topic, or a command.", show_default="list them", autocompletion=topic_names),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a topic, or a command.

    The topics are search spaces, the records of a run, your own data, and how to compare models.

    Examples:

        digits help

        digits help spaces

        digits help sweep

    """
    from digits_core.errors import unknown_name

    if topic is None:
        lines = [*TOPICS.items(), ("commands", "digits --help lists them"), ("next", "digits help spaces")]
        emit([{"topic": name, "about": about} for name, about in TOPICS.items()], lines, as_json=as_json)
        return
    assert context.parent is not None
    commands = getattr(context.parent.command, "commands", {})
    if topic in TOPICS:
        text = text_of(topic)
    elif topic in commands:
        text = commands[topic].get_help(typer.Context(commands[topic], info_name=topic, parent=context.parent))
    else:
        raise unknown_name("topic or command", topic, [*TOPICS, *commands])
    if as_json:
        emit({"topic": topic, "text": text}, [], as_json=True)
    else:
        typer.echo(text)


def text_of(topic: str) -> str:
    """A topic's text: what is written, then what the code says of itself."""
    written = resources.files("digits_cli").joinpath("topics", f"{topic}.md").read_text(encoding="utf-8")
    more = {"spaces": _recipe_fields, "records": _record_fields}.get(topic)
    return (written + (more() if more else "")).rstrip()


def _recipe_fields() -> str:
    return "".join(f"    {name:<34} {value!r}\n" for name, value in Recipe().as_overrides().items())


def _record_fields() -> str:
    from digits_core.metrics import Score
    from digits_core.records import EpochRow, RunRecord
    from digits_core.runs import run

    texts = []
    for title, kind in (
        ("", RunRecord),
        ("validation, and each of fold_scores:", Score),
        ("curve, a row per epoch:", EpochRow),
    ):
        rows = "".join(f"    {each.name:<26} {_plain(kind, each.name)}\n" for each in dataclasses.fields(kind))
        texts.append(f"{title}\n\n{rows}" if title else rows)
    layout = (run.__doc__ or "").partition("\n\n")[2].rstrip()
    return "\n".join(texts) + f"\nTHE FILES OF A RUN\n\n{layout}\n"


def _plain(kind: type, name: str) -> str:
    """What a field is in JSON."""
    hint = get_type_hints(kind)[name]
    parts = [each for each in get_args(hint) if each is not type(None)]
    if get_origin(hint) is tuple:
        return f"list of {_word(parts[0])}s"
    if get_origin(hint) is Literal:
        return " or ".join(map(str, parts))
    if get_origin(hint) in (Union, UnionType):
        return f"{_word(parts[0])}, or null"
    return _word(hint)


def _word(hint: Any) -> str:
    words = {int: "whole number", float: "number", str: "text", Recipe: "object: digits help spaces has its fields"}
    return words.get(hint, "object")
