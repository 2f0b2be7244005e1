"""A sweep on a Ray cluster of two nodes, both on this machine, one of which dies."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from digits_core.runs.journal import read_journal
from digits_core.runs.run import Run
from tests.helpers.drivers import epochs_told

BINARIES = Path(sys.executable).parent
TOKEN = secrets.token_hex(32)
ENVIRONMENT = {
    **os.environ,
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # several nodes, as in docs/cluster.md
}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short path, since the paths of Ray's sockets are limited to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start_node(scratch: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start nodes with one processor each, and stop exactly those processes at the end."""
    del scratch  # requested so that it outlives the nodes
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, own_tmp: bool = False) -> subprocess.Popen[bytes]:
        node = subprocess.Popen(
            [
                *(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs own /tmp && exec "$@"', "sh"] if own_tmp else []),
                BINARIES / "ray", "start", "--node-ip-address=127.0.0.1", "--num-cpus=1", "--disable-usage-stats",
                "--object-store-memory=100000000", "--block", *arguments,
            ],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        started.append(node)
        return node

    yield start
    for node in reversed(started):
        if node.poll() is None:
            node.send_signal(signal.SIGTERM)
    for node in reversed(started):
        node.wait(timeout=60)


def digits(*arguments: object, **changes: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [BINARIES / "digits", *map(str, arguments)],
        env={**ENVIRONMENT, **changes}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def own_mounts() -> bool:
    """Whether a process may be started whose /tmp is its own, as on another machine."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_nodes_share_no_folder_and_one_that_dies_costs_no_trial(
    tmp_path: Path, scratch: Path, start_node: Callable[..., subprocess.Popen[bytes]]
) -> None:
    if not own_mounts():
        pytest.skip("the second node needs a /tmp of its own: unshare --mount is not allowed here")
    port = free_port()
    start_node("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={scratch}")
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    second = start_node(f"--address=127.0.0.1:{port}", own_tmp=True)
    asked = ["--trials", "3", "--max-epochs", "200", "--scheduler", "none", "--concurrency", "2", "--name", "apart"]
    with digits("sweep", *asked, "--runs", tmp_path, "--address", f"127.0.0.1:{port}") as sweep:
        deadline = time.monotonic() + 120
        while len({t for t, trial in read_journal(tmp_path / "apart").trials.items() if len(trial.nlls) > 5}) < 2:
            assert sweep.poll() is None, sweep.stderr and sweep.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(second.pid, signal.SIGKILL)  # as if its machine had died
        assert epochs_told(tmp_path / "apart") < 300  # both trials are still training
        out, err = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, err
    assert f"2 at a time on the cluster at 127.0.0.1:{port}" in err
    assert "Traceback" not in out + err
    run = Run(tmp_path / "apart")
    assert [record.status for record in run.records] == ["finished"] * 3
    history = read_journal(run.folder)
    assert sum(trial.retries for trial in history.trials.values()) >= 1
    again = epochs_told(run.folder) - sum(len(record.curve) for record in run.records)
    slowest = max(record.train_seconds / len(record.curve) for record in run.records)
    assert again * slowest < 2.5  # what was trained again: the last second, and what an epoch takes

    with digits("sweep", "--runs", tmp_path, "--address", f"127.0.0.1:{port}", RAY_AUTH_TOKEN="0" * 64) as stranger:
        out, err = stranger.communicate(timeout=120)
    assert stranger.returncode == 1
    assert f"error: cannot join the Ray cluster at 127.0.0.1:{port}" in err.splitlines()[-1]
