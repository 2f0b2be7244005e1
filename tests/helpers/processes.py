"""Finding processes through /proc (Linux)."""

import contextlib
from pathlib import Path


def parent_of(pid: int) -> int:
    """The parent's number."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(parent: int) -> list[int]:
    """The processes that this one started and that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if parent_of(int(path.name)) == parent:
                found.append(int(path.name))
    return found
