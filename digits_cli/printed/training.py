"""What `digits train`, `replay` and `recipes` print."""

import dataclasses
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits_cli.printed.sweep import score_document, score_text, spread_text
from digits_core.data.datasets import DATASETS
from digits_core.environment import how_to_install, is_installed
from digits_core.judging.published import is_as_published, our_figures
from digits_core.judging.stats import spread_of
from digits_core.metrics import Score, score
from digits_core.recipes import RECIPES
from digits_core.runs.command_line import digits_command, open_command, runs_option
from digits_core.runs.run import Run
from sweeps.view.progress import describe
from sweeps.words import counted, duration

if TYPE_CHECKING:
    from digits_core.inference.inside import LayerRow
    from sweeps.running.replay import Replay


def training_document(run: Run, report: Path | None) -> dict[str, Any]:
    record, test = run.record(0), _test_score(run)
    return {
        "run": run.header.name,
        "folder": str(run.folder.absolute()),
        "report": report and str(report),
        "recipe_name": record.label,
        "recipe_id": record.recipe.recipe_id,
        "recipe": dataclasses.asdict(record.recipe),
        "dataset": run.header.dataset,
        "status": record.status,
        "epochs": len(record.curve),
        "best_epoch": record.best_epoch,
        "train_seconds": record.train_seconds,
        "parameters": record.parameter_count,
        "device": record.device,
        "precision": record.precision,
        "execution": record.execution,
        "threads": record.thread_count,
        "folds": [score_document(score) for score in record.fold_scores],
        "validation": record.validation and score_document(record.validation),
        "test": test and score_document(test),
        "test_openings": len(run.ledger),
    }


def _test_score(run: Run) -> Score | None:
    return score(run.test_labels, run.test_probabilities(0)) if run.has_opened_test(0) else None


def training_lines(run: Run, report: Path | None) -> list[tuple[str, str]]:
    record, test = run.record(0), _test_score(run)
    spent = f"{counted(len(record.curve), 'epoch')} in {duration(record.train_seconds)}"
    lines = [
        (
            "recipe",
            f"{record.label}: {spent}, {record.parameter_count:,} parameters, {record.precision}, {record.execution}",
        )
    ]
    if record.validation:
        part = "out of fold" if record.fold_scores else "validation"
        lines.append((part, f"{score_text(record.validation)} (epoch {record.best_epoch})"))
    if record.fold_scores:
        lines.append(("by fold", spread_text(spread_of([score.accuracy for score in record.fold_scores]))))
    tested = "not opened, because the run was interrupted"
    if record.fold_scores:
        tested = "none for a cross-validation, which has a network per fold"
    if test:
        tested = f"{score_text(test)}; opened {counted(len(run.ledger), 'time')}"
    lines.append(("sealed test", tested))
    if is_as_published(record.label, record.recipe, run.header):
        lines.append(("published", RECIPES[record.label].published))
    lines.append(("folder", str(run.folder.absolute())))
    if report:
        lines.append(("report", str(report)))
    lines.append(("next", open_command(report) if report else digits_command("recipes")))
    return lines


def replay_document(run: Run, outcome: "Replay") -> dict[str, Any]:
    return {
        "run": run.header.name,
        "trial": outcome.record.trial,
        "n": outcome.n,
        "differing_predictions": outcome.differing_count,
        "largest_difference": outcome.largest_difference,
        "same_bits": outcome.same_bits,
        "changes": list(outcome.changes),
    }


def replay_lines(run: Run, outcome: "Replay") -> list[tuple[str, str]]:
    largest = (
        "bit-identical" if outcome.same_bits else f"probabilities differ by at most {outcome.largest_difference:.2g}"
    )
    lines = [
        ("trial", f"{outcome.record.trial} of {run.header.name}: {describe(outcome.record)}"),
        ("differ", f"{outcome.differing_count} of {counted(outcome.n, 'validation prediction')}; {largest}"),
    ]
    if outcome.changes:
        lines.append(("changed", "; ".join(outcome.changes)))
    lines.append(("next", digits_command("report", run.header.name, *runs_option(run.folder))))
    return lines


def recipe_documents(runs: Path) -> list[dict[str, Any]]:
    """`ours` is null for recipes that no stored run has trained as published."""
    ours = our_figures(runs)
    return [
        _recipe_document(name) | {"ours": dataclasses.asdict(ours[name]) if name in ours else None} for name in RECIPES
    ]


def _recipe_document(name: str) -> dict[str, Any]:
    named = RECIPES[name]
    return {
        "name": name,
        "dataset": named.dataset,
        "source": named.source,
        "published": named.published,
        "about": inspect.getdoc(named.build),
        "recipe": dataclasses.asdict(named.build()),
    }


def one_recipe_document(name: str) -> dict[str, Any]:
    """`layers` is null without torch, which builds the network."""
    rows = _layers(name)
    return _recipe_document(name) | {"layers": None if rows is None else [dataclasses.asdict(row) for row in rows]}


def one_recipe_lines(name: str) -> list[tuple[str, str]]:
    """The fields that differ from the defaults, and the layers."""
    named = RECIPES[name]
    lines = [(name, f"{named.source}, on {named.dataset}; published: {named.published}")]
    lines.append(("about", " ".join((inspect.getdoc(named.build) or "").split())))
    lines += [(field, str(value)) for field, value in named.build().changes().items()]
    rows = _layers(name)
    if rows is None:
        return [*lines, ("layers", f"not shown without torch; run: {how_to_install('train')}")]
    for row in rows:
        shape = " x ".join(map(str, row.output))
        lines.append((f"layer {row.name}", f"{row.kind:<18} {shape:<14} {row.parameter_count:>9,}".rstrip()))
    lines.append(("parameters", f"{sum(row.parameter_count for row in rows):,}"))
    return [*lines, ("next", digits_command("train", name))]


def _layers(name: str) -> tuple["LayerRow", ...] | None:
    named = RECIPES[name]
    if not is_installed("torch"):
        return None
    from digits_core.inference.inside import layer_rows

    return layer_rows(named.build(), DATASETS[named.dataset].side)


def recipe_lines(runs: Path) -> list[tuple[str, str]]:
    ours, lines = our_figures(runs), []
    for name, named in RECIPES.items():
        lines.append((name, f"{named.dataset:<16}  {named.source}: {named.published}"))
        if name in ours:
            own = ours[name]
            lines.append(("", f"  ours: {spread_text(own.accuracy)} on {own.n:,}; {duration(own.train_seconds)} a run"))
    if not ours:
        lines.append(("ours", f"none trained in {runs} yet; digits compare --published trains them all"))
    return [*lines, ("next", digits_command("train", "lenet"))]
