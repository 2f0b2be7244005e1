import resource
import sys

import pytest
import torch

from digits_core.training import allocator
from digits_core.training.allocator import freed_memory_kept


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(allocator._glibc() is None, reason="the C library is not glibc")
def test_memory_that_was_freed_is_there_for_the_next_step() -> None:
    pages = 4 * 2**20 // resource.getpagesize()

    def step() -> None:
        torch.ones(4 * 2**20, dtype=torch.uint8)

    with freed_memory_kept():
        for _ in range(10):  # the first ones find their place, among what other tests have left
            step()
        before = page_faults()
        for _ in range(10):
            step()
        assert page_faults() - before <= pages  # not ten times as many


def test_other_systems_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    allocator._glibc.cache_clear()
    try:
        with freed_memory_kept():
            assert allocator._glibc() is None
    finally:
        monkeypatch.undo()
        allocator._glibc.cache_clear()


def test_an_error_inside_comes_out() -> None:
    with pytest.raises(RuntimeError, match="inside"), freed_memory_kept():
        raise RuntimeError("inside")
