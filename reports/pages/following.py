"""`digits report --follow`: the page of a run in progress, rewritten whenever a trial ends."""

import time
from collections.abc import Callable
from pathlib import Path

from digits_core.runs.ownership import is_running
from digits_core.runs.run import Run
from reports.charts.plotly_library import PlotlyMode
from reports.pages.report import write_report

POLL_SECONDS = 2.0
REFRESH_SECONDS = 10  # how often the browser reloads a page that is being followed


def follow_report(
    run: Run,
    output: Path | None,
    plotly: PlotlyMode,
    on_page: Callable[[Path, int], None],
    poll_seconds: float = POLL_SECONDS,
) -> Path:
    """Rewrite the page until the run's driver has ended, then write it a last time without the reload.

    Calls `on_page` with the page's path and the number of trials on it. Raises UsageError if no trial was validated.
    """
    seen: tuple[int, bool] | None = None
    try:
        while is_running(run.folder):
            count = len(list((run.folder / "trials").glob("*/record.json")))
            state = (count, (run.folder / "ensemble.json").exists())
            now = Run(run.folder)
            if state != seen and now.ranked:
                on_page(write_report(now, output, plotly, REFRESH_SECONDS), count)
                seen = state
            time.sleep(poll_seconds)
    except KeyboardInterrupt:
        if seen is not None:  # nobody rewrites this page any more, so it must stop reloading
            write_report(Run(run.folder), output, plotly)
        raise
    return write_report(Run(run.folder), output, plotly)
