"""Worker processes that start together begin together.

Tune gives a trial that waits for its own process to the first one that has nothing to do, and ends the one that was
still starting (seconds of importing). Where trials are shorter than that, one process did all the work while others
were started and ended without end: 100 trials that hardly train took 8.4 s so, and 3.4 s with both of two at work.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class RollCall:
    """A folder in which every process leaves a file once it is there, and how many are to be waited for."""

    folder: Path
    expected: int
    limit_seconds: float = 60.0  # a process that died on the way is not waited for longer

    def answer(self) -> None:
        """Say that this process is there, and wait until all are. One that comes later finds them there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / str(os.getpid())).touch()
        deadline = time.monotonic() + self.limit_seconds
        while len(list(self.folder.iterdir())) < self.expected and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
