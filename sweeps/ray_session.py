"""A private Ray on this machine: quiet, loopback only, with a token, gone without a trace afterwards."""

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import ray

from digits_core.errors import EnvironmentFailure
from sweeps import RAY_CAME_FIRST
from sweeps.signals import held_interrupt, restored_handlers, stop_as_interrupt

OBJECT_STORE_BYTES = 512 * 1024**2  # the data set and little else; Ray's default reserves a third of the memory


@contextlib.contextmanager
def local_ray(folder: Path, cpu_count: int, gpu_count: int = 0) -> Iterator[None]:
    """Start Ray with so many processors and GPUs to give away, or use the one that this process has.

    Its sockets and logs go into `folder`. Only what was started here is stopped.
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
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials are rows of ours, not log lines
        try:
            with held_interrupt():  # Ray's start and stop have crashed when they were cut
                _start(cpu_count, gpu_count, folder)
                # Ray's own SIGTERM handler prints a C++ stack and drops what runs; ours ends the sweep as Ctrl-C does.
                stop_as_interrupt()
            yield
        finally:
            with held_interrupt():
                ray.shutdown()


def _start(cpu_count: int, gpu_count: int, folder: Path) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=cpu_count,
            num_gpus=gpu_count,  # as torch counts them: Ray would wait for ever for one that it does not see
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(folder),
        )
    except (RuntimeError, OSError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EnvironmentFailure(f"Ray could not start on this machine: {reason}") from error
