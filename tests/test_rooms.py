"""The rooms: who may import whom, what each package says of itself, and what is installed."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import HOUSE, ROOT

PACKAGES = sorted(path.parent for name in HOUSE for path in (ROOT / name).rglob("__init__.py"))
MOST_FILES = 15  # in a room

STORED = "stored runs are judged and shown without torch"
PLANTED = {  # file -> the import that must not be there, and the contract that says so
    "sweeps/plans/planted_torch.py": ("import torch", "torch only in"),
    "sweeps/finishing/planted_torch.py": ("import torch", "torch only in"),
    "digits_core/judging/planted_torch.py": ("import torch", STORED),
    "digits_core/runs/planted_torch.py": ("import torch", STORED),
    "digits_core/data/planted_torch.py": ("import torch", STORED),
    "reports/rows/planted_torch.py": ("from digits_core.training import engine", STORED),
    "sweeps/view/planted_ray.py": ("import ray", "ray only in"),
    "sweeps/running/planted_optuna.py": ("import optuna", "optuna only in"),
    "sweeps/view/planted_plotly.py": ("import plotly", "plotly and jinja2 only in"),
    "digits_core/inference/planted_rich.py": ("import rich", "typer and rich only in"),
    "reports/pages/planted_up.py": ("from sweeps import words", "the house"),
    "digits_core/data/planted_up.py": ("from digits_core.judging import stats", "the rooms of digits_core"),
    "sweeps/space/planted_up.py": ("from sweeps.plans import config", "the rooms of sweeps"),
    "reports/rows/planted_up.py": ("from reports.charts import style", "the rooms of reports"),
}  # fmt: skip
CIRCLE = {  # hidden in a function and behind TYPE_CHECKING
    "sweeps/words.py": "\n\ndef _later() -> None:\n    from sweeps import planted_circle\n",
    "sweeps/planted_circle.py": (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from sweeps import words\n"
    ),
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the packages and of what checks and builds them."""
    for name in HOUSE:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cli.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def broken_contracts(house: Path) -> dict[str, str]:
    """Name -> what import-linter says of it, for each contract that does not hold."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=house, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    _, _, details = done.stdout.partition("Broken contracts\n")
    pieces = re.split(r"^(\S.*)\n-{4,}$", details, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def test_the_contracts_hold(house: Path) -> None:
    assert broken_contracts(house) == {}


def test_a_planted_import_breaks_its_contract(house: Path) -> None:
    for name, (statement, _) in PLANTED.items():
        (house / name).write_text(f"{statement}\n")
    broken = broken_contracts(house)
    for name, (_, contract) in PLANTED.items():
        module = name.removesuffix(".py").replace("/", ".")
        assert any(said.startswith(contract) and module in text for said, text in broken.items()), module


def test_a_circle_is_seen_wherever_it_hides(house: Path) -> None:
    for name, text in CIRCLE.items():
        with (house / name).open("a") as stream:
            stream.write(text)
    assert "planted_circle" in broken_contracts(house)["no circles"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_lists_its_files(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    listed = re.findall(r"^(\w+(?:\.py|/))\s+\S", docstring, flags=re.MULTILINE)
    files = [path.name for path in package.glob("*.py") if path.name != "__init__.py"]
    folders = [f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(listed) == sorted([*files, *folders])


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_is_known_at_a_glance(package: Path) -> None:
    assert len(list(package.glob("*.py"))) - 1 <= MOST_FILES


def test_a_wheel_holds_the_house_and_nothing_else(house: Path) -> None:
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=house, check=True, capture_output=True)
    (wheel,) = (house / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.partition("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"cli.py", *HOUSE}
    wanted = [path for name in HOUSE for path in (ROOT / name).rglob("*") if path.is_file()]
    missing = [path for path in wanted if "__pycache__" not in path.parts and str(path.relative_to(ROOT)) not in names]
    assert missing == []
