"""What every command that trains does at the end: finish the run, write its page, then print the result."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from digits_core.runs.run import Run


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
