import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure
from tests.helpers.paths import ROOT

LISTENERS = """
import os, signal, subprocess, sys
from pathlib import Path
before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
from sweeps.running.ray_session import local_ray
from sweeps.running.scratch import scratch_folder

def listening():
    # Sockets in state LISTEN (0A) of this network namespace, as /proc shows them: address in hexadecimal.
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add((fields[1], fields[9]))
    return found

def inodes_of_descendants():
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass
    mine, grown = {os.getpid()}, True
    while grown:
        grown = {pid for pid, parent in parents.items() if parent in mine} - mine
        mine |= grown
    inodes = set()
    for pid in mine:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = os.readlink(handle)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    return inodes

with scratch_folder() as folder, local_ray(folder, 1):
    import ray
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    inodes = inodes_of_descendants()
    private = oct(folder.stat().st_mode & 0o777)
    stranger = os.fork() if os.getuid() == 0 else None
    if stranger == 0:
        os.setuid(65_534)
        try:
            os.listdir(folder)
        except PermissionError:
            os._exit(0)
        os._exit(1)
    refused = stranger is None or os.waitpid(stranger, 0)[1] == 0
    ours = [address.rpartition(":")[0] for address, inode in listening() if inode in inodes]
loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
print(len(ours), sorted(set(ours) - loopback))
print({number: signal.getsignal(number) for number in before} == before)
print(folder.exists())
print(private, refused)
"""


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the sockets from /proc")
def test_ray_listens_on_loopback_alone_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", LISTENERS], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**environment, "HOME": str(tmp_path)},
    )  # fmt: skip
    sockets, handlers, scratch_is_left, others = done.stdout.splitlines()
    count, elsewhere = sockets.split(maxsplit=1)
    assert int(count) >= 3  # at least the store, the raylet and the driver: listeners are found at all
    assert elsewhere == "[]"
    assert handlers == "True"
    assert scratch_is_left == "False"
    assert others == "0o700 True"  # nobody else reads Ray's logs, which hold the environment, or replaces its sockets
    assert list(tmp_path.iterdir()) == []  # no token file in the home folder either


KILLED = """
import os, signal, sys
from sweeps.running.guard import guarded
from sweeps.running.ray_session import local_ray
from sweeps.running.scratch import scratch_folder

with scratch_folder() as folder, local_ray(folder, 1), guarded(folder):
    import ray
    raylet = ray._private.worker._global_node.all_processes["raylet"][0].process.pid
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    print(folder, raylet, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, Ray's processes stay in our process group")
def test_nothing_of_ray_outlives_a_killed_driver() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    folder, group = done.stdout.split()
    deadline = time.monotonic() + 20
    while (Path(folder).exists() or processes_in(int(group))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_in(int(group)) == []  # the raylet and its agents
    assert not Path(folder).exists()


def processes_in(group: int) -> list[str]:
    """The names of a process group's processes, but for those that have ended and wait for their parent."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            state, _, in_group, *_ = rest.split()
            if int(in_group) == group and state != "Z":
                found.append(name.partition("(")[2])
    return found


def test_a_ray_that_was_imported_first_is_not_started() -> None:
    code = (
        "import ray\nfrom sweeps.running.ray_session import local_ray\n"
        "try:\n    local_ray(None, 1).__enter__()\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert done.stdout.startswith("EnvironmentFailure ray was imported before sweeps")


def test_a_ray_that_does_not_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweeps.running import ray_session

    def time_out(**options: object) -> None:
        raise Exception("The current node timed out during startup.\nSee the logs.")  # noqa: TRY002 - as Ray does it

    monkeypatch.setattr(ray_session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_session.ray, "init", time_out)
    monkeypatch.setattr(ray_session.ray, "shutdown", lambda: None)
    said = r"Ray could not start on this machine: The current node timed out during startup\.$"
    with pytest.raises(EnvironmentFailure, match=said), ray_session.local_ray(tmp_path, 1):
        pass
