import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from digits_core.optim import OPTIMIZERS, SCHEDULES, build_optimizer, learning_rate_factor
from digits_core.recipe import Optimizer, Schedule


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_descends(name: str) -> None:
    weight = torch.nn.Parameter(torch.full((4,), 3.0))
    optimizer = build_optimizer([weight], Optimizer(name=name, learning_rate=0.05), torch.device("cpu"))
    for _ in range(60):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    assert weight.square().sum() < 4.0  # from 36


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(0.0, 0.9), st.floats(0.0, 1.0))
def test_factor_stays_between_zero_and_the_peak(name: str, warmup: float, progress: float) -> None:
    assert 0.0 <= learning_rate_factor(Schedule(name=name, warmup_fraction=warmup), progress) <= 1.0


@pytest.mark.parametrize(
    ("name", "start", "at_peak", "end"),
    [("constant", 1, 1, 1), ("linear", 1, 0.75, 0), ("cosine", 0, 1, 0), ("one-cycle", 1 / 25, 1, 1e-4 / 25)],
)
def test_factor_at_start_peak_and_end(name: str, start: float, at_peak: float, end: float) -> None:
    settings = Schedule(name=name, warmup_fraction=0.25)
    assert learning_rate_factor(settings, 0.0) == pytest.approx(start)
    assert learning_rate_factor(settings, 0.25) == pytest.approx(at_peak)
    assert learning_rate_factor(settings, 1.0) == pytest.approx(end, abs=1e-12)


def test_one_cycle_is_torchs_one_cycle() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    steps = 400
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=steps + 1, pct_start=0.25)
    settings = Schedule(name="one-cycle", warmup_fraction=0.25)
    for step in range(steps):
        # torch puts the peak half a step elsewhere; the curves agree to a step's width
        assert learning_rate_factor(settings, step / steps) == pytest.approx(optimizer.param_groups[0]["lr"], abs=0.02)
        optimizer.step()
        reference.step()
