"""Where a Ray cluster is said to be: checked before anything starts, because Ray itself would wait for ever.

Needs no Ray until it is asked for `auto`: `for_a_cluster` has to come before Ray is imported.
"""

import socket

from digits_core.errors import EnvironmentFailure, UsageError

SECONDS_TO_ANSWER = 5.0


def check_address(address: str | None) -> None:
    """Raise UsageError for a malformed address, EnvironmentFailure if nothing listens there. None: a private Ray."""
    if address is None:
        return
    if address.startswith("ray://"):
        raise UsageError(
            f"{address} is for programs outside a cluster, but a sweep's driver runs inside it: run this on one of its"
            " nodes, with auto or host:6379 (docs/cluster.md)"
        )
    found = _address_of_this_machine() if address == "auto" else address
    host, colon, port = found.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # IPv6
    if not (colon and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise UsageError(f"--address must be auto or host:port, got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, UnicodeError) as error:
        raise EnvironmentFailure(
            f"nothing listens at {found} ({error}); is the Ray head node running there?"
        ) from error


def _address_of_this_machine() -> str:
    from ray._private.utils import read_ray_address

    found = read_ray_address()
    if not found:
        raise EnvironmentFailure("no Ray is running on this machine (--address auto); start one, or give its host:port")
    return str(found)
