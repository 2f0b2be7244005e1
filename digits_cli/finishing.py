"""What commands that train have in common: run the trials, finish the run, write its page, then print the result.

And what follows a search in the same command, if that was asked for: confirmation and ensemble.
"""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from digits_cli.shell import INTERRUPTED, emit, say
from digits_core.runs.run import Run

if TYPE_CHECKING:
    from digits_cli.printed.following import Followed
    from sweeps.plans.following import Following
    from sweeps.plans.planning import RunPlan


def ran(plan: "RunPlan") -> Run:
    """Run the planned trials, with their progress on stderr. Returns the run as it is then."""
    from sweeps.running.runner import run_trials
    from sweeps.view.progress import progress_console, view_of

    return run_trials(plan, view_of(plan.header, plan.folder, progress_console(sys.stderr)))


@contextlib.contextmanager
def finished(run: Run) -> Iterator[tuple[Run, Path | None]]:
    """Finish a run and write the page of the run that it belongs to. Yields the run as it is then, and the page's path.

    If the page cannot be written, the body still prints the result; then the failure is raised.
    """
    from reports.pages.report import report_after_result
    from sweeps.finishing.finish import finish

    run = finish(run)
    with report_after_result(Run(run.outer.folder)) as report:
        yield run, report


def run_following(run: Run, following: "Following", *, as_json: bool) -> None:
    """Do what follows the search of a run, finish the run, and print the results of all steps as one."""
    from digits_cli.printed.following import followed_document, followed_lines
    from reports.pages.report import report_after_result

    done = _followed(run, following)
    with report_after_result(done.sweep) as report:
        emit(followed_document(done, report), followed_lines(done, report), as_json=as_json)
        if done.failure is not None:
            raise done.failure
        if done.confirmation is not None and not done.confirmation.is_out_of_time:
            done.confirmation.raise_if_failed()
    if done.is_interrupted:
        raise typer.Exit(INTERRUPTED)


def _followed(run: Run, following: "Following") -> "Followed":
    """Confirm and combine. If no run was confirmed (no time, or all failed), combine the search's own trials.

    What fails on the way is kept, so that what came before it is still finished and printed.
    """
    from digits_cli.printed.following import Followed
    from digits_core.errors import EnvironmentFailure, UsageError
    from digits_core.inference.ensembling import build_ensemble
    from sweeps.finishing.finish import finish
    from sweeps.plans.following import CONFIRM, ENSEMBLE

    done = Followed(sweep=run, options=following.options)
    try:
        if CONFIRM in following.steps:
            done = _confirmed(done, run, following)
    except (UsageError, EnvironmentFailure) as error:
        done = replace(done, failure=error)
    confirmation = Run(run.folder).confirmation()
    is_confirmed = confirmation is not None and bool(confirmation.ranked)
    # The search's own leader is tested only if nothing better will be.
    run = Run(run.folder) if is_confirmed or done.is_interrupted else finish(run)
    done = replace(done, sweep=run)
    if ENSEMBLE not in following.steps or done.is_interrupted or done.failure is not None:
        return done
    try:
        ensemble = build_ensemble(run, following.ensemble(confirmed=is_confirmed))
    except (UsageError, EnvironmentFailure) as error:
        return replace(done, failure=error)
    return replace(done, sweep=Run(run.folder), ensemble=ensemble)


def _confirmed(done: "Followed", run: Run, following: "Following") -> "Followed":
    """With the confirmation, finished, or with the reason why there is none: no time for it."""
    from digits_cli.printed.leaderboard import ConfirmationOutcome
    from digits_core.errors import UsageError
    from sweeps.finishing.finish import finish
    from sweeps.plans.confirming import plan_confirmation

    try:
        planned = plan_confirmation(following.confirmation(run))
    except UsageError as error:
        say(str(error))
        return replace(done, skipped=str(error))
    say(planned.plan.line)
    if not planned.left:
        return replace(done, confirmation=ConfirmationOutcome(run=finish(Run(planned.folder))))
    # On the cluster that the search ran on.
    plan = replace(planned.plan, address=following.address, gpus_per_trial=following.gpus_per_trial)
    return replace(done, confirmation=ConfirmationOutcome(run=finish(ran(plan))))
