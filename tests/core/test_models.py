import pytest
import torch

from digits_core.errors import UsageError
from digits_core.models import MODELS, build_model, count_parameters
from digits_core.recipe import Model


@pytest.mark.parametrize("side", [8, 16, 28])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_architecture_takes_every_side_and_trains_every_parameter(name: str, side: int) -> None:
    torch.manual_seed(0)
    model = build_model(Model(name=name, width=4, hidden_units=16, dropout=0.0), side)
    logits = model(torch.rand(6, 1, side, side))
    assert logits.shape == (6, 10)
    logits.square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


def test_lenet_has_the_published_size() -> None:
    # LeCun et al. 1998 with full connections and 28x28 padded: 6, 16 channels, 784 -> 120 -> 84 -> 10
    expected = (25 + 1) * 6 + (6 * 25 + 1) * 16 + (16 * 49 + 1) * 120 + (120 + 1) * 84 + (84 + 1) * 10
    assert count_parameters(build_model(Model(name="lenet"), 28)) == expected


def test_width_and_units_scale_the_model() -> None:
    narrow = count_parameters(build_model(Model(name="cnn", width=8), 28))
    assert count_parameters(build_model(Model(name="cnn", width=16), 28)) > 1.9 * narrow


def test_too_small_images_are_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        build_model(Model(), 6)
