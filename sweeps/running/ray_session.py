"""The Ray that a run uses: a private one on this machine, or a cluster that is joined and whose address is checked.

A private Ray is quiet, listens on loopback only, needs a token and leaves nothing behind.
"""

import contextlib
import functools
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import ray
from ray._private import services, utils
from ray._private.utils import detect_fate_sharing_support

from digits_core.errors import EnvironmentFailure
from sweeps import RAY_CAME_FIRST
from sweeps.running.addresses import check_address
from sweeps.running.driver import SearchEnded
from sweeps.signals import held_interrupt, ignored_interrupt, restored_handlers, stop_as_interrupt

OBJECT_STORE_BYTES = 512 * 1024**2  # holds the data set and little else; Ray's default takes a third of the memory


@contextlib.contextmanager
def local_ray(folder: Path, cpu_count: int, gpu_count: int = 0) -> Iterator[None]:
    """Start Ray with this many processors and GPUs, or use the Ray that this process already has.

    Its sockets and logs, which Ray opens to everybody and which hold the environment, go into `folder`, which has to be
    private. Ray is stopped only if it was started here.
    """
    if ray.is_initialized():
        yield
        return
    if RAY_CAME_FIRST:
        raise EnvironmentFailure(
            "ray was imported before sweeps, so it would listen on every network interface; import sweeps first"
        )
    with restored_handlers():
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        logging.getLogger("ray").setLevel(logging.ERROR)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials go into our records, not the log
        try:
            # Ray has crashed when a signal interrupted its start or its stop.
            with held_interrupt(), _out_of_reach_of_group_signals(), _without_dashboard(), _unseen(folder):
                _start(cpu_count, gpu_count, folder)
            # Ray's own SIGTERM handler prints a C++ stack trace and abandons the running trials.
            stop_as_interrupt()
            yield
        finally:
            with ignored_interrupt():  # the search has ended: what follows takes seconds and writes the result
                ray.shutdown()


@contextlib.contextmanager
def joined_ray(address: str) -> Iterator[None]:
    """Join a Ray cluster as one of its drivers. Nothing of the cluster is started or stopped.

    The token comes from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token, as Ray itself does it.
    """
    if ray.is_initialized():
        yield
        return
    with restored_handlers():
        logging.getLogger("ray").setLevel(logging.ERROR)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        try:
            with held_interrupt(), _unseen(Path(os.sep)):
                _connect(address)
            stop_as_interrupt()
            yield
        finally:
            with ignored_interrupt():
                ray.shutdown()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Silence what Ray's compiled code writes to stderr: a wrong token would print twenty warnings."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _unseen(folder: Path) -> Iterator[None]:
    """Hide the working folder and the command line from Ray.

    It puts the one on its workers' path, where a torch.py would be their torch, and stores the other, which may hold a
    password or a name that is no text.
    """
    described = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: "digits"
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        utils.get_entrypoint_name = described


def _connect(address: str) -> None:
    check_address(address)
    try:
        with _silent():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EnvironmentFailure(
            f"cannot join the Ray cluster at {address} ({reason}); set RAY_AUTH_TOKEN to the cluster's token, or"
            " RAY_AUTH_MODE=disabled if it has none (docs/cluster.md)"
        ) from error


def cluster_resources() -> dict[str, float]:
    """All resources of the Ray that this process has joined, free or not, by name: "CPU", "GPU"."""
    return dict(ray.cluster_resources())


@contextlib.contextmanager
def _without_dashboard() -> Iterator[None]:
    """Leave out the dashboard's process, which Ray starts without a dashboard too.

    It reports usage, and asks the addresses of three clouds whether this machine is theirs even if it may not report.
    """
    starter = services.start_api_server
    services.start_api_server = lambda *_, **__: (None, None)  # as if it could not be started
    try:
        yield
    finally:
        services.start_api_server = starter


@contextlib.contextmanager
def _out_of_reach_of_group_signals() -> Iterator[None]:
    """Give Ray's processes a process group of their own, as Ray itself does on Windows.

    A closed terminal, a batch system or `timeout` signals our whole group, and Ray would be gone before the sweep has
    written its results. Only on Linux, where the kernel ends Ray's processes together with ours: elsewhere, they have
    to be in our group to end with it.
    """
    opener = services.ConsolePopen
    if not detect_fate_sharing_support():
        yield
        return
    services.ConsolePopen = functools.partial(opener, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = opener


def check_alive() -> None:
    """Raise SearchEnded if the Ray that this process started has lost a process that it cannot work without.

    Ray itself takes 15 seconds to notice, or ends this process after 60.
    """
    node = ray._private.worker._global_node
    dead = {kind for kind, _ in node.dead_processes()} & {"raylet", "gcs_server"} if node else set()
    if dead:
        raise SearchEnded(f"Ray's {' and '.join(sorted(dead))} died")


def _start(cpu_count: int, gpu_count: int, folder: Path) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=cpu_count,
            num_gpus=gpu_count,  # as torch counts them: if Ray detected fewer, trials would wait for ever
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(folder / "ray"),
        )
    except Exception as error:  # a node that timed out is a bare Exception
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EnvironmentFailure(f"Ray could not start on this machine: {reason}") from error
