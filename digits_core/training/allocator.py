"""Keeps glibc from handing a step's memory back to the kernel, which would clear the same pages at every step."""

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Iterator

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
USER_SETTINGS = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc takes no more; larger blocks are mapped, and cleared, each time


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, freed memory stays with this process for the next step; afterwards what is free then goes back, once.

    Worth up to a fifth of an epoch on a CPU (docs/lab-log.md). The thresholds stay: glibc cannot return to the moving
    ones that it starts with, and small fixed ones would clear pages at every step of validation. Settings that the user
    made are left alone, and other C libraries.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux") or USER_SETTINGS & os.environ.keys():
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
