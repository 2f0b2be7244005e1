"""How many epochs each search and scheduler needs to find the best 1 % of a table of learning curves.

The searchers and schedulers are those of a sweep, with two trials at a time. Only training is replaced: each sampled
point is moved to the nearest untried configuration of the table (benchmarks/learning_curves.py), the search is told
so, and the trial follows that configuration's curve.
"""

import argparse
import itertools
import multiprocessing
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from scipy.stats import spearmanr

from benchmarks.learning_curves import SIDE, CurveTable, space
from digits_core.environment import processor_count
from digits_core.recipe import Scalar
from digits_core.records import Assignment
from digits_core.runs.journal import History
from sweeps.search.reported import EPOCH, FAILED, FINISHED, METRIC
from sweeps.search.schedulers import first_rung, scheduler_for
from sweeps.search.searchers import AskedTrial, StudySearch
from sweeps.search.study import STATES
from sweeps.space.assignments import Drawn
from sweeps.space.known_good import default_recipe

AT_A_TIME = 2
COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")  # Okabe and Ito
DASHES = {"none": "dot", "asha": "solid", "hyperband": "dash", "median": "dashdot"}
BEST_SHARE = 0.01
COMBINATIONS = [
    *itertools.product(("random", "tpe", "nsga2", "cmaes", "gp"), ("none", "asha")),
    ("tpe", "hyperband"),
    ("tpe", "median"),
]


class NoJournal:
    """A journal that keeps nothing: replays are never resumed."""

    def drawn(self, *assignments: Assignment) -> None:
        """Do nothing."""


@dataclass
class Replayed:
    """A trial that follows a curve of the table, and stands in for Tune's trial in schedulers."""

    config: dict[str, Any]
    curve: np.ndarray  # (E,): lowest NLL so far
    epoch: int = 0

    def advance(self) -> dict[str, Any]:
        """Move to the next epoch and return its result."""
        self.epoch += 1
        nll = float(self.curve[self.epoch - 1])
        return {METRIC: nll, EPOCH: self.epoch, FINISHED: self.epoch == len(self.curve), FAILED: False}


def replay(search: str, scheduler: str, seed: int) -> list[float]:
    """The lowest NLL so far after each epoch of training, over all trials, until the best 1 % is reached."""
    table = CurveTable.read()
    goal = goal_of(table)
    np.random.seed(seed)  # noqa: NPY002 - Ray's hyperband samples its brackets with it
    base = default_recipe("cpu", SIDE, table.epochs)
    drawn = Drawn(base=base, space=space(), seed=seed, search=search, scheduler=scheduler, first=())
    curves: dict[int, np.ndarray] = {}
    searcher = StudySearch(
        drawn,
        10**6,
        History(),
        NoJournal(),
        lambda trial: (float(curves[trial][-1]),),  # type: ignore[arg-type]
    )
    rungs = scheduler_for(scheduler, table.epochs, History())
    rungs.set_search_properties(METRIC, "min")
    running, used = list[Replayed](), set[int]()
    lowest: list[float] = []
    while not (lowest and lowest[-1] <= goal):
        while len(running) < AT_A_TIME and len(used) < len(table.points):
            name = str(len(used))
            config = searcher.suggest(name)
            assert isinstance(config, dict)
            row = table.nearest(config["point"], used)
            used.add(row)
            _move(searcher, name, table.points[row])
            curves[config["trial"]] = table.lowest_nlls[row]
            running.append(Replayed(config, curves[config["trial"]]))
            rungs.on_trial_add(None, running[-1])
        if not running:  # the scheduler stopped the best trials
            break
        trial = running.pop(0)
        result = trial.advance()
        lowest.append(min([result[METRIC], *lowest[-1:]]))
        name = str(trial.config["trial"])
        is_stopped = not result[FINISHED] and rungs.on_trial_result(None, trial, result) == "STOP"
        if result[FINISHED] or is_stopped:
            rungs.on_trial_complete(None, trial, result)
            searcher.on_trial_complete(name, result)
        else:
            searcher.on_trial_result(name, result)
            running.append(trial)
    return lowest


def _move(searcher: StudySearch, name: str, point: dict[str, Scalar]) -> None:
    """Tell the search that the trial runs at this point instead."""
    asked = searcher.running[name]
    assert asked.trial is not None
    searcher.study.tell(asked.trial, STATES.FAIL)
    searcher.running[name] = AskedTrial(asked.assignment, searcher.study.ask_known(point))


def goal_of(table: CurveTable) -> float:
    """The final NLL that the best 1 % of the table's configurations reach."""
    final = np.sort(table.lowest_nlls[:, -1])
    return float(final[max(1, int(BEST_SHARE * len(final))) - 1])


def print_rungs(table: CurveTable) -> None:
    """Print how well each epoch predicts the final order, over all configurations and over the better half."""
    final = table.lowest_nlls[:, -1]
    better = final <= np.median(final)
    rung, reduction = first_rung(table.epochs)
    print(
        f"{len(final)} curves of {table.epochs} epochs; asha's rungs: epoch {rung}, then {reduction} times as many each"
    )
    for epoch in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32):
        now = table.lowest_nlls[:, epoch - 1]
        everywhere, there = spearmanr(now, final).statistic, spearmanr(now[better], final[better]).statistic
        best = np.argsort(final)[: max(1, round(0.05 * len(final)))]
        kept = np.mean(now[best] <= np.median(now))
        print(
            f"epoch {epoch:2}: rank correlation with the last epoch {everywhere:.2f}, in the better half {there:.2f};"
            f" {kept:.0%} of the best 5 % are in the better half at this epoch"
        )


def main() -> None:
    """Replay every combination and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=50)
    parser.add_argument("--only", default="", help="replay only these, e.g. random+none,tpe+asha")
    parser.add_argument("--chart", type=Path, help="write a chart to this HTML file")
    asked = parser.parse_args()
    print_rungs(CurveTable.read())
    needed_by: dict[str, list[float]] = {}
    median_of_random = None
    with multiprocessing.get_context("spawn").Pool(processor_count()) as pool:
        for search, scheduler in COMBINATIONS:
            if asked.only and f"{search}+{scheduler}" not in asked.only.split(","):
                continue
            work = [(search, scheduler, seed) for seed in range(asked.replays)]
            runs = pool.starmap(replay, work, chunksize=1)
            goal = goal_of(CurveTable.read())
            needed = np.array([len(run) if run[-1] <= goal else np.inf for run in runs])
            low, median, high = np.quantile(needed, (0.25, 0.5, 0.75), method="nearest")
            median_of_random = median_of_random or median
            print(
                f"{search:7}{scheduler:10} {median:7,.0f} epochs to the best 1 % [{low:,.0f}, {high:,.0f}],"
                f" {median / median_of_random:.2f} of random's; reached in {np.isfinite(needed).sum()} of {len(runs)}",
                flush=True,
            )
            needed_by[f"{search}, {scheduler}"] = sorted(needed.tolist())
    if asked.chart:
        chart(needed_by).write_html(asked.chart, config={"displayModeBar": False})


def chart(needed_by: dict[str, list[float]]) -> go.Figure:
    """The share of replays that have reached the best 1 %, by epochs of training."""
    figure = go.Figure()
    colours = dict(zip(dict.fromkeys(name.split(",")[0] for name in needed_by), COLOURS, strict=False))
    for name, needed in needed_by.items():
        search, scheduler = name.split(", ")
        reached = [epochs for epochs in needed if np.isfinite(epochs)]
        figure.add_scatter(
            x=np.array(reached), y=np.arange(1, len(reached) + 1) / len(needed), name=name, mode="lines",
            line={"dash": DASHES[scheduler], "color": colours[search], "shape": "hv"},
        )  # fmt: skip
    figure.update_layout(
        template="plotly_white", width=1000, height=480, legend_title="search, scheduler", margin={"t": 20, "b": 60}
    )
    figure.update_xaxes(type="log", title="epochs of training, over all trials", dtick="D2")
    figure.update_yaxes(title="share of replays that have reached the best 1 %", tickformat=".0%", range=[0, 1.02])
    return figure


if __name__ == "__main__":
    sys.exit(main())
