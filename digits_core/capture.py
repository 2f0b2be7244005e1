"""A training step on a GPU, recorded once as a CUDA graph and replayed: no launch waits for Python.

Whatever cannot be recorded is run step by step instead, and says so.
"""

from collections.abc import Callable, Sequence

import torch

WARM_UP_STEPS = 3  # real steps, in which libraries choose their algorithms and optimizers make their state
CAPTURABLE_OPTIMIZERS = ("adam", "adamw", "sgd")  # those whose learning rate can be a tensor in one kernel


def why_not_captured(device: torch.device, optimizer: str) -> str:
    """Why steps are not recorded here; empty where they are."""
    if device.type != "cuda":
        return f"no CUDA graphs on {device.type}"
    return "" if optimizer in CAPTURABLE_OPTIMIZERS else f"{optimizer} cannot be captured"


class CapturedStep:
    """Runs `step(indices)`; after a few times, for batches of the full size, by replaying a recording of it.

    The step must keep its results in tensors that stay where they are, and must not ask the device for a value.
    """

    def __init__(
        self,
        step: Callable[[torch.Tensor], None],
        batch_size: int,
        device: torch.device,
        generators: Sequence[torch.Generator],
    ) -> None:
        self.step, self.batch_size, self.device, self.generators = step, batch_size, device, generators
        self.indices = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.steps_to_warm_up = WARM_UP_STEPS
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failure = ""  # why the step is not recorded, if it could not be

    def run(self, indices: torch.Tensor) -> None:
        """One step on these training images."""
        if self.failure or len(indices) != self.batch_size:
            self.step(indices)
        elif self.steps_to_warm_up:
            self.steps_to_warm_up -= 1
            self._on_side_stream(indices)
        else:
            self._replay(indices)

    def _on_side_stream(self, indices: torch.Tensor) -> None:
        """As the CUDA documentation asks for before a capture."""
        try:
            main = torch.cuda.current_stream(self.device)
            side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError, ValueError) as error:  # torch without CUDA asserts
            self.failure = _first_line(error)
            self.step(indices)
            return
        side.wait_stream(main)
        with torch.cuda.stream(side):
            self.step(indices)
        main.wait_stream(side)

    def _replay(self, indices: torch.Tensor) -> None:
        if self.graph is None:
            try:
                self.graph = self._capture()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # capturing runs nothing: the step is still to be done
                self.failure = _first_line(error)
                self.step(indices)
                return
        self.indices.copy_(indices)
        self.graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            self.step(self.indices)
        return graph


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
