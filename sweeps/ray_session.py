"""A private Ray on this machine: quiet, loopback only, with a token, gone without a trace afterwards."""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import ray

from digits_core.errors import EnvironmentFailure
from sweeps import RAY_CAME_FIRST

OBJECT_STORE_BYTES = 512 * 1024**2  # the data set and little else; Ray's default reserves a third of the memory


@contextlib.contextmanager
def local_ray(cpu_count: int, gpu_count: int = 0) -> Iterator[None]:
    """Start Ray with so many processors and GPUs to give away, or use the one that this process has.

    Only what was started here is stopped.
    """
    if ray.is_initialized():
        yield
        return
    if RAY_CAME_FIRST:
        raise EnvironmentFailure(
            "ray was imported before sweeps, so it would listen on every network interface; import sweeps first"
        )
    with _restored_signal_handlers(), _session_folder() as folder:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        logging.getLogger("ray").setLevel(logging.ERROR)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials are rows of ours, not log lines
        _start(cpu_count, gpu_count, folder)
        # Ray's own SIGTERM handler prints a C++ stack and drops what runs; ours ends the sweep as Ctrl-C does.
        signal.signal(signal.SIGTERM, _as_interrupt)
        try:
            yield
        finally:
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


def _as_interrupt(signal_number: int, frame: FrameType | None) -> None:
    del signal_number, frame
    os.kill(os.getpid(), signal.SIGINT)


@contextlib.contextmanager
def _restored_signal_handlers() -> Iterator[None]:
    """Tune leaves its SIGINT handler behind, which would swallow the next Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _session_folder() -> Iterator[Path]:
    """Where Ray keeps sockets and logs. The path must be short: a socket's name has room for 107 bytes."""
    parent = Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it
    usable = parent.is_dir() and os.access(parent, os.W_OK)
    folder = Path(tempfile.mkdtemp(prefix="digits-", dir=parent if usable else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
