import pytest
import torch

from digits_core.capture import CapturedStep, why_not_captured
from digits_core.optim import build_optimizers, make_capturable, set_learning_rate
from digits_core.recipe import Optimizer

CPU = torch.device("cpu")


def test_where_steps_are_not_captured_and_why() -> None:
    assert why_not_captured(CPU, "adam") == "no CUDA graphs on cpu"
    assert why_not_captured(torch.device("cuda"), "muon") == "muon cannot be captured"
    assert why_not_captured(torch.device("cuda"), "adamw") == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device would capture")
def test_what_cannot_be_captured_is_run_step_by_step_none_lost_none_twice() -> None:
    done: list[list[int]] = []
    captured = CapturedStep(lambda indices: done.append(indices.tolist()), 2, CPU, [torch.Generator()])
    batches = [torch.tensor(pair) for pair in ([0, 1], [2, 3], [4, 5], [6, 7], [8])]
    for batch in batches:
        captured.run(batch)
    assert done == [batch.tolist() for batch in batches]
    assert captured.failure


def test_a_step_that_fails_during_capture_is_done_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[list[int]] = []
    captured = CapturedStep(lambda indices: done.append(indices.tolist()), 1, CPU, [])
    captured.steps_to_warm_up = 0

    def refuse() -> torch.cuda.CUDAGraph:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(captured, "_capture", refuse)
    captured.run(torch.tensor([7]))
    captured.run(torch.tensor([8]))
    assert done == [[7], [8]]
    assert captured.failure == "operation not permitted when stream is capturing"


def test_a_gpu_that_is_full_is_no_reason_to_go_on_without_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = CapturedStep(lambda indices: None, 1, CPU, [])
    captured.steps_to_warm_up = 0

    def full() -> torch.cuda.CUDAGraph:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(captured, "_capture", full)
    with pytest.raises(torch.OutOfMemoryError):
        captured.run(torch.tensor([7]))


@pytest.mark.parametrize("name", ["sgd"])  # Adam's capturable kernels exist on a GPU alone
def test_a_learning_rate_on_the_device_moves_weights_as_a_number_does(name: str) -> None:
    settings = Optimizer(name=name, learning_rate=0.1, momentum=0.9, weight_decay=0.0)
    results = []
    for capturable in (False, True):
        weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        (optimizer,) = build_optimizers([weight], settings, CPU)
        if capturable:
            make_capturable(optimizer, CPU)
        for rate in (0.1, 0.05, 0.01):
            set_learning_rate(optimizer, rate)
            weight.grad = weight.detach().clone()
            optimizer.step()
        results.append(weight.detach().clone())
    assert torch.allclose(results[0], results[1])
    assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor)
