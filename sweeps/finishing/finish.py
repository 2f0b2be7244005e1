"""What happens once the trials of a run have ended, whatever its kind: test set, best parameters, a look inside.

The page comes after that, from the commands: reports and sweeps meet on disk.
"""

import contextlib
import dataclasses

from digits_core.inference.sealed import open_test
from digits_core.judging.candidates import leader
from digits_core.recipes import best_parameters
from digits_core.records import RunKind, RunRecord, by_label
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.finishing.insight import keep_inside
from sweeps.words import counted


def finish(run: Run) -> Run:
    """Do what is missing, and return the run as it is then.

    Opens the sealed test set for the trials that this kind of run reports: the leader of a sweep, the only trial of a
    training run, all runs of a comparison, confirmation or refit, unless they were interrupted or cross-validated.
    Writes the leader's recipe to a file, and what its network looks like inside. Raises EnvironmentFailure if the test
    set cannot be opened, UsageError if another process drives the run.
    """
    with sole_driver(run.folder):
        run = Run(run.folder)
        is_complete = has_ended(run)
        if is_complete and (closed := still_sealed(run)):
            open_test(run, closed, _purpose(run))
        judged = Run(run.outer.folder)
        # After an error, writing may fail as well: the disk may be full.
        with contextlib.suppress(OSError) if run.summary and run.summary.error else contextlib.nullcontext():
            keep_best_parameters(judged)
        if is_complete:
            keep_inside(judged)
    return Run(run.folder)


def has_ended(run: Run) -> bool:
    """Whether nothing is left to train: all trials have ended, or the limit that was asked for ended the search."""
    summary = run.summary
    if summary is None or summary.interrupted:
        return False
    return bool(summary.limit) or len(run.records) >= run.header.trial_count


def still_sealed(run: Run) -> list[RunRecord]:
    """The trials that the sealed test set is still to be opened for, by number."""
    if run.header.fold_count:
        return []
    wanted = run.ranked
    if run.header.kind in (RunKind.SWEEP, RunKind.TRAINING):
        leads = leader(run)
        # The recipes that lead a confirmed sweep are tested by `digits confirm`.
        wanted = () if leads is None or leads.confirmed else leads.runs
    closed = [record for record in wanted if not run.has_opened_test(record.trial)]
    return sorted(closed, key=lambda record: record.trial)


def _purpose(run: Run) -> str:
    """Why the test set is opened, for the ledger."""
    kind = run.header.kind
    if kind == RunKind.SWEEP:
        return "leader of the sweep"
    if kind == RunKind.TRAINING:
        return f"end of training {run.ranked[0].label}"
    if kind == RunKind.COMPARISON:
        return f"comparison of {counted(run.header.trial_count, 'run')}"
    what = "final models" if kind == RunKind.REFIT else "confirmation"
    return f"{what} of {counted(len(by_label(run.ranked)), 'recipe')}"


def keep_best_parameters(run: Run) -> None:
    """Write the leader's recipe as a file that `digits train` takes. Does nothing if no trial counts."""
    leads = leader(run)
    if leads is None:
        return
    validation = leads.runs[0].validation
    best = best_parameters(
        leads.recipe,
        name=f"{run.name}, trial {leads.trial}",
        dataset=run.header.dataset,
        validation=dataclasses.asdict(validation) if validation else {},
    )
    RunWriter(run.folder).write_best_parameters(best)
