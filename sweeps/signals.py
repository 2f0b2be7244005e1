"""Signals around a sweep: what ends it in good order, and when not to be interrupted at all."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # from `kill`, a batch system, or a terminal that was closed


@contextlib.contextmanager
def restored_handlers() -> Iterator[None]:
    """Put all handlers back at the end: Tune leaves its own SIGINT handler behind, which swallows the next Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *STOP_SIGNALS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_as_interrupt() -> None:
    """Let the stop signals do what Ctrl-C does; one that is ignored (nohup) stays ignored."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    del signal_number, frame
    os.kill(os.getpid(), signal.SIGINT)


@contextlib.contextmanager
def held_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back while something runs that breaks when it is cut; it counts when that is done."""
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
