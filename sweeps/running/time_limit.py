"""Ends a process that hangs, whatever it hangs in."""

import faulthandler
import time
from pathlib import Path
from types import TracebackType
from typing import IO


class TimeLimit:
    """A context in which this process may spend so many seconds in all; where it would be more, the process ends.

    A watchdog thread of the interpreter's does it, without needing the interpreter: also a call that never comes back
    from compiled code is ended. It leaves in `note` where every thread stood. Only one limit at a time is in force.
    """

    def __init__(self, note: Path, seconds: float | None) -> None:
        self.note, self.seconds, self.spent = note, seconds, 0.0
        self.stream: IO[str] | None = None

    def __enter__(self) -> None:
        self.entered_at = time.monotonic()
        if self.seconds is None:
            return
        if self.stream is None:
            self.note.parent.mkdir(parents=True, exist_ok=True)
            self.stream = self.note.open("w", encoding="utf-8")
        faulthandler.dump_traceback_later(max(self.seconds - self.spent, 0.001), exit=True, file=self.stream)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.seconds is not None:
            faulthandler.cancel_dump_traceback_later()
        self.spent += time.monotonic() - self.entered_at

    def close(self) -> None:
        """The note is not needed any more."""
        if self.stream is not None:
            self.stream.close()
