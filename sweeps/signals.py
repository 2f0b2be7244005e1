"""Signal handling around a run: what ends it cleanly, and when it must not be interrupted."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Sent by Ctrl-C; by `kill` or a batch system; when the terminal is closed."""


@contextlib.contextmanager
def restored_handlers() -> Iterator[None]:
    """Restore all signal handlers at the end, because Ray installs its own."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_as_interrupt() -> None:
    """Make all stop signals raise KeyboardInterrupt. An ignored signal (nohup) stays ignored.

    Immediately, without asking Ray to shut down first: a signal to the whole process group has already ended Ray.
    """
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:
    del signal_number, frame
    raise KeyboardInterrupt


@contextlib.contextmanager
def ignored_interrupt() -> Iterator[None]:
    """Ignore the stop signals while a run is being wrapped up."""
    with restored_handlers():
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        yield


@contextlib.contextmanager
def held_interrupt() -> Iterator[None]:
    """Hold back the stop signals during work that must not be interrupted, and raise KeyboardInterrupt after it."""
    held: list[int] = []
    with restored_handlers():
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, _frame: held.append(number))
        yield
    if held:
        raise KeyboardInterrupt
