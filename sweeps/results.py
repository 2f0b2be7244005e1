"""What a sweep and an ensemble print: a JSON document for scripts, labelled lines for people."""

import dataclasses
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from digits_core.metrics import Score
from digits_core.records import Contender, EnsembleRecord, SweepSummary
from digits_core.stats import accuracy_interval
from digits_core.store import SweepStore
from sweeps.progress import describe, duration


def sweep_document(store: SweepStore, summary: SweepSummary, report: Path | None, test: Score | None) -> dict[str, Any]:
    """What `sweep --json` prints. `report` and `best` are null where no trial counts."""
    winner = next(iter(store.ranked()), None)
    best = winner and {
        "trial": winner.trial,
        "recipe_id": winner.recipe.recipe_id,
        "recipe": dataclasses.asdict(winner.recipe),
        "validation": winner.validation and _score_document(winner.validation),
        "test": test and _score_document(test),
    }
    return {
        "sweep": store.header.name,
        "folder": str(store.folder.absolute()),
        "report": report and str(report),
        "dataset": store.header.dataset,
        "trials": store.status_counts(),
        "interrupted": summary.interrupted,
        "seconds": summary.seconds,
        "training_share": summary.training_share,
        "test_openings": len(store.ledger()),
        "best": best,
    }


def sweep_lines(
    store: SweepStore, summary: SweepSummary, report: Path | None, test: Score | None
) -> list[tuple[str, str]]:
    """What `sweep` prints for people."""
    header, counts, lines = store.header, store.status_counts(), []
    if summary.interrupted:
        lines.append(("interrupted", f"{sum(counts.values())} of {header.trial_count} trials are kept"))
    for winner in store.ranked()[:1]:
        assert winner.validation is not None
        unopened = "not opened, because the sweep was interrupted"
        lines.append(("winner", f"trial {winner.trial}: {describe(winner)}"))
        lines.append(("  validation", _score_text(winner.validation)))
        lines.append(("  sealed test", f"{_score_text(test)}; opened {len(store.ledger())} time" if test else unopened))
    shares = f"{summary.training_share:.0%} of the workers' time spent training"
    ended = f"{counts['finished']} finished, {counts['stopped']} stopped early, {counts['failed']} failed"
    lines.append(("trials", f"{ended} in {duration(summary.seconds)}; {shares}"))
    lines.append(("folder", str(store.folder.absolute())))
    if summary.interrupted:
        lines.append(("to search on", f"{search_on_command(store)} (a new sweep)"))
    if report:
        lines.append(("report", str(report)))
        lines.append(("next", _digits_command("ensemble", "--top", 5, "--sweep", header.name, *_runs_option(store))))
    return lines


def search_on_command(store: SweepStore) -> str:
    """The command that runs what an interrupted sweep did not get to, with seeds that it did not use."""
    header = store.header
    return _digits_command(
        "sweep", "--dataset", header.dataset, "--trials", header.trial_count - len(store.records()),
        "--seed", header.seed + header.trial_count, "--max-epochs", header.max_epochs,
        "--concurrency", header.concurrency, *_runs_option(store),
    )  # fmt: skip


def ensemble_document(store: SweepStore, record: EnsembleRecord, report: Path) -> dict[str, Any]:
    """What `ensemble --json` prints."""
    return {
        "sweep": store.header.name,
        "report": str(report),
        "ensemble": {
            "method": record.method,
            "reason": record.reason,
            "members": [{"trial": trial, "weight": weight} for trial, weight in record.chosen.weights.items()],
            **_contender_document(record.chosen),
        },
        "best_single": {"trial": next(iter(record.best_single.weights)), **_contender_document(record.best_single)},
        "contenders": [
            {"method": contender.method, **_contender_document(contender)} for contender in record.contenders
        ],
        "test_openings": len(store.ledger()),
    }


def ensemble_lines(store: SweepStore, record: EnsembleRecord, report: Path) -> list[tuple[str, str]]:
    """What `ensemble` prints for people."""
    lines: list[tuple[str, str]] = []
    for contender in record.contenders:
        label = "best single" if contender.method == "single" else contender.method
        lines.append((label, "  ".join(f"trial {t} ({w:.2f})" for t, w in contender.weights.items())))
        lines.append(("  validation", _score_text(contender.validation)))
        lines.append(("  sealed test", _score_text(contender.test)))
    lines.append(("used", f"{record.method}: {record.reason}"))
    lines.append(("test opened", f"{len(store.ledger())} times"))
    lines.append(("report", str(report)))
    lines.append(("next", open_command(report)))
    return lines


def _score_document(score: Score) -> dict[str, Any]:
    """A score with the 95 % Wilson interval of its accuracy."""
    interval = accuracy_interval(score.error_count, score.n)
    return {**dataclasses.asdict(score), "accuracy_interval": [interval.low, interval.high]}


def _contender_document(contender: Contender) -> dict[str, Any]:
    return {"validation": _score_document(contender.validation), "test": _score_document(contender.test)}


def _score_text(score: Score) -> str:
    interval = accuracy_interval(score.error_count, score.n)
    return (
        f"{score.accuracy:.2%} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
        f"  {score.error_count} of {score.n:,} wrong, NLL {score.nll:.4f}"
    )


def _runs_option(store: SweepStore) -> list[str]:
    return [] if store.folder.parent == Path("runs") else ["--runs", str(store.folder.parent)]


def _digits_command(*words: object) -> str:
    """A command line that can be pasted into a shell, also where `digits` was called by its path."""
    called = Path(sys.argv[0])
    program = str(called) if called.name == "digits" and shutil.which("digits") is None else "digits"
    return shlex.join([program, *map(str, words)])


def open_command(path: Path) -> str:
    """The command that opens a file in the browser on this platform."""
    opener = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")
    return shlex.join([opener, str(path)])
