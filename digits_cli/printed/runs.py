"""What `digits ls`, `show`, `watch` and `rm` print of runs, finished or running, from their folders alone."""

import time
from pathlib import Path
from typing import Any

from digits_cli.printed.sweep import candidate_text, score_document, score_text
from digits_core.records import RunKind, RunRecord, status_counts
from digits_core.runs.command_line import digits_command, replay_command, runs_option
from digits_core.runs.run import Run
from sweeps.view.progress import describe
from sweeps.view.run_state import RunState
from sweeps.words import counted, duration

TOP_COUNT = 5


Listed = list[tuple[str, RunState | None, str]]
"""Names of runs, each with its state or what is wrong with it: from sweeps.view.run_state.list_runs."""


def list_document(found: Listed) -> list[dict[str, Any]]:
    return [
        {"sweep": name, "state": "damaged", "problem": problem} if state is None else run_document(state)
        for name, state, problem in found
    ]


def list_lines(runs: Path, found: Listed) -> list[tuple[str, str]]:
    lines = []
    for name, state, problem in found:
        if state is None:
            lines.append((name, f"damaged: {problem}"))
            continue
        accuracy = candidate_text(state.best) if state.best else "none yet"
        header = state.run.header
        what = f"{header.kind} on {header.dataset}, {state.state_text}, {state.progress} trials"
        lines.append((name, f"{what}, {state.byte_count / 1e6:.1f} MB; best {accuracy}"))
    if not found:
        return [("next", digits_command("sweep", "--trials", 100, *runs_option(runs / "x")))]
    return [*lines, ("next", digits_command("show", found[-1][0], *runs_option(runs / found[-1][0])))]


def run_document(state: RunState) -> dict[str, Any]:
    """`trials` has the counts of `sweep --json`, also while the run is in progress."""
    run, best = state.run, state.best
    header, history = run.header, run.history
    return {
        "sweep": header.name,
        "kind": header.kind,
        "state": state.state,
        "folder": str(run.folder.absolute()),
        "dataset": header.dataset,
        "created_at": header.created_at,
        "trials_planned": header.asked_trials,
        "trials": status_counts(run.records),
        "running": {str(trial.assignment.trial): max(trial.nlls, default=0) for trial in history.unfinished},
        "retries": sum(trial.retries for trial in history.trials.values()),
        "sessions": len(history.sessions),
        "seconds": history.seconds,
        "test_openings": len(run.ledger),
        "bytes": state.byte_count,
        "best": best
        and {
            "trial": best.trial,
            "recipe_id": best.recipe.recipe_id,
            "runs": len(best.runs),
            "validation": best.runs[0].validation and score_document(best.runs[0].validation),
        },
    }


def run_lines(state: RunState) -> list[tuple[str, str]]:
    run = state.run
    header, history, counts = run.header, run.history, status_counts(run.records)
    lines = [
        ("run", f"{header.name}: {header.kind} on {header.dataset}, {state.state_text}"),
        ("started", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(header.created_at)) + f" on {header.hardware}"),
        (
            "trials",
            f"{state.progress}: {counts['finished']} finished, {counts['stopped']} stopped early,"
            f" {counts['failed']} failed",
        ),
    ]
    begun = [f"{t.assignment.trial} (epoch {max(t.nlls, default=0)})" for t in history.unfinished if t.nlls]
    if begun:
        lines.append(("running" if state.state == "running" else "interrupted", ", ".join(begun[:8])))
    if header.plan is not None:
        objectives = ", ".join(header.plan.objectives)
        chosen = "" if header.plan.scheduler == "pbt" else f"{header.plan.search}, "  # pbt samples by itself
        words = f"{chosen}{header.plan.scheduler}, {len(header.space)} parameters, for {objectives}"
        lines.append(("search", words))
    lines += [
        (f"  {one.name}", f"{candidate_text(one)}; {describe(one.record)}") for one in state.candidates[:TOP_COUNT]
    ]
    if header.kind == RunKind.TRAINING and counts["failed"]:
        lines += [("failed", record.failure) for record in run.records]
    took = f"{duration(history.seconds)} in {counted(len(history.sessions), 'session')}, " if history.sessions else ""
    lines.append(("took", f"{took}{state.byte_count / 1e6:.1f} MB; test set opened {counted(len(run.ledger), 'time')}"))
    lines.append(("folder", str(run.folder.absolute())))
    return [*lines, ("next", _next_of(state))]


def _next_of(state: RunState) -> str:
    run, runs = state.run, runs_option(state.run.folder)
    if state.state == "running":
        return digits_command("watch", run.name, *runs)
    if state.state == "interrupted" and run.history.sessions:
        return digits_command("resume", run.name, *runs)
    return digits_command("report", run.name, *runs)


def trial_document(run: Run, record: RunRecord) -> dict[str, Any]:
    return {"sweep": run.name, **record.to_dict()}


def trial_lines(run: Run, record: RunRecord) -> list[tuple[str, str]]:
    lines = [("trial", f"{record.trial} of {run.name}: {record.status}")]
    if record.label:
        lines.append(("recipe", record.label))
    lines += [(f"  {name}", str(value)) for name, value in record.recipe.changes().items()]
    if record.validation is not None:
        lines.append(("validation", score_text(record.validation)))
        lines.append(("epochs", f"{len(record.curve)} of {record.recipe.training.epochs}, best {record.best_epoch}"))
        lines += [
            (
                f"  {row.epoch}",
                f"NLL {row.validation_nll:.4f}, {row.validation_error_count} of {row.validation_n:,} wrong",
            )
            for row in record.curve[-TOP_COUNT:]
        ]
        ran = f"{record.parameter_count:,} parameters, {duration(record.train_seconds)} on {record.device}"
        lines.append(("training", f"{ran}, {record.precision}, {record.execution}"))
    lines += [("error", line) for line in (record.error or "").strip().splitlines()[-12:]]
    again = replay_command(run.folder, record.trial)
    return [*lines, ("next", again if record.counts else digits_command("show", run.name, *runs_option(run.folder)))]


def removal_document(removed: dict[str, int]) -> dict[str, Any]:
    return {"removed": removed, "bytes": sum(removed.values())}


def removal_lines(at: str | None, runs: Path, removed: dict[str, int]) -> list[tuple[str, str]]:
    """`at`: where the runs were deleted; None: in the runs folder."""
    lines = [("deleted", f"{at or runs}/{name}, {byte_count / 1e6:.1f} MB") for name, byte_count in removed.items()]
    return [*lines, ("next", digits_command("ls", *(["--at", at] if at else runs_option(runs / "x"))))]
