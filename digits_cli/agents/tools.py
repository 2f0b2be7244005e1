"""The tools of `digits mcp`: which commands are offered, with which of their parameters, and within which limits.

A tool's description and schema come from its command's own signature and help, so there is one place for both.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from jsonschema import Draft202012Validator

from digits_cli import delivering, judging, looking, outside, searching, showing, training
from digits_core.data.arrays import split_range
from digits_core.data.datasets import components_of
from digits_core.data.own import is_own, split_name
from digits_core.errors import UsageError, shortened, unknown_name
from digits_core.runs.run import Run, check_name

JSON_TYPES: dict[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a tool. option: how the command line calls it; empty for an argument by position."""

    name: str
    option: str
    kind: str
    is_list: bool
    is_required: bool
    default: Any
    help: str

    @property
    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        one: dict[str, Any] = {"type": self.kind}
        return {**({"type": "array", "items": one} if self.is_list else one), "description": self.help}

    def words(self, value: Any) -> list[str]:
        """The value as words of a command line."""
        values = value if self.is_list else [value]
        if self.kind == "boolean":
            return [self.option] if value else []
        return [f"{self.option}={each}" if self.option else str(each) for each in values]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A command as a tool. takes: those of its function's parameters that clients may set."""

    name: str
    command: tuple[str, ...]
    function: Callable[..., None]
    takes: tuple[str, ...]
    is_job: bool = False
    only_reads: bool = False

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters, from the signature of its function."""
        hints = get_type_hints(self.function, include_extras=True)
        defaults = inspect.signature(self.function).parameters
        return tuple(_parameter(name, hints[name], defaults[name].default) for name in self.takes)

    @property
    def description(self) -> str:
        """The command's help without its examples."""
        text = inspect.getdoc(self.function) or ""
        return text.partition("Examples:")[0].strip()

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        return {
            "type": "object",
            "properties": {one.name: one.schema for one in self.parameters},
            "required": [one.name for one in self.parameters if one.is_required],
            "additionalProperties": False,
        }


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    kind, (stated, *_) = hint.__origin__, hint.__metadata__
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not type(None))
    is_list = get_origin(kind) is list
    is_option = type(stated).__name__ == "OptionInfo"
    # In an Annotated, the first name of an option stands where a default would: Typer moves it later.
    words = (stated.default, *(stated.param_decls or ()))
    declared = [word for word in words if isinstance(word, str) and word.startswith("--")]
    option = (declared[0] if declared else f"--{name.replace('_', '-')}") if is_option else ""
    shown = f" Default: {stated.show_default}." if isinstance(stated.show_default, str) else ""
    return Parameter(
        name=option.removeprefix("--").replace("-", "_") or name,
        option=option,
        kind=JSON_TYPES[get_args(kind)[0] if is_list else kind],
        is_list=is_list,
        is_required=default is inspect.Parameter.empty,
        default=None if default is inspect.Parameter.empty else default,
        help=f"{stated.help or ''}{shown}",
    )


SEARCHING = (
    "trials", "dataset", "name", "seed", "max_epochs", "search", "scheduler", "objective", "fix", "start_from",
    "time_budget", "target", "then", "tta",
)  # fmt: skip
TOOLS = {
    tool.name: tool
    for tool in (
        Tool(name="list_runs", command=("ls",), function=looking.ls, takes=(), only_reads=True),
        Tool(name="show", command=("show",), function=looking.show, takes=("run",), only_reads=True),
        Tool(
            name="leaderboard", command=("leaderboard",), function=judging.leaderboard, takes=("run", "folds"),
            only_reads=True,
        ),
        Tool(name="doubts", command=("doubts",), function=judging.doubts, takes=("run", "top"), only_reads=True),
        Tool(name="recipes", command=("recipes",), function=showing.recipes, takes=("name",), only_reads=True),
        Tool(
            name="check_dataset", command=("datasets", "check"), function=showing.check_dataset, takes=("name",),
            only_reads=True,
        ),
        Tool(name="doctor", command=("doctor",), function=showing.doctor, takes=(), only_reads=True),
        # Not only reading: predictions of test images open the sealed test set.
        Tool(
            name="judge", command=("judge",), function=outside.judge,
            takes=("files", "against", "dataset", "labels", "top"),
        ),
        Tool(name="sweep", command=("sweep",), function=searching.sweep, takes=SEARCHING, is_job=True),
        Tool(
            name="resume", command=("resume",), function=searching.resume,
            takes=("run", "trials", "time_budget", "then", "tta"), is_job=True,
        ),
        Tool(
            name="compare", command=("compare",), function=training.compare,
            takes=("recipes", "seeds", "assignments", "dataset", "epochs", "folds", "name"), is_job=True,
        ),
        Tool(
            name="train", command=("train",), function=training.train,
            takes=("recipe", "assignments", "dataset", "epochs", "seed", "seeds", "folds", "name"), is_job=True,
        ),
        Tool(
            name="confirm", command=("confirm",), function=judging.confirm,
            takes=("sweep", "top", "seeds", "epochs", "folds", "time_budget"), is_job=True,
        ),
        Tool(
            name="ensemble", command=("ensemble",), function=judging.ensemble,
            takes=("sweep", "top", "method", "pool", "calibrate", "tta"), is_job=True,
        ),
        Tool(
            name="export", command=("export",), function=delivering.export,
            takes=("model", "format_", "ensemble", "int8", "preprocess", "licence"), is_job=True,
        ),
        Tool(name="report", command=("report",), function=showing.report, takes=("sweeps",), is_job=True),
    )
}  # fmt: skip
NAMES_A_RUN = ("run", "sweep", "sweeps", "against", "start_from", "model")
NAMES_A_RECIPE = ("recipe", "recipes", "start_from")  # or, on a command line, a file of one
FILES = ("files", "labels")
LONGEST_TEXT = 1_000  # characters of an argument
DATASETS = {"check_dataset": ("name",)}  # elsewhere a data set is called dataset


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server allows. folders: where files may be read, besides the runs folder."""

    runs: Path
    folders: tuple[Path, ...] = ()
    most_trials: int = 200
    most_minutes: float = 60.0

    def command_line(self, tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
        """The words of the command. Raises UsageError for what the tool does not take or the server does not allow."""
        valid = [one.name for one in tool.parameters]
        unknown = sorted(set(arguments) - set(valid))
        if unknown:
            raise unknown_name(f"argument of {tool.name}", shortened(unknown[0], 60), valid)
        wrong = sorted(Draft202012Validator(tool.schema).iter_errors(arguments), key=str)
        if wrong:
            where = "/".join(map(str, wrong[0].absolute_path))
            raise UsageError(shortened(f"{tool.name}: {where + ': ' if where else ''}{wrong[0].message}"))
        for name, value in arguments.items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str):
                    self._check_text(tool, name, each)
        self._check_amount(tool, arguments)
        allowed = dict(arguments)
        if tool.name == "sweep" and "trials" not in allowed:
            allowed["trials"] = self.most_trials if "time_budget" in allowed else min(100, self.most_trials)
        given = {one: allowed[one.name] for one in tool.parameters if one.name in allowed}
        options = [word for one, value in given.items() if one.option for word in one.words(value)]
        places = [word for one, value in given.items() if not one.option for word in one.words(value)]
        runs = [] if tool.command[0] == "datasets" else [f"--runs={self.runs}"]
        return [*tool.command, *options, *runs, "--json", *(["--", *places] if places else [])]

    def _check_text(self, tool: Tool, name: str, text: str) -> None:
        if len(text) > LONGEST_TEXT or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
            raise UsageError(f"{name}: {shortened(text, 60)!r} is too long or holds control characters")
        if name == "dataset" or name in DATASETS.get(tool.name, ()):
            for component in components_of(text):
                if is_own(component):
                    kind, place = split_name(component)
                    self._check_inside(name, Path(place) if kind == "folder" else split_range(place)[0])
        elif name in FILES:
            self._check_inside(name, Path(text))
        elif name in NAMES_A_RUN or (name == "name" and tool.is_job):
            for piece in text.split("/"):
                check_name(piece)
            if text.lower().endswith(".html"):  # `digits leaderboard` reads pages as well, from any folder
                raise UsageError(f"{name}: {shortened(text, 60)!r} is a page; give the name of a run")
        elif re.search(r"[/\\]", text) or (name in NAMES_A_RECIPE and text.lower().endswith(".json")):
            raise UsageError(f"{name}: {shortened(text, 60)!r} is a path, which clients may not give here; give a name")

    def _check_inside(self, name: str, path: Path) -> None:
        text = str(path)
        try:
            place = path.expanduser().resolve()
        except (OSError, RuntimeError, ValueError):
            raise UsageError(f"{name}: {shortened(text, 60)!r} is not a path") from None
        if not any(place.is_relative_to(folder.resolve()) for folder in (self.runs, *self.folders)):
            raise UsageError(
                f"{name}: {shortened(text, 60)!r} is not in {self.runs}; start the server with"
                " `digits mcp --allow FOLDER` to let clients read it"
            )

    def _check_amount(self, tool: Tool, arguments: Mapping[str, Any]) -> None:
        """What is not given counts as the command's own default."""
        given = {**{one.name: one.default for one in tool.parameters}, **arguments}
        recipes = len(given.get("recipes") or ()) or given.get("top") or 1
        folds = max(1, arguments.get("folds") or 1)
        asked = max(arguments.get("trials") or 0, (given.get("seeds") or 0) * recipes * folds, folds)
        if tool.name == "resume" and "trials" not in arguments:
            asked = Run.open(self.runs, arguments["run"]).header.asked_trials or 0
        if asked > self.most_trials:
            raise UsageError(
                f"{asked:,} trials are more than the {self.most_trials:,} that this server allows (digits mcp"
                " --most-trials)"
            )
