"""Training steps without overhead: recorded as a CUDA graph on a GPU; on a CPU, freed memory is kept.

On a GPU a step is recorded once and then replayed, so that no kernel launch waits for Python. A step that cannot be
recorded runs eagerly, and `CapturedStep.failure` says why. On a CPU, glibc would return the memory that a step frees to
the kernel, which clears the same pages again at the next step; `freed_memory_kept` prevents that.
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
WARM_UP_STEPS = 3  # real steps, in which libraries choose their algorithms and optimizers create their state
CAPTURABLE_OPTIMIZERS = ("adam", "adamw", "sgd")  # those with a fused kernel that takes the learning rate as a tensor

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
USER_SETTINGS = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # the most that glibc takes; larger blocks are mapped, and cleared, every time


def why_not_captured(device: torch.device, optimizer: str) -> str:
    """Why steps are not recorded on this device with this optimizer; empty if they are."""
    if device.type != "cuda":
        return f"no CUDA graphs on {device.type}"
    return "" if optimizer in CAPTURABLE_OPTIMIZERS else f"{optimizer} cannot be captured"


class CapturedStep:
    """Runs a training step: eagerly for the first few batches, then by replaying a recording of it.

    Batches of another shape than `shape` always run eagerly. The step must keep its results in tensors that stay in
    place, and must not read a value back from the device. It is passed in at every run, so that nothing here keeps a
    finished run's memory alive.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        device: torch.device,
        optimizers: Sequence[torch.optim.Optimizer],
        generators: Sequence[torch.Generator],
    ) -> None:
        self.device = device
        self.optimizers, self.generators = optimizers, generators
        self.indices = torch.zeros(shape, dtype=torch.int64, device=device)
        self.steps_to_warm_up = WARM_UP_STEPS
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failure = ""  # why the step could not be recorded; empty if nothing failed
        self.side: torch.cuda.Stream | None = None
        try:
            self.side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError, ValueError) as error:  # torch without CUDA asserts
            self.failure = _first_line(error)

    def run(self, step: Step, indices: torch.Tensor) -> None:
        """Run one step on the training images at these indices."""
        if self.failure or indices.shape != self.indices.shape:
            step(indices)
        elif self.steps_to_warm_up:
            self.steps_to_warm_up -= 1
            self._on_side_stream(step, indices)
        else:
            self._replay(step, indices)

    def _on_side_stream(self, step: Step, indices: torch.Tensor) -> None:
        """Warm up on another stream, as the CUDA documentation asks for before a capture."""
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
            except RuntimeError as error:  # also if memory is too small for a graph
                self.failure = _first_line(error)
                self._free_generators()
                step(indices)  # a capture executes nothing, so the step is still to be done
                return
        self.indices.copy_(indices)
        self.graph.replay()

    def _free_generators(self) -> None:
        """Make the generators usable again: after a failed capture, torch leaves those it used in recording mode."""
        for generator in (*torch.cuda.default_generators, *self.generators):
            if generator.device.type == "cuda":
                generator.graphsafe_set_state(generator.clone_state())  # a clone is not in recording mode

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
    """Inside, freed memory stays with the process for the next step. On exit, it goes back to the kernel once.

    Saves up to a fifth of an epoch on a CPU (docs/lab-log.md). The thresholds are not reset afterwards: glibc cannot go
    back to the dynamic ones that it starts with, and small fixed ones would clear pages at every step of validation.
    Does nothing with another C library, or if the user has set these thresholds.
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
