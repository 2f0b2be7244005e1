"""What commands that train have in common: run the trials, finish the run, write its page, then print the result."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from digits_core.runs.run import Run

if TYPE_CHECKING:
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
