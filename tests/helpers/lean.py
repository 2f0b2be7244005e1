"""Run `digits` as a base install would: every module that only an extra brings is as if it were not installed."""

import json
import re
import sys
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

from packaging.requirements import Requirement

OURS = {"cli", "digits_cli", "digits_core", "reports", "sweeps", "tests", "benchmarks"}
TOOLS = {"_distutils_hack", "distutils-precedence", "pip", "pkg_resources", "setuptools"}


def base_packages() -> set[str]:
    """The packages that a base install brings, by normalised name."""
    found: set[str] = set()
    waiting = [("digits", "")]
    while waiting:
        package, extra = waiting.pop()
        found.add(normalised(package))
        try:
            lines = metadata.requires(package) or []
        except metadata.PackageNotFoundError:  # another platform's
            continue
        for needed in map(Requirement, lines):
            if normalised(needed.name) in found and not needed.extras:
                continue
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, each) for each in ("", *needed.extras)]
    return found


def normalised(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def left_out() -> list[str]:
    """The top-level modules that are installed here and would not be in a base install."""
    base = base_packages()
    return [
        module
        for module, packages in metadata.packages_distributions().items()
        if not any(normalised(one) in base for one in packages) and module not in OURS | TOOLS
    ]


class Without(MetaPathFinder):
    """Finds what another finder finds, but for some top-level modules."""

    def __init__(self, finder: Any, hidden: set[str]) -> None:
        self.finder, self.hidden = finder, hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if name.partition(".")[0] in self.hidden else self.finder.find_spec(name, path, target)

    def find_distributions(self, *arguments: Any) -> Any:
        return getattr(self.finder, "find_distributions", lambda *_: ())(*arguments)


def main() -> None:
    """argv: a JSON list of command lines. Prints a JSON list of [exit code, stdout, stderr]."""
    hidden = set(left_out())
    assert not hidden & set(sys.modules), "imported before the command line"
    sys.meta_path[:] = [Without(finder, hidden) for finder in sys.meta_path]
    from tests.helpers.command_line import run

    sys.stdout.write(json.dumps([run(*arguments) for arguments in json.loads(sys.argv[1])]))


if __name__ == "__main__":
    main()
