"""The machine, the package versions as recorded with every run, and what a smaller install leaves out."""

import importlib.metadata
import importlib.util
import platform
import shlex
import shutil
import sys
from pathlib import Path

EXTRAS = ("train", "mcp", "tensorboard", "mlflow", "wandb", "postgres")
"""What a base install leaves out; pyproject.toml lists what each brings."""

RECORDED_PACKAGES = ("digits", "torch", "ray", "optuna", "numpy", "scikit-learn", "plotly")


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that affect results, Python first."""
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        versions[package] = importlib.metadata.version(package) if _has(package) else "not installed"
    return versions


def is_installed(module: str) -> bool:
    """Whether a module can be imported. Does not import it."""
    return importlib.util.find_spec(module) is not None


def packages_of(extra: str) -> list[str]:
    """The packages that an extra brings, as pyproject.toml names them; none if this package is not installed."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("digits") or ()
    except importlib.metadata.PackageNotFoundError:
        return []
    needed = map(Requirement, lines)
    return [one.name for one in needed if one.marker is not None and one.marker.evaluate({"extra": extra})]


def missing_of(extra: str) -> list[str]:
    """Those of an extra's packages that are not installed."""
    return [name for name in packages_of(extra) if not _has(name)]


def _has(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def extra_with(module: str) -> str | None:
    """The extra of this package (as in `pip install 'digits[train]'`) that brings a module; None if none does."""
    wanted = module.partition(".")[0].lower().replace("_", "-")
    for extra in EXTRAS:
        if wanted in (name.lower().removesuffix("-skinny") for name in packages_of(extra)):  # mlflow-skinny is mlflow
            return extra
    return None


def how_to_install(extra: str) -> str:
    """The command that adds an extra to this install: to the environment of this Python, whichever is active."""
    ours = Path(sys.executable).parent
    found = shutil.which("pip")
    pip = "pip" if found and Path(found).parent == ours else f"{shlex.quote(sys.executable)} -m pip"
    return f"{pip} install 'digits[{extra}]'"


def hardware_name() -> str:
    """Processor model and count, e.g. `AMD EPYC, 2 processors`."""
    return f"{processor_name()}, {processor_count()} processors"


def processor_count() -> int:
    """Processors this process may use: fewer than the machine has in a container or under CPU affinity."""
    import joblib

    return int(joblib.cpu_count())


def processor_name() -> str:
    """The processor's model name if the system reports it, otherwise its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
