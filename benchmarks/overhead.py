"""What a sweep costs besides training: trials that hardly train, here and as in Ray Tune's tutorial.

Our trials do everything a trial does: sampling, a network, one epoch of one batch, weights, predictions, record,
journal and database. Measured from the start of the first trial to the end of the last. The tutorial's trials only
report once.
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from digits_core.environment import hardware_name, processor_count
from digits_core.runs.journal import read_journal
from sweeps.plans.config import SweepConfig
from sweeps.plans.planning import plan_sweep
from sweeps.running.runner import run_trials
from sweeps.view.progress import view_of

IMAGES = 16
TUTORIAL = """
import os, sys, time
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # the loopback interface only, as in all of this project
import ray
import torch
from ray import tune

def trainable(config):
    tune.report({"loss": float(torch.tensor(config["lr"])), "at": time.time()})

ray.init(num_cpus=int(sys.argv[2]), include_dashboard=False, log_to_driver=False)
tuner = tune.Tuner(
    trainable,
    param_space={"lr": tune.loguniform(1e-4, 1e-1)},
    tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=int(sys.argv[1])),
)
results = tuner.fit()
reports = sorted(result.metrics["at"] for result in results)
print("seconds", reports[-1] - reports[0])
ray.shutdown()
"""


def ours(trials: int) -> tuple[float, list[float]]:
    """Seconds from the first start to the last end, and the end times of all trials."""
    with tempfile.TemporaryDirectory() as folder:
        config = SweepConfig(
            runs=Path(folder), name="overhead", trials=trials, max_epochs=1, scheduler="none",
            fixed={"training.batch_size": IMAGES},
        )  # fmt: skip
        plan = plan_sweep(config)
        small = replace(
            plan.split,
            train=plan.split.train.first(IMAGES),  # type: ignore[union-attr]
            validation=plan.split.validation.first(IMAGES),
            validation_indices=plan.split.validation_indices[:IMAGES],
        )
        header = replace(plan.header, train_n=IMAGES, validation_n=IMAGES)
        view = view_of(header, plan.folder, Console(file=io.StringIO()))
        run = run_trials(replace(plan, split=small, header=header), view)
        records = run.records
        assert sum(record.counts for record in records) == trials
        assert len(read_journal(run.folder).over) == trials
        ends = sorted(record.ended_at for record in records)
        return ends[-1] - min(record.started_at for record in records), ends


def tutorial(trials: int) -> float:
    """Seconds from the first report to the last."""
    ended = subprocess.run(
        [sys.executable, "-c", TUTORIAL, str(trials), str(processor_count())],
        check=True, capture_output=True, text=True, cwd=tempfile.gettempdir(),
    )  # fmt: skip
    return float(next(line for line in ended.stdout.splitlines() if line.startswith("seconds ")).split()[1])


def main() -> None:
    """Measure both, alternating."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--tutorial-trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(f"{hardware_name()}; {asked.trials} trials here, {asked.tutorial_trials} of the tutorial's, per round")
    for number in range(1, asked.rounds + 1):
        began = time.perf_counter()
        seconds, ends = ours(asked.trials)
        wall, per_tutorial = time.perf_counter() - began, tutorial(asked.tutorial_trials) / (asked.tutorial_trials - 1)
        hundred = min(100, len(ends) - 1)
        first, last = (ends[hundred] - ends[0]) / hundred, (ends[-1] - ends[-1 - hundred]) / hundred
        print(
            f"round {number}: here {seconds:.2f} s, {1000 * seconds / asked.trials:.0f} ms per trial"
            f" (first hundred {1000 * first:.0f}, last {1000 * last:.0f}; {wall:.1f} s with Ray's start);"
            f" tutorial {1000 * per_tutorial:.0f} ms per trial; ratio {per_tutorial * asked.trials / seconds:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
