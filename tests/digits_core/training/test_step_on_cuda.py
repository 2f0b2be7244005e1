"""Runs a training step on fake CUDA tensors, so that it can be checked without a GPU.

Fake tensors claim to be on the device but have no content. They refuse to mix with CPU tensors and to give a value,
which a recorded step must not ask for. Kernels that torch cannot describe, and the backward pass, are left out.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from digits_core.data.digits import Split
from digits_core.recipe import LOSSES, SCHEDULES, Recipe, Scalar
from digits_core.training import engine
from digits_core.training.copies import Copy, DevicePart, DeviceSplit
from digits_core.training.engine import Stack, set_learning_rate
from digits_core.training.models import MODELS
from digits_core.training.optim import OPTIMIZERS, capturable
from digits_core.training.stacking import why_not_stacked

CUDA = torch.device("cuda")
EVERYTHING: dict[str, Scalar] = {
    "augmentation.elastic_fraction": 0.1,
    "augmentation.erasing_probability": 0.3,
    "augmentation.shear_degrees": 5.0,
    "loss.label_smoothing": 0.1,
    "training.batch_size": 16,
    "training.ema_decay": 0.99,
    "training.gradient_clip": 1.0,
}
CASES: list[dict[str, Scalar]] = [
    {},
    *({"model.name": name} for name in MODELS),
    *({"optimizer.name": name} for name in OPTIMIZERS),
    *({"loss.name": name, "loss.label_smoothing": 0.0} for name in LOSSES),
    *({"schedule.name": name} for name in SCHEDULES),
    {"input.normalization": "per-pixel"},
    {"input.normalization": "standard", "input.side": 20},
    {"training.precision": "float32"},
]
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # torch's own deepcopy does
TrainerOf = Callable[..., Stack]


class _StreamOnTheCpu(torch.Generator):
    def __new__(cls, device: object = None) -> "_StreamOnTheCpu":
        del device
        return super().__new__(cls)


def _moved(module: nn.Module, *arguments: object, **settings: object) -> nn.Module:
    """Replaces `nn.Module.to`, which cannot swap fake tensors."""
    device, *_ = torch._C._nn._parse_to(*arguments, **settings)
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            setattr(part, name, nn.Parameter(parameter.detach().to(device), requires_grad=parameter.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, buffer.to(device))
    return module


def _fused(*arguments: object, **settings: object) -> None:
    """Replaces a fused optimizer's kernel: checks that everything it is given is on the device."""
    given = [value for values in arguments for value in (values if isinstance(values, list) else [values])]
    tensors = [value for value in (*given, *settings.values()) if isinstance(value, torch.Tensor)]
    assert tensors
    assert {tensor.device.type for tensor in tensors} == {"cuda"}


@pytest.fixture
def trainer_on_cuda(tiny_split: Split, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainerOf]:
    monkeypatch.setattr(engine, "_cuda_devices", lambda device: [])
    monkeypatch.setattr(engine, "has_native_bfloat16", lambda device: True)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch, "Generator", _StreamOnTheCpu)
    monkeypatch.setattr(nn.Module, "to", _moved)
    monkeypatch.setattr(FakeTensorMode, "__deepcopy__", lambda mode, memo: mode, raising=False)
    for name in ("_fused_adam_", "_fused_adamw_", "_fused_sgd_"):
        monkeypatch.setattr(torch, name, _fused)

    def build(recipe: Recipe, count: int = 1) -> Stack:
        part = DevicePart(
            images=torch.empty(40, 1, 28, 28, dtype=torch.uint8, device=CUDA),
            labels=torch.empty(40, dtype=torch.int64, device=CUDA),
        )
        data = DeviceSplit(train=part, validation=part, validation_labels=tiny_split.validation.labels)
        trainer = Stack([Copy(recipe.with_overrides({"training.seed": seed}), data) for seed in range(count)], CUDA)

        def backward(loss: torch.Tensor) -> None:
            assert loss.shape == ()
            for parameter in trainer.model.parameters():
                parameter.grad = torch.empty_like(parameter)

        monkeypatch.setattr(torch.autograd, "backward", backward)
        return trainer

    with FakeTensorMode(allow_non_fake_inputs=False):
        yield build


def one_step(trainer: Stack) -> None:
    for optimizer in trainer.optimizers:
        set_learning_rate(optimizer, 0.01)
    assert trainer.average is not None
    trainer.average.advance()
    trainer._step(torch.zeros(trainer._shape(16), dtype=torch.int64, device=CUDA))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("overrides", CASES, ids=lambda overrides: "-".join(map(str, overrides.values())) or "default")
def test_a_step_stays_on_the_device_and_reads_nothing_back(
    trainer_on_cuda: TrainerOf, overrides: dict[str, Scalar], count: int
) -> None:
    recipe = Recipe().with_overrides({**EVERYTHING, **overrides})
    if count > 1:
        recipe = recipe.with_overrides({"training.gradient_clip": 0.0})
        if why_not_stacked(recipe):
            pytest.skip("trained one by one")
    trainer = trainer_on_cuda(recipe, count)
    assert trainer.precision == (torch.float32 if "training.precision" in overrides else torch.bfloat16)
    kept = [trainer.loss_sums, trainer.error_counts]
    rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
    for _ in range(2):
        one_step(trainer)
    if trainer.captured is not None:
        with capturable(trainer.optimizers):
            one_step(trainer)
        assert all(rate.device.type == "cuda" for rate in rates)
        left = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        assert all(before is after for before, after in zip(rates, left, strict=True))  # a replayed step reads it anew
    assert trainer.loss_sums is kept[0]
    assert trainer.error_counts is kept[1]
    assert {value.device.type for value in trainer.evaluated_model.state_dict().values()} == {"cuda"}


def test_a_step_that_reads_a_value_back_would_be_noticed(
    trainer_on_cuda: TrainerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_on_cuda(Recipe().with_overrides(EVERYTHING))
    loss_of = engine.training_loss
    monkeypatch.setattr(engine, "training_loss", lambda *arguments: loss_of(*arguments) * loss_of(*arguments).item())
    with pytest.raises(DataDependentOutputException):
        one_step(trainer)


def test_a_step_that_uses_a_cpu_tensor_would_be_noticed(
    trainer_on_cuda: TrainerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_on_cuda(Recipe().with_overrides(EVERYTHING))
    monkeypatch.setattr(engine, "augmented", lambda images, *_: images * torch.ones(16, 1, 1, 1))
    with pytest.raises(RuntimeError, match="same device"):
        one_step(trainer)
