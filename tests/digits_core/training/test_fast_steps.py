import resource
import sys

import pytest
import torch

from digits_core.recipe import Optimizer
from digits_core.training import fast_steps
from digits_core.training.fast_steps import CapturedStep, freed_memory_kept, why_not_captured
from digits_core.training.optim import build_optimizers, capturable, keep_rate_on_device, set_learning_rate

CPU = torch.device("cpu")


def test_where_steps_are_not_captured_and_why() -> None:
    assert why_not_captured(CPU, "adam") == "no CUDA graphs on cpu"
    assert why_not_captured(torch.device("cuda"), "muon") == "muon cannot be captured"
    assert why_not_captured(torch.device("cuda"), "adamw") == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device would capture")
def test_steps_that_cannot_be_captured_run_eagerly_and_exactly_once() -> None:
    done: list[list[int]] = []
    captured = CapturedStep((2,), CPU, [], [torch.Generator()])
    batches = [torch.tensor(pair) for pair in ([0, 1], [2, 3], [4, 5], [6, 7], [8])]
    for batch in batches:
        captured.run(lambda indices: done.append(indices.tolist()), batch)
    assert done == [batch.tolist() for batch in batches]
    assert captured.failure


@pytest.mark.parametrize(
    "error",
    [RuntimeError("not permitted when stream is capturing\nand more"), torch.OutOfMemoryError("out of memory")],
)
def test_a_step_that_fails_during_capture_runs_eagerly(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    done: list[list[int]] = []
    captured = CapturedStep((1,), CPU, [], [])
    captured.steps_to_warm_up, captured.failure = 0, ""

    def refuse(step: object) -> torch.cuda.CUDAGraph:
        raise error

    monkeypatch.setattr(captured, "_capture", refuse)
    for number in (7, 8):
        captured.run(lambda indices: done.append(indices.tolist()), torch.tensor([number]))
    assert done == [[7], [8]]
    assert captured.failure == str(error).partition("\n")[0]


@pytest.mark.gpu
def test_generators_work_after_a_failed_capture() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = torch.device("cuda")
    own, drawn = torch.Generator(device), torch.zeros(2, device=device)
    captured = CapturedStep((1,), device, [], [own])

    def asks_the_device(indices: torch.Tensor) -> None:
        drawn.copy_(torch.stack([torch.rand((), device=device), torch.rand((), device=device, generator=own)]))
        drawn.sum().item()

    for number in range(captured.steps_to_warm_up + 3):
        drawn.zero_()
        captured.run(asks_the_device, torch.tensor([number], device=device))
        assert (drawn > 0).all()
    assert captured.failure


def test_optimizers_are_capturable_only_while_they_are_captured() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    adam = torch.optim.AdamW([weight])
    with capturable([adam, torch.optim.SGD([weight], lr=0.1)]):
        assert adam.param_groups[0]["capturable"]
    assert not adam.param_groups[0]["capturable"]


def test_a_learning_rate_on_the_device_acts_like_a_number() -> None:
    settings = Optimizer(name="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.0)
    results = []
    for on_device in (False, True):
        weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        (optimizer,) = build_optimizers([weight], settings, CPU)
        if on_device:
            keep_rate_on_device(optimizer, CPU)
        for rate in (0.1, 0.05, 0.01):
            set_learning_rate(optimizer, rate)
            weight.grad = weight.detach().clone()
            optimizer.step()
        results.append(weight.detach().clone())
        assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor) == on_device
    assert torch.allclose(results[0], results[1])


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(fast_steps._glibc() is None, reason="the C library is not glibc")
def test_freed_memory_is_reused_by_the_next_step() -> None:
    pages = 4 * 2**20 // resource.getpagesize()

    def step() -> None:
        torch.ones(4 * 2**20, dtype=torch.uint8)

    with freed_memory_kept():
        for _ in range(10):  # the first few settle into the heap that other tests have left
            step()
        before = page_faults()
        for _ in range(10):
            step()
        assert page_faults() - before <= pages  # not ten times as many


def test_freed_memory_is_left_alone_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    fast_steps._glibc.cache_clear()
    try:
        with freed_memory_kept():
            assert fast_steps._glibc() is None
    finally:
        monkeypatch.undo()
        fast_steps._glibc.cache_clear()


def test_an_error_inside_freed_memory_kept_is_raised() -> None:
    with pytest.raises(RuntimeError, match="inside"), freed_memory_kept():
        raise RuntimeError("inside")
