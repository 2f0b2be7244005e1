import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from digits_core.recipe import OPTIMIZERS, Optimizer, Schedule
from digits_core.recipe import SCHEDULES as SCHEDULE_NAMES
from digits_core.training.optim import SCHEDULES, Progress, WeightAverage, build_optimizers, learning_rate_factor

CPU = torch.device("cpu")


def factor(settings: Schedule, share: float, epochs: int = 1, nlls: tuple[float, ...] = ()) -> float:
    return learning_rate_factor(settings, Progress(epochs_done=share * epochs, epochs=epochs, validation_nlls=nlls))


def descend(settings: Optimizer, steps: int) -> tuple[float, float]:
    """The squared norms of a matrix and a vector after some steps; both start at 36."""
    matrix, vector = torch.nn.Parameter(torch.full((2, 2), 3.0)), torch.nn.Parameter(torch.full((4,), 3.0))
    optimizers = build_optimizers([matrix, vector], settings, CPU)
    for _ in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        (matrix.square().sum() + vector.square().sum()).backward()
        for optimizer in optimizers:
            optimizer.step()
    return matrix.square().sum().item(), vector.square().sum().item()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends(name: str) -> None:
    # Adagrad's steps shrink as 1 / sqrt(n) and Muon's are small for small matrices
    learning_rate = {"adagrad": 0.5, "muon": 0.5}.get(name, 0.05)
    assert max(descend(Optimizer(name=name, learning_rate=learning_rate), 60)) < 4.0


def test_nesterov_and_the_betas_reach_the_optimizer() -> None:
    weight = [torch.nn.Parameter(torch.zeros(2, 2))]
    (sgd,) = build_optimizers(weight, Optimizer(name="sgd", nesterov=False), CPU)
    assert (sgd.param_groups[0]["nesterov"], sgd.param_groups[0]["momentum"]) == (False, 0.9)
    (plain,) = build_optimizers(weight, Optimizer(name="sgd", momentum=0.0), CPU)
    assert plain.param_groups[0]["nesterov"] is False  # torch refuses Nesterov without momentum
    for name in ("adam", "adamw", "lion"):
        (optimizer,) = build_optimizers(weight, Optimizer(name=name, beta1=0.7, beta2=0.95), CPU)
        assert optimizer.param_groups[0]["betas"] == (0.7, 0.95)


def test_muon_updates_matrices_and_adamw_the_rest() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3, 2), (3,), (4, 2, 3, 3))]
    muon, adamw = build_optimizers(parameters, Optimizer(name="muon"), CPU)
    assert [p.ndim for group in muon.param_groups for p in group["params"]] == [2]
    assert [p.ndim for group in adamw.param_groups for p in group["params"]] == [1, 4]


def test_every_schedule_is_in_the_vocabulary() -> None:
    assert tuple(sorted(SCHEDULES)) == SCHEDULE_NAMES


@given(
    st.sampled_from(SCHEDULE_NAMES),
    st.floats(0.0, 0.9),
    st.floats(0.0, 1.0),
    st.lists(st.floats(0, 10), max_size=20),
)
def test_factor_stays_between_zero_and_the_peak(name: str, warmup: float, share: float, nlls: list[float]) -> None:
    assert 0.0 <= factor(Schedule(name=name, warmup_fraction=warmup), share, 20, tuple(nlls)) <= 1.0


@pytest.mark.parametrize(
    ("name", "start", "at_peak", "end"),
    [("constant", 1, 1, 1), ("linear", 1, 0.75, 0), ("cosine", 1 / 25, 1, 0), ("one-cycle", 1 / 25, 1, 1e-4 / 25)],
)
def test_factor_at_start_peak_and_end(name: str, start: float, at_peak: float, end: float) -> None:
    settings = Schedule(name=name, warmup_fraction=0.25)
    assert factor(settings, 0.0) == pytest.approx(start)
    assert factor(settings, 0.25) == pytest.approx(at_peak)
    assert factor(settings, 1.0) == pytest.approx(end, abs=1e-12)


def test_step_is_torchs_step() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.7)
    settings = Schedule(name="step", gamma=0.7, step_epochs=2)
    for epoch in range(7):
        for within in (0.0, 0.5, 0.99):
            progress = Progress(epochs_done=epoch + within, epochs=7)
            assert learning_rate_factor(settings, progress) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()


def test_exponential_falls_by_gamma_per_epoch() -> None:
    settings = Schedule(name="exponential", gamma=0.5)
    assert [factor(settings, share, epochs=4) for share in (0, 0.125, 0.25, 1)] == pytest.approx(
        [1, math.sqrt(0.5), 0.5, 1 / 16]
    )


@given(st.lists(st.floats(0.01, 10).map(lambda value: round(value, 2)), max_size=30), st.integers(1, 4))
def test_plateau_is_torchs_plateau(nlls: list[float], patience: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    # torch waits for one epoch more than its patience
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience - 1, threshold=0)
    settings = Schedule(name="plateau", gamma=0.5, patience_epochs=patience)
    for count, nll in enumerate(nlls, start=1):
        reference.step(nll)
        expected = optimizer.param_groups[0]["lr"]
        if expected > 1e-7:  # below, torch ignores decays smaller than its eps
            assert factor(settings, 0.5, nlls=tuple(nlls[:count])) == pytest.approx(expected)


def test_one_cycle_is_torchs_one_cycle() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    steps = 400
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=steps + 1, pct_start=0.25)
    settings = Schedule(name="one-cycle", warmup_fraction=0.25)
    for step in range(steps):
        # torch puts the peak half a step elsewhere; the curves agree to a step's width
        assert factor(settings, step / steps) == pytest.approx(optimizer.param_groups[0]["lr"], abs=0.02)
        optimizer.step()
        reference.step()


def test_weight_average_by_hand() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.5)
    values, expected = [1.0, 2.0, 4.0, 8.0], 1.0
    for count, value in enumerate(values):
        average.advance()
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(model)
        decay = min(0.5, (1 + count) / (10 + count))
        expected = value if count == 0 else decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 8.0


def test_statistics_are_averaged_and_counters_copied() -> None:
    model = torch.nn.BatchNorm1d(1)
    average = WeightAverage(model, 0.9)
    for mean in (1.0, 3.0):
        average.advance()
        model.running_mean.fill_(mean)  # type: ignore[operator, union-attr]
        model.num_batches_tracked.add_(1)  # type: ignore[operator, union-attr]
        average.update(model)
    assert average.module.running_mean.item() == pytest.approx(2 / 11 * 1.0 + 9 / 11 * 3.0)  # type: ignore[operator, union-attr]
    assert average.module.num_batches_tracked.item() == 2  # type: ignore[operator, union-attr]


def test_the_average_needs_no_gradient() -> None:
    average = WeightAverage(torch.nn.Linear(2, 2), 0.9)
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
