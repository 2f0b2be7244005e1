"""What a client may ask of `digits mcp`, without a server: schemas, command lines, limits."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from digits_cli.agents.tools import TOOLS, Limits
from digits_core.errors import UsageError
from digits_core.runs.run import Run
from tests.helpers.paths import ROOT

NEVER = {"runs", "output", "push", "take_over", "address", "storage", "space", "configs", "open", "host", "port", "at"}


def limits(tmp_path: Path, **more: object) -> Limits:
    return Limits(runs=tmp_path / "runs", **more)


def test_schemas_come_from_the_commands() -> None:
    for tool in TOOLS.values():
        Draft202012Validator.check_schema(tool.schema)
        assert not NEVER & set(tool.schema["properties"]), tool.name
        assert tool.description
        assert "Examples" not in tool.description
        assert all(one.help for one in tool.parameters), tool.name
    sweep = TOOLS["sweep"].schema
    assert sweep["properties"]["max_epochs"]["type"] == "integer"
    assert sweep["properties"]["fix"] == {
        "type": "array",
        "items": {"type": "string"},
        "description": "Fix a field in all trials, e.g. model.name=lenet. Repeatable.",
    }
    assert TOOLS["show"].schema["required"] == ["run"]
    assert TOOLS["export"].schema["properties"]["int8"]["type"] == "boolean"
    assert set(TOOLS["export"].schema["properties"]) >= {"format", "license"}  # as on the command line


def test_arguments_become_a_command_line(tmp_path: Path) -> None:
    allowed, runs = limits(tmp_path), f"--runs={tmp_path / 'runs'}"
    asked = {"recipes": ["lenet", "lenet-bn-dropout"], "seeds": 2, "set": ["training.epochs=1"], "name": "duel"}
    assert allowed.command_line(TOOLS["compare"], asked) == [
        "compare", "--seeds=2", "--set=training.epochs=1", "--name=duel", runs, "--json", "--",
        "lenet", "lenet-bn-dropout",
    ]  # fmt: skip
    assert allowed.command_line(TOOLS["export"], {"model": "first/17", "int8": True, "ensemble": False}) == [
        "export", "--model=first/17", "--int8", runs, "--json",
    ]  # fmt: skip
    assert allowed.command_line(TOOLS["check_dataset"], {"name": "mnist"}) == [
        "datasets", "check", "--json", "--", "mnist",
    ]  # fmt: skip


def test_a_sweep_has_a_limit_even_if_none_was_asked_for(tmp_path: Path) -> None:
    few = limits(tmp_path, most_trials=7)
    assert "--trials=7" in few.command_line(TOOLS["sweep"], {})
    assert "--trials=100" in limits(tmp_path).command_line(TOOLS["sweep"], {})
    assert "--trials=200" in limits(tmp_path).command_line(TOOLS["sweep"], {"time_budget": "10m"})


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("sweep", {"trials": 10_000}, "10,000 trials are more than the 200 that this server allows"),
        ("compare", {"recipes": ["lenet", "lenet-bn-dropout"], "seeds": 101}, "202 trials are more than the 200"),
        ("compare", {"recipes": ["lenet"] * 100}, "300 trials are more than the 200"),  # three seeds unless told
        ("confirm", {"top": 5, "seeds": 100}, "500 trials are more than the 200"),
        ("confirm", {"top": 41}, "205 trials are more than the 200"),
        ("train", {"recipe": "lenet", "folds": 201}, "201 trials are more than the 200"),
        ("compare", {"recipes": ["x.json"]}, "is a path"),
        ("check_dataset", {"name": "mnist\x00"}, "too long or holds control characters"),
        ("recipes", {"name": "x" * 200_000}, "too long or holds control characters"),
        ("sweep", {"trials": "many"}, "trials: 'many' is not of type 'integer'"),
        ("sweep", {"runs": "/"}, "unknown argument of sweep 'runs'"),
        ("report", {"run": "first"}, "unknown argument of report 'run'; valid: sweeps"),
        ("show", {}, "'run' is a required property"),
        ("show", {"run": "../elsewhere"}, "cannot be a run's name"),
        ("show", {"run": "--help"}, "cannot be a run's name"),
        ("leaderboard", {"run": "page.html"}, "is a page; give the name of a run"),
        ("train", {"recipe": "lenet", "name": "../x"}, "cannot be a run's name"),
        ("train", {"recipe": "best_parameters.json"}, "is a path"),
        ("train", {"recipe": "/etc/passwd"}, "is a path"),
        ("sweep", {"fix": ["model.name=../x"]}, "is a path"),
        ("export", {"model": "a/../b"}, "cannot be a run's name"),
        ("judge", {"files": ["/etc/passwd"]}, "is not in"),
        ("judge", {"files": ["\x00"]}, "control characters"),
        ("judge", {"files": ["runs/../../x.npz"]}, "is not in"),
        ("sweep", {"dataset": "mnist+folder:/etc"}, "'/etc' is not in"),
        ("check_dataset", {"name": "csv:/etc/passwd#0..1"}, "'/etc/passwd' is not in"),
    ],
)
def test_what_is_not_allowed_is_one_line(tmp_path: Path, tool: str, arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as raised:
        limits(tmp_path).command_line(TOOLS[tool], arguments)
    assert "\n" not in str(raised.value)


def test_resuming_counts_the_trials_that_the_run_was_asked_for(sweep_store: Run) -> None:
    count, runs = sweep_store.header.trial_count, sweep_store.folder.parent
    assert Limits(runs=runs, most_trials=count).command_line(TOOLS["resume"], {"run": "tiny"})
    with pytest.raises(UsageError, match=f"{count} trials are more than the {count - 1}"):
        Limits(runs=runs, most_trials=count - 1).command_line(TOOLS["resume"], {"run": "tiny"})


def test_a_sharp_sign_in_a_path_belongs_to_it_unless_it_states_a_range(tmp_path: Path) -> None:
    (tmp_path / "ok").mkdir()
    few = limits(tmp_path, folders=(tmp_path / "ok",))
    assert few.command_line(TOOLS["check_dataset"], {"name": f"npz:{tmp_path / 'ok/a.npz'}#0..1"})
    with pytest.raises(UsageError, match="is not in"):
        few.command_line(TOOLS["check_dataset"], {"name": f"folder:{tmp_path / 'ok'}#secret"})


def test_files_are_read_where_they_really_lie(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.npz").touch()
    (tmp_path / "runs/link.npz").symlink_to(tmp_path / "other/mine.npz")
    link, other = {"files": [str(tmp_path / "runs/link.npz")]}, {"files": [str(tmp_path / "other/mine.npz")]}
    for asked in (link, other):
        with pytest.raises(UsageError, match="--allow FOLDER"):
            limits(tmp_path).command_line(TOOLS["judge"], asked)
        words = limits(tmp_path, folders=(tmp_path / "other",)).command_line(TOOLS["judge"], asked)
        assert words[-1] == asked["files"][0]


def test_every_tool_is_in_the_guide_for_agents() -> None:
    guide = (ROOT / "docs/agents.md").read_text(encoding="utf-8")
    for name in (*TOOLS, "job", "jobs", "stop_job"):
        assert f"`{name}`" in guide, name
