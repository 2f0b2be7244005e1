"""Runs from Python, for notebooks and scripts: search, open, look, combine. docs/python.md has examples.

The commands use the same functions. Nothing here prints a result; a search shows its progress on stderr.
"""

import html
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from digits_core import DEFAULT_RUNS
from digits_core.errors import EnvironmentFailure, UsageError, unknown_name
from digits_core.recipe import Scalar
from digits_core.runs.ensemble_records import Part
from digits_core.runs.run import Run, runs_in

if TYPE_CHECKING:
    import pandas as pd

    from digits_core.judging.leaderboard import Leaderboard
    from digits_core.runs.ensemble_records import EnsembleRecord
    from reports.charts.style import Figure
    from reports.rows.tables import ReportData

SHOWN_ROWS = 10
SHOWN_COLUMNS = ("rank", "trial", "label", "runs", "accuracy", "accuracy_low", "accuracy_high", "nll", "verdict")


class OpenRun:
    """A run to look into, as it was when it was opened: `refresh()` returns it as it is now.

    Its methods raise UsageError or EnvironmentFailure, with one line that says what to do.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def folder(self) -> Path:
        return self.run.folder

    def refresh(self) -> "OpenRun":
        """The run as it is now."""
        return OpenRun(Run(self.run.folder))

    @cached_property
    def board(self) -> "Leaderboard":
        """The ranked candidates as objects, with every test."""
        from digits_core.judging.leaderboard import leaderboard

        return leaderboard(self.run)

    @cached_property
    def _data(self) -> "ReportData":
        from reports.rows.tables import collect

        return collect(self.run)

    def leaderboard(self) -> "pd.DataFrame":
        """One row per candidate, best first, with intervals, tests and recipe fields."""
        from reports.rows.frames import candidates_frame

        return candidates_frame(self.board)

    def predictions(self, trial: int | None = None, part: Part = "validation") -> "pd.DataFrame":
        """One row per image: index, label, prediction and p0 to p9.

        trial: one of this run's own trials; None for the leader's network, which in a confirmed sweep is that of its
        first fresh seed.
        """
        from digits_core.judging.candidates import leader
        from reports.rows.frames import predictions_frame

        if part not in get_args(Part):
            raise unknown_name("part", part, get_args(Part))
        if trial is not None:
            return predictions_frame(self.run, trial, part)
        leads = leader(self.run)
        if leads is None:
            raise UsageError(f"{self.name!r} has no validated trial")
        return predictions_frame(leads.home, leads.runs[0].trial, part)

    def curves(self) -> "pd.DataFrame":
        """One row per trial and epoch: losses, errors and seconds."""
        from reports.rows.frames import curves_frame

        return curves_frame(self.run.records)

    def ensemble(
        self, top: int = 5, method: str = "greedy", pool: str = "all", calibrate: str = "none"
    ) -> "EnsembleRecord":
        """Combine the best models as `digits ensemble` does. Opens the test set; `refresh()` shows the result."""
        from digits_core.inference.ensembling import build_ensemble
        from digits_core.runs.ensemble_records import EnsembleConfig

        return build_ensemble(self.run, EnsembleConfig(top=top, method=method, pool=pool, calibrate=calibrate))

    def _figures(self) -> "dict[str, Figure]":
        from reports.charts.page import all_figures

        return {name: figure for name, figure in all_figures(self._data).items() if figure is not None}

    def figures(self) -> list[str]:
        """The names of the charts that `figure` can draw of this run."""
        return list(self._figures())

    def figure(self, name: str) -> "Figure":
        """A chart of the run's page, as a Plotly figure: "history", "curves", "importance", ..."""
        found = self._figures()
        if name not in found:
            raise unknown_name("chart of this run", name, found)
        return found[name]

    def report(self, output: Path | str | None = None) -> Path:
        """Write the run's page, report.html in its folder unless `output` names another file; return its path."""
        from reports.pages.report import write_report

        return write_report(Run(self.run.folder), None if output is None else Path(output).expanduser())

    def __repr__(self) -> str:
        return f"<run {self.name!r} in {self.folder.parent}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: what the run is, and the first rows of its leaderboard."""
        try:
            header = self.run.header
            title = f"{self.name}: {header.kind} on {header.dataset}, {len(self.run.records)} trials"
            frame = self.leaderboard()
        except (UsageError, EnvironmentFailure) as error:
            return f"<p>{html.escape(str(error))}</p>"
        table: str = frame[list(SHOWN_COLUMNS)].head(SHOWN_ROWS).to_html(index=False, escape=True)
        return f"<p>{html.escape(title)}</p>{table}"


def _runs_folder(runs: Path | str | None) -> Path:
    """As the commands find it: the folder named, else DIGITS_RUNS, else ./runs."""
    return Path(runs or os.environ.get("DIGITS_RUNS") or DEFAULT_RUNS).expanduser()


def open_run(name: str | None = None, runs: Path | str | None = None) -> OpenRun:
    """Open a run by name, or the latest one. Raises UsageError if there isn't one."""
    return OpenRun(Run.open(_runs_folder(runs), name))


def list_runs(runs: Path | str | None = None) -> list[str]:
    """The names of the runs in a folder, oldest first."""
    return [run.name for run in runs_in(_runs_folder(runs))]


def sweep(
    *,
    trials: int | None = None,
    dataset: str = "sklearn-digits",
    name: str | None = None,
    runs: Path | str | None = None,
    max_epochs: int | None = None,
    seed: int = 0,
    concurrency: int | None = None,
    search: str = "tpe",
    scheduler: str | None = None,
    time_budget: str | None = None,
    fix: Mapping[str, Scalar] | None = None,
) -> OpenRun:
    """Search for the best recipe as `digits sweep` does, test the leader, write the page, and return the run.

    The arguments are the command's options; `fix` is {"model.name": "lenet"}. Raises UsageError for wrong ones,
    EnvironmentFailure if the search fails, KeyboardInterrupt after a Ctrl-C, which keeps what has finished.
    """
    from digits_cli.finishing import finished, ran
    from digits_cli.printed.sweep import SweepOutcome
    from digits_cli.shell import default_name
    from digits_core.data.datasets import absolute
    from sweeps.plans.config import SweepConfig
    from sweeps.plans.planning import plan_sweep
    from sweeps.words import optional_seconds_of

    plan = plan_sweep(
        SweepConfig(
            runs=_runs_folder(runs),
            name=name if name is not None else default_name(dataset),
            dataset=absolute(dataset),
            trials=trials,
            max_epochs=max_epochs,
            seed=seed,
            concurrency=concurrency,
            search=search,
            scheduler=scheduler,
            time_budget_seconds=optional_seconds_of("time_budget", time_budget),
            fixed=dict(fix or {}),
        )
    )
    with finished(ran(plan)) as (run, report):
        outcome = SweepOutcome(run=run, report=report)
        outcome.raise_if_failed()
    if outcome.summary.interrupted:
        raise KeyboardInterrupt
    return OpenRun(run)
