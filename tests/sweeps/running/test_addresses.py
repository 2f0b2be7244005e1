import socket

import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from sweeps.running.addresses import check_address


@pytest.mark.parametrize("address", ["", "head", ":6379", "head:", "head:x", "head:0", "head:70000", "[]:1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--address is auto or host:port, got"):
        check_address(address)


def test_a_client_address_says_where_a_driver_runs() -> None:
    with pytest.raises(UsageError, match="is for programs outside of a cluster"):
        check_address("ray://head:10001")


def test_an_address_that_nothing_listens_on_is_one_line_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(EnvironmentFailure, match=f"nothing listens at {address} .* is Ray's head running there"):
            check_address(address)
        free.listen()
        check_address(address)


@pytest.mark.parametrize("host", ["..", "x" * 300, "é" * 70, "[::1]"])
def test_a_host_that_cannot_be_is_one_line(host: str) -> None:
    with pytest.raises(EnvironmentFailure, match="nothing listens at"):
        check_address(f"{host}:1")


def test_our_own_ray_needs_none() -> None:
    check_address(None)
