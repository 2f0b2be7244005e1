"""A process that outlives a killed driver for a moment: it ends Ray's agents and removes the scratch folder.

The kernel ends what the driver itself has started. Ray's agents were started by another process of Ray's; they would go
on for a minute.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ray

# Waits until the driver closes the pipe, in whatever way it ends. Without a last word it was killed.
_CODE = """
import os, shutil, signal, sys, time
groups = sys.stdin.read().split()
if "done" not in groups:
    for group in groups:
        try:
            os.killpg(int(group), signal.SIGKILL)
        except OSError:
            pass
    for _ in range(15):  # workers, which end once they miss their parent, may make it again
        shutil.rmtree(sys.argv[1], ignore_errors=True)
        time.sleep(0.2)
"""


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Guard the Ray that this process has started, and the scratch folder in which it keeps its files."""
    node = ray._private.worker._global_node
    started = node.all_processes.get("raylet", []) if node else []
    guard = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-I", "-S", "-c", _CODE, str(folder)],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,  # out of reach of Ctrl-C
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert guard.stdin is not None
        for process in started:
            guard.stdin.write(f"{process.process.pid}\n")  # leads a process group: see sweeps.running.ray_session
        guard.stdin.flush()
        yield
    finally:
        with contextlib.suppress(OSError):
            guard.communicate("done\n")
