"""Search: Ray Tune runs the trials, Optuna chooses their recipes.

Ray and OpenMP read their settings when they are imported, so they are made here, before any module of this package
can import them. What the user has set in the environment wins.
"""

import os
import sys

_RAY_SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as on a Mac: bind to the loopback interface only
    "RAY_AUTH_MODE": "token",  # even on loopback; the token is made by sweeps.running.ray_session
    "RAY_AIR_NEW_OUTPUT": "0",  # our own live view instead of Tune's tables
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # keep relative paths meaning what they meant
    "RAY_DEDUP_LOGS": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # Tune dies as a whole when the monitor kills one trial
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our store keeps the results; the loggers cost 4 ms a trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # sweeps.signals decides what Ctrl-C does
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # nor do we read Tune's snapshots
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # tracebacks go into the trial's record
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
RAY_CAME_FIRST = "ray" in sys.modules
"""Ray was imported before these settings could be made; `ray_session` then refuses to start one."""

# How long GNU's OpenMP spins before it waits. Its own 300,000 rounds keep a processor busy that the awaited thread
# needs: beside other work two threads then took fifty times as long as one (docs/lab-log.md).
_OPENMP_SETTINGS = {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "2000"}

for _name, _value in {**_RAY_SETTINGS, **_OPENMP_SETTINGS}.items():
    os.environ.setdefault(_name, _value)


def for_a_cluster() -> None:
    """Let Ray, if it was not imported yet, use more than the loopback interface: a cluster has several machines."""
    if not RAY_CAME_FIRST and "ray" not in sys.modules:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"
