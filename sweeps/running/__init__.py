"""Runs the trials of a plan: the driver, which writes the run's folder, and the workers, which train.

addresses.py      whether a Ray cluster answers at an address
driver.py         the only writer of a run's folder; what an executor has to do
estimate.py       `digits sweep --dry-run`: what a sweep would take
guard.py          ends Ray's agents and removes the scratch folder once the driver was killed
objective.py      one trial, epoch by epoch, without Ray
on_ray.py         the executor: trials are trained with Ray Tune
packing.py        `--gpus-per-trial auto`: how many trials a GPU's memory holds
ray_session.py    a private Ray on this machine, or a cluster that is joined
replay.py         `digits replay`: trains a stored trial again
runner.py         runs a plan's trials from beginning to end
scratch.py        a temporary folder for as long as a sweep runs
training_run.py   `digits train`: one recipe in this process
worker.py         a Ray process that trains trials; its time limit and roll call
"""

import os
from pathlib import Path

# Ray's import needs a home, where it writes nothing. A user without a name, as in some containers, has none.
try:
    Path.home()
except RuntimeError:
    os.environ["HOME"] = "/nonexistent"
