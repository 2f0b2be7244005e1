"""Searches, comparisons and training runs: Ray Tune runs the trials, Optuna chooses their recipes.

space/       search spaces, and the recipe that each trial gets
search/      chooses the next recipe and stops weak trials
plans/       what a run will do, checked before it starts
running/     runs the trials: the driver and its workers
finishing/   what happens once the trials have ended
view/        what people see of a run in progress
signals.py   what ends a run cleanly, and when it must not be interrupted
words.py     durations and counts as people write them

Ray and OpenMP read their settings when they are imported, so the settings are made here, before any module of this
package can import them. What the user has set in the environment wins.
"""

import os
import sys

_RAY_SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # bind to the loopback interface only, as Ray does on a Mac
    "RAY_AUTH_MODE": "token",  # even on loopback; sweeps.running.ray_session makes the token
    "RAY_AIR_NEW_OUTPUT": "0",  # our own live view replaces Tune's tables
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths keep their meaning
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_memory_monitor_refresh_ms": "0",  # all of Tune dies if the monitor kills a trial
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our store keeps the results; the loggers cost 4 ms per trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # sweeps.signals decides what Ctrl-C does
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # we never read Tune's snapshots
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # tracebacks go into the trial's record
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
RAY_CAME_FIRST = "ray" in sys.modules
"""Whether Ray was imported before these settings were made; `ray_session` then refuses to start it."""

# How long GNU OpenMP spins before it sleeps. Its default of 300,000 rounds keeps a processor busy that the awaited
# thread needs: next to other work, two threads took fifty times as long as one (docs/lab-log.md).
_OPENMP_SETTINGS = {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "2000"}

# GNU OpenMP waits for ever for threads that this limit does not let it have, so nobody may ask for more.
_limit, _asked = os.environ.get("OMP_THREAD_LIMIT", ""), os.environ.get("OMP_NUM_THREADS", "")
if _limit.isdecimal() and not (_asked.isdecimal() and int(_asked) <= int(_limit)):
    os.environ["OMP_NUM_THREADS"] = _limit

for _name in ("TUNE_RESULT_DIR", "RAY_AIR_LOCAL_CACHE_DIR"):  # of Ray's past: it refuses to run if they are set
    os.environ.pop(_name, None)
for _name, _value in {**_RAY_SETTINGS, **_OPENMP_SETTINGS}.items():
    os.environ.setdefault(_name, _value)


def for_a_cluster() -> None:
    """Let Ray use all network interfaces, because a cluster has several machines. No effect once Ray is imported."""
    if not RAY_CAME_FIRST and "ray" not in sys.modules:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"
