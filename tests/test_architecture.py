"""Design decisions, checked. The import contracts are in pyproject.toml (`make check`)."""

import ast
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from digits_core.data.digits import Split
from tests.helpers.paths import HOUSE, ROOT

SOURCES = [
    ROOT / "cli.py",
    *sorted(path for folder in HOUSE for path in (ROOT / folder).rglob("*.py")),
]

PRINTED = ", ".join(  # what prints stored runs; doctor looks at the processors, which takes torch
    f"digits_cli.printed.{path.stem}"
    for path in sorted((ROOT / "digits_cli" / "printed").glob("[!_]*.py"))
    if path.stem != "doctor"
)


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text())
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (
            "reports.pages.report, digits_core.judging.stats, digits_core.runs.run, digits_core.judging.ensemble",
            ("torch", "ray", "optuna"),
        ),
        ("cli", ("torch", "ray", "optuna", "numpy", "plotly", "rich.live")),
        (PRINTED, ("torch", "ray", "optuna", "plotly")),
        (
            "digits_core.training.engine, digits_core.inference.sealed",
            ("ray", "optuna", "torchvision", "plotly", "sklearn", "pooch", "requests"),
        ),
    ],
)
def test_imports_stay_light(modules: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print([name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_command_line_is_the_top_and_imports_nothing_heavy_at_module_level() -> None:
    for path in SOURCES:
        modules = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert "cli" not in modules, path
    for path in (ROOT / "cli.py", *(ROOT / "digits_cli").glob("*.py")):
        top_level = ast.parse(path.read_text()).body
        imported = {node.module for node in top_level if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in top_level if isinstance(node, ast.Import) for alias in node.names}
        first_names = {str(name).partition(".")[0] for name in imported}
        assert first_names <= {*sys.stdlib_module_names, "typer", "digits_cli", "digits_core"}, path


def test_only_the_seal_touches_the_test_part() -> None:
    callers = [path.name for path in SOURCES for name, _ in calls(path) if name.endswith("sealed_test_part")]
    assert set(callers) == {"sealed.py"}
    writers = {
        path.name for path in SOURCES for name, _ in calls(path) if name.endswith(("write_test", "write_test_part"))
    }
    assert writers == {"sealed.py"}
    openers = {path.name for path in SOURCES for name, _ in calls(path) if name.endswith("open_test")}
    assert openers == {"finish.py", "ensembling.py"}
    foreign = {path.name for path in SOURCES for name, _ in calls(path) if name.endswith("open_foreign_test_images")}
    assert foreign == {"transfer.py"}
    scorers = {path.name for path in SOURCES for name, _ in calls(path) if name.endswith("open_test_labels")}
    assert scorers == {"outside.py"}  # predictions made elsewhere are judged on them
    lookers = {path.name for path in SOURCES for name, _ in calls(path) if name.endswith("open_test_images")}
    assert lookers == {"exporting.py"}  # the exported model is compared with torch on them; nothing is chosen by it


def test_a_trial_never_gets_the_test_set() -> None:
    assert [field.name for field in fields(Split)] == ["train", "validation", "validation_indices", "split_id"]


def test_nothing_is_unpickled_or_printed() -> None:
    for path in SOURCES:
        for name, call in calls(path):
            assert name not in ("print", "eval", "exec", "torch.load", "torch.save"), path
            assert not name.startswith(("pickle.", "cloudpickle.", "joblib.load")), path
            if name == "np.load":
                assert ast.unparse(call.keywords[0].value) == "False", path


def test_one_training_loop() -> None:
    loops = [path.name for path in SOURCES for name, _ in calls(path) if name.endswith(("backward", "optimizer.step"))]
    assert sorted(loops) == ["engine.py", "engine.py"]


def test_files_and_functions_stay_readable() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                # Options and help text do not make a command hard to read, so only its statements count.
                statements = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0
                assert lines <= 45, f"{path.name}: {node.name}"


def commands() -> dict[str, str]:
    """Every command's name and help."""
    import cli

    found = {command.name or command.callback.__name__: command for command in cli.app.registered_commands}  # type: ignore[union-attr]
    found |= {f"datasets {command.name}": command for command in cli.datasets.registered_commands}
    return {name: command.callback.__doc__ or "" for name, command in found.items()}


def test_every_command_has_examples() -> None:
    assert len(commands()) >= 20
    for name, text in commands().items():
        assert f"digits {name}" in text.partition("Examples:")[2], name


def test_the_readme_is_short_and_names_only_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.count("\n") <= 150
    named = set(re.findall(r"^digits ((?:datasets )?[a-z]+)", readme, flags=re.MULTILINE))
    assert len(named) >= 12
    assert named <= set(commands())
