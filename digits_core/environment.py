"""The machine and the package versions, as recorded with every run."""

import importlib.metadata
import platform
from pathlib import Path

RECORDED_PACKAGES = ("digits", "torch", "ray", "optuna", "numpy", "scikit-learn", "plotly")


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that affect results, Python first."""
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


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
