import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from digits_core.errors import UsageError
from digits_core.recipe import ARCHITECTURES, INITIALISERS, Input, Recipe, Scalar
from digits_core.training.models import MODELS, Preprocessing, build_model, count_parameters, fit_preprocessing

SMALL: dict[str, Scalar] = {"model.width": 4, "model.hidden_units": 16, "model.dropout": 0.0}
NEEDS_ROOM = {"nguetsop-cnn": 16, "simple-cnn": 21}  # smallest side, kernel 3


def recipe(**overrides: Scalar) -> Recipe:
    return Recipe().with_overrides(SMALL).with_overrides({k.replace("__", "."): v for k, v in overrides.items()})


def named(name: str, side: int, **overrides: Scalar) -> Recipe:
    seen = 28 if side < NEEDS_ROOM.get(name, 0) else 0
    return recipe(model__name=name, input__side=seen, **overrides)


def test_every_architecture_is_in_the_vocabulary() -> None:
    assert tuple(sorted(MODELS)) == ARCHITECTURES


@pytest.mark.parametrize("side", [8, 16, 28])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_takes_every_side_and_trains_every_parameter(name: str, side: int) -> None:
    torch.manual_seed(0)
    model = build_model(named(name, side, model__depth=2), side)
    logits = model(torch.rand(6, 1, side, side))
    assert logits.shape == (6, 10)
    (logits * torch.rand(6, 10)).square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", sorted(NEEDS_ROOM))
def test_images_too_small_for_an_architecture_are_refused_with_the_fix(name: str) -> None:
    smallest = NEEDS_ROOM[name]
    build_model(recipe(model__name=name), smallest)
    with pytest.raises(UsageError, match=rf"images of at least {smallest}x{smallest}.*input\.side=28"):
        build_model(recipe(model__name=name), smallest - 1)


LENET = (25 + 1) * 6 + (6 * 25 + 1) * 16 + (400 + 1) * 120 + (120 + 1) * 84 + (84 + 1) * 10


@pytest.mark.parametrize(
    ("overrides", "side", "expected"),
    [
        # LeCun et al. 1998 with full connections: 16 x 5 x 5 = 400 features
        ({"model.name": "lenet"}, 28, LENET),
        ({"model.name": "lenet", "model.batch_norm": True}, 28, LENET + 2 * 6 + 2 * 16),
        ({"model.name": "nguetsop-cnn"}, 28, 26 * 10 + 251 * 20 + 321 * 50 + 51 * 10),
        ({"model.name": "improved-net", "input.side": 28}, 8, 10 * 16 + 145 * 32 + 6273 * 128 + 129 * 64 + 65 * 10),
        ({"model.name": "kfold-cnn"}, 8, 10 * 32 + 289 * 64 + 1025 * 128 + 129 * 10),
        (
            {"model.name": "cnn-mnist-101"},
            28,
            25 * 32 + 25 * 32 * 32 + 9 * 32 * 64 + 9 * 64 * 64 + 2 * (32 + 32 + 64 + 64) + 3137 * 512 + 513 * 10,
        ),
    ],
)
def test_founding_nets_have_the_published_sizes(overrides: dict[str, Scalar], side: int, expected: int) -> None:
    assert count_parameters(build_model(Recipe().with_overrides(overrides), side)) == expected


@pytest.mark.parametrize(("kernel_size", "convolutions", "features"), [(3, 10, 11_264), (5, 5, 10_240), (7, 4, 3_072)])
def test_simple_cnn_ends_as_published(kernel_size: int, convolutions: int, features: int) -> None:
    model = build_model(recipe(model__name="simple-cnn", model__kernel_size=kernel_size), 28)
    assert sum(isinstance(module, torch.nn.Conv2d) for module in model.modules()) == convolutions
    (dense,) = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert dense.in_features == features


def test_simple_cnn_refuses_other_kernel_sizes() -> None:
    with pytest.raises(UsageError, match="3, 5 or 7, not 1"):
        build_model(recipe(model__name="simple-cnn", model__kernel_size=1), 28)


@pytest.mark.parametrize("name", ["cnn", "resnet", "wide-resnet"])
def test_width_and_depth_scale_the_model(name: str) -> None:
    base = count_parameters(build_model(recipe(model__name=name), 28))
    assert count_parameters(build_model(recipe(model__name=name, model__width=8), 28)) > 1.9 * base
    assert count_parameters(build_model(recipe(model__name=name, model__depth=2), 28)) > base


@pytest.mark.parametrize("init", INITIALISERS)
def test_initialisers_draw_weights_of_the_expected_deviation(init: str) -> None:
    torch.manual_seed(0)
    model = build_model(recipe(model__name="kfold-cnn", model__init=init), 8)
    convolution = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.in_channels == 32)
    dense = next(m for m in model.modules() if isinstance(m, torch.nn.Linear))
    fan_in, fan_out = 9 * 32, 9 * 64
    expected = {
        "default": ((1 / (3 * fan_in)) ** 0.5, (1 / (3 * 1024)) ** 0.5),
        "kaiming": ((2 / fan_in) ** 0.5, (2 / 1024) ** 0.5),
        "kaiming-xavier": ((2 / fan_in) ** 0.5, (2 / (1024 + 128)) ** 0.5),
        "xavier": ((2 / (fan_in + fan_out)) ** 0.5, (2 / (1024 + 128)) ** 0.5),
        "orthogonal": ((1 / fan_in) ** 0.5, (1 / 1024) ** 0.5),
    }[init]
    measured = convolution.weight.std().item(), dense.weight.std().item()
    assert measured == pytest.approx(expected, rel=0.05)


def test_images_too_small_for_every_architecture_are_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        build_model(Recipe(), 6)


def test_per_pixel_normalisation_is_the_standard_scaler() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, size=(50, 1, 8, 8), dtype=np.uint8)
    pixels[:, :, 0, 0] = 0  # like the corners in optdigits
    module = Preprocessing(Input(normalization="per-pixel"), 8)
    fit_preprocessing(module, torch.from_numpy(pixels))
    ours = module(torch.from_numpy(pixels).float() / 255).numpy().reshape(50, 64)
    theirs = StandardScaler().fit_transform(pixels.reshape(50, 64).astype(np.float64))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_standard_normalisation_then_resizing() -> None:
    pixels = torch.randint(0, 255, (40, 1, 8, 8), dtype=torch.uint8)
    module = Preprocessing(Input(normalization="standard", side=28), 8)
    fit_preprocessing(module, pixels)
    assert module(pixels.float() / 255).shape == (40, 1, 28, 28)
    flat = Preprocessing(Input(normalization="standard"), 8)
    flat.fit(pixels)
    seen = flat(pixels.float() / 255)
    assert float(seen.mean()) == pytest.approx(0, abs=1e-5)
    assert float(seen.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_statistics_are_stored_with_the_weights() -> None:
    settings = recipe(input__normalization="per-pixel")
    first, second = build_model(settings, 8), build_model(settings, 8)
    fit_preprocessing(first, torch.randint(0, 255, (40, 1, 8, 8), dtype=torch.uint8))
    second.load_state_dict(first.state_dict())
    images = torch.rand(5, 1, 8, 8)
    assert torch.equal(first.eval()(images), second.eval()(images))
