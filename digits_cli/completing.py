"""What a shell completes: the names of runs, models, recipes and data sets.

`digits --install-completion` sets it up for bash, zsh and fish. Nothing heavy is imported: it runs at every Tab.
"""

from collections.abc import Iterator
from pathlib import Path

import typer

from digits_core import DEFAULT_RUNS


def _runs_folder(context: typer.Context) -> Path:
    """The folder that --runs names, where it was typed already; else that of DIGITS_RUNS, or ./runs."""
    import os

    folder = Path(context.params.get("runs") or os.environ.get("DIGITS_RUNS") or DEFAULT_RUNS)
    try:
        return folder.expanduser()
    except RuntimeError:  # a home folder of nobody
        return folder


def _runs(context: typer.Context) -> Iterator[Path]:
    """Those whose names commands take. Others must not reach a shell, which would evaluate them."""
    from digits_core.runs.run import NAME_PATTERN

    try:
        found = sorted(path.parent for path in _runs_folder(context).glob("*/sweep.json"))
    except OSError:
        return
    yield from (folder for folder in found if NAME_PATTERN.fullmatch(folder.name))


def run_names(context: typer.Context, incomplete: str) -> list[str]:
    """The runs in the runs folder."""
    return [folder.name for folder in _runs(context) if folder.name.startswith(incomplete)]


def trial_names(context: typer.Context, incomplete: str) -> list[str]:
    """What `digits show` takes: runs, and below a run that is typed already its trials."""
    name, slash, _ = incomplete.partition("/")
    if not slash:
        return run_names(context, incomplete)
    return [each for each in _below(_runs_folder(context) / name, "record.json") if each.startswith(incomplete)]


def _below(folder: Path, file: str) -> list[str]:
    """RUN/17 for the trials of a run that have this file."""
    try:
        kept = sorted(path.parent.name for path in folder.glob(f"trials/*/{file}"))
    except OSError:
        return []
    from digits_core.runs.run import NAME_PATTERN

    known = NAME_PATTERN.fullmatch(folder.name) is not None
    return [f"{folder.name}/{int(each)}" for each in kept if known and each.isascii() and each.isdigit()]


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """What --model takes: runs, and below a run that is typed already its trials with weights and its ensemble."""
    name, slash, _ = incomplete.partition("/")
    if not slash:
        return ["ensemble"] * "ensemble".startswith(incomplete) + run_names(context, incomplete)
    folder = _runs_folder(context) / name
    found = _below(folder, "weights.safetensors")
    found += [f"{name}/ensemble"] if (folder / "ensemble.json").exists() else []
    return [each for each in found if each.startswith(incomplete)]


def recipe_names(incomplete: str) -> list[str]:
    """The named recipes."""
    from digits_core.recipes import RECIPES

    return [name for name in RECIPES if name.startswith(incomplete)]


def dataset_names(incomplete: str) -> list[str]:
    """The published data sets, and how to name your own."""
    from digits_core.data.datasets import DATASETS
    from digits_core.data.own import KINDS

    return [name for name in (*DATASETS, *(f"{kind}:" for kind in KINDS)) if name.startswith(incomplete)]
