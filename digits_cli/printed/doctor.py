"""What `digits doctor` finds and prints: what this machine has and what a sweep would use."""

import os
from dataclasses import dataclass
from pathlib import Path

from digits_core import environment
from digits_core.data.datasets import DATASETS
from digits_core.data.files import data_folder, is_at_hand
from digits_core.environment import EXTRAS, how_to_install, is_installed, missing_of
from digits_core.runs.command_line import digits_command
from digits_core.runs.run import runs_in
from sweeps.space.spaces import default_space, dimension
from sweeps.words import counted

BFLOAT16 = {True: "in hardware", False: "not in hardware; float32 is used", None: "not known without torch"}


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The findings of `digits doctor`."""

    versions: dict[str, str]
    processor: str
    processor_count: int  # those this process may use
    gpus: list[str]
    native_bfloat16: bool | None  # None: not known without torch
    datasets: dict[str, str]  # name -> "available (...)", or what is missing
    data_folder: str
    runs_folder: str
    runs_writable: bool
    sweep_count: int
    would_use: str
    left_out: dict[str, list[str]]  # extra -> those of its packages that are not installed


def examine(runs: Path) -> Diagnosis:
    """Collect the findings; change nothing."""
    processors, gpus, native_bfloat16 = environment.processor_count(), [], None
    would_use = f"nothing: searching and training need torch; run: {how_to_install('train')}"
    if is_installed("torch"):
        from digits_core.training.device import accelerator_count, default_device, gpu_names, has_native_bfloat16

        device = default_device()
        gpus, native_bfloat16 = gpu_names(), has_native_bfloat16(device)
        at_a_time = counted(accelerator_count() or processors, "trial")
        space_name, space = default_space(device.type, DATASETS["mnist"].side)
        would_use = f"{at_a_time} at a time on {device.type}, the {space_name} space ({dimension(space)})"
    return Diagnosis(
        versions=environment.package_versions(),
        processor=environment.processor_name(),
        processor_count=processors,
        gpus=gpus,
        native_bfloat16=native_bfloat16,
        datasets={name: _availability(name) for name in DATASETS},
        data_folder=str(data_folder()),
        runs_folder=str(runs.absolute()),
        runs_writable=_is_writable(runs.absolute()),
        sweep_count=len(runs_in(runs)) if runs.is_dir() else 0,
        would_use=would_use,
        left_out={extra: missing for extra in EXTRAS if (missing := missing_of(extra))},
    )


def _availability(name: str) -> str:
    source = DATASETS[name]
    missing = [file.path for file in source.files if not is_at_hand(file)]
    if missing:
        return f"missing, downloaded when needed: {', '.join(missing)}"
    if not source.files and not is_installed("sklearn"):
        return "scikit-learn is not installed"
    return f"available ({source.description})"


def _is_writable(folder: Path) -> bool:
    """Whether the folder, or its nearest existing parent, is writable."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def doctor_lines(found: Diagnosis) -> list[tuple[str, str]]:
    writable = "" if found.runs_writable else ", NOT WRITABLE"
    return [
        ("versions", ", ".join(f"{package} {version}" for package, version in found.versions.items())),
        ("processors", f"{found.processor_count} ({found.processor})"),
        ("GPUs", ", ".join(found.gpus) or "none"),
        ("bfloat16", BFLOAT16[found.native_bfloat16]),
        *((f"data: {name}", availability) for name, availability in found.datasets.items()),
        ("data folder", f"{found.data_folder} (set DIGITS_DATA_DIR to change it)"),
        ("runs folder", f"{found.runs_folder}, {counted(found.sweep_count, 'run')}{writable}"),
        ("would use", found.would_use),
        *([("left out", f"{', '.join(found.left_out)}; run: {how_to_install('NAME')}")] if found.left_out else []),
        ("next", how_to_install("train") if "train" in found.left_out else digits_command("sweep", "--trials", 100)),
    ]
