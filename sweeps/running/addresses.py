"""Where a Ray cluster is said to be: looked at before anything is started, for Ray itself would wait for ever."""

import socket

from digits_core.errors import EnvironmentFailure, UsageError

SECONDS_TO_ANSWER = 5.0


def check_address(address: str | None) -> None:
    """Raise UsageError for what is no address, EnvironmentFailure where nothing listens. None is a Ray of our own."""
    if address is None:
        return
    if address.startswith("ray://"):
        raise UsageError(
            f"{address} is for programs outside of a cluster; a sweep's driver runs inside: give auto or host:6379"
            " on one of its nodes (docs/cluster.md)"
        )
    found = _address_of_this_machine() if address == "auto" else address
    host, colon, port = found.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # IPv6
    if not (colon and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise UsageError(f"--address is auto or host:port, got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, UnicodeError) as error:
        raise EnvironmentFailure(f"nothing listens at {found} ({error}); is Ray's head running there?") from error


def _address_of_this_machine() -> str:
    from ray._private.utils import read_ray_address

    found = read_ray_address()
    if not found:
        raise EnvironmentFailure("no Ray runs on this machine (--address auto); start one, or give its host:port")
    return str(found)
