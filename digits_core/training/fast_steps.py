"""A training step on a GPU, recorded once as a CUDA graph and replayed: no launch waits for Python.

Whatever cannot be recorded is run step by step instead, and says so.
"""

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence

import torch

from digits_core.training.optim import capturable

Step = Callable[[torch.Tensor], None]
WARM_UP_STEPS = 3  # real steps, in which libraries choose their algorithms and optimizers make their state
CAPTURABLE_OPTIMIZERS = ("adam", "adamw", "sgd")  # those whose learning rate can be a tensor in one kernel

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
USER_SETTINGS = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc takes no more; larger blocks are mapped, and cleared, each time


def why_not_captured(device: torch.device, optimizer: str) -> str:
    """Why steps are not recorded here; empty where they are."""
    if device.type != "cuda":
        return f"no CUDA graphs on {device.type}"
    return "" if optimizer in CAPTURABLE_OPTIMIZERS else f"{optimizer} cannot be captured"


class CapturedStep:
    """Runs a step on training images; after a few times, for batches of the full size, by replaying a recording of it.

    The step must keep its results in tensors that stay where they are, and must not ask the device for a value. It is
    handed in at every run, so that nothing here keeps a finished run's memory alive.
    """

    def __init__(
        self,
        batch_size: int,
        device: torch.device,
        optimizers: Sequence[torch.optim.Optimizer],
        generators: Sequence[torch.Generator],
    ) -> None:
        self.batch_size, self.device = batch_size, device
        self.optimizers, self.generators = optimizers, generators
        self.indices = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.steps_to_warm_up = WARM_UP_STEPS
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failure = ""  # why the step is not recorded, if it could not be
        self.side: torch.cuda.Stream | None = None
        try:
            self.side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError, ValueError) as error:  # torch without CUDA asserts
            self.failure = _first_line(error)

    def run(self, step: Step, indices: torch.Tensor) -> None:
        """One step on these training images."""
        if self.failure or len(indices) != self.batch_size:
            step(indices)
        elif self.steps_to_warm_up:
            self.steps_to_warm_up -= 1
            self._on_side_stream(step, indices)
        else:
            self._replay(step, indices)

    def _on_side_stream(self, step: Step, indices: torch.Tensor) -> None:
        """As the CUDA documentation asks for before a capture."""
        assert self.side is not None
        main = torch.cuda.current_stream(self.device)
        self.side.wait_stream(main)
        with torch.cuda.stream(self.side):
            step(indices)
        main.wait_stream(self.side)

    def _replay(self, step: Step, indices: torch.Tensor) -> None:
        if self.graph is None:
            try:
                self.graph = self._capture(step)
            except RuntimeError as error:  # also where memory is too small for a graph; capturing runs nothing:
                self.failure = _first_line(error)
                self._free_generators()
                step(indices)  # the step is still to be done
                return
        self.indices.copy_(indices)
        self.graph.replay()

    def _free_generators(self) -> None:
        """Let random numbers be drawn again: torch leaves what a failed capture drew from as if it still recorded."""
        for generator in (*torch.cuda.default_generators, *self.generators):
            if generator.device.type == "cuda":
                generator.graphsafe_set_state(generator.clone_state())  # a copy does not record

    def _capture(self, step: Step) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        with capturable(self.optimizers), torch.cuda.graph(graph, stream=self.side):
            step(self.indices)
        return graph


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


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
