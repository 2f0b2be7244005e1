"""Signals around a sweep: what ends it in good order, and when not to be interrupted at all."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""From Ctrl-C; from `kill` or a batch system; from a terminal that was closed."""


@contextlib.contextmanager
def restored_handlers() -> Iterator[None]:
    """Put all handlers back at the end: Ray installs its own."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_as_interrupt() -> None:
    """Let all stop signals raise KeyboardInterrupt; one that is ignored (nohup) stays ignored.

    At once, without asking Ray to wind down: a signal to the whole process group has ended Ray already.
    """
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:
    del signal_number, frame
    raise KeyboardInterrupt


@contextlib.contextmanager
def ignored_interrupt() -> Iterator[None]:
    """Let the stop signals do nothing for as long as it takes to put things in order."""
    with restored_handlers():
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        yield


@contextlib.contextmanager
def held_interrupt() -> Iterator[None]:
    """Hold the stop signals back while something runs that must not be cut; they count when that is done."""
    held: list[int] = []
    with restored_handlers():
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, _frame: held.append(number))
        yield
    if held:
        raise KeyboardInterrupt
