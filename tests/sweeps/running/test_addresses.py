import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from sweeps.running.addresses import check_address
from tests.helpers.paths import ROOT


@pytest.mark.parametrize("address", ["", "head", ":6379", "head:", "head:x", "head:0", "head:70000", "[]:1"])
def test_malformed_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--address must be auto or host:port, got"):
        check_address(address)


def test_a_client_address_says_where_a_driver_runs() -> None:
    with pytest.raises(UsageError, match="is for programs outside a cluster, but a sweep's driver runs inside it"):
        check_address("ray://head:10001")


def test_an_address_that_nothing_listens_on_fails_at_once_in_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(
            EnvironmentFailure, match=f"nothing listens at {address} .* is the Ray head node running there"
        ):
            check_address(address)
        free.listen()
        check_address(address)


@pytest.mark.parametrize("host", ["..", "x" * 300, "é" * 70, "[::1]"])
def test_an_impossible_host_fails_in_one_line(host: str) -> None:
    with pytest.raises(EnvironmentFailure, match="nothing listens at"):
        check_address(f"{host}:1")


def test_a_private_ray_needs_no_address() -> None:
    check_address(None)


JOIN = """
import socket, sys
import cli
from digits_cli import searching
listener = socket.create_server(("127.0.0.1", 0))
searching.run_search = lambda plan, following, as_json: None
cli.app(["sweep", "--trials", "1", "--address", f"127.0.0.1:{listener.getsockname()[1]}"], standalone_mode=False)
assert "ray" not in sys.modules
from ray._private import ray_constants
print(ray_constants.ENABLE_RAY_CLUSTER)
"""


def test_a_cluster_is_joined_by_a_ray_that_uses_more_than_loopback(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", JOIN], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**environment, "DIGITS_RUNS": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == "True\n"
