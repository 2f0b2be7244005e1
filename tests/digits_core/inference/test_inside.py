import numpy as np
import pytest
import torch

from digits_core.data.datasets import DATASETS
from digits_core.errors import UsageError
from digits_core.inference.inside import MOST_LAYERS, MOST_MAPS, layer_rows, look_inside
from digits_core.recipe import ARCHITECTURES, Recipe
from digits_core.recipes import RECIPES, named_recipe
from digits_core.training.evaluate import to_model_input
from digits_core.training.models import build_model, count_parameters

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 1, 28, 28), dtype=np.uint8))


def test_look_inside_sees_what_the_layers_compute() -> None:
    model = build_model(Recipe().with_overrides({"model.name": "lenet"}), 28).train()
    seen = look_inside(model, IMAGES[:1], IMAGES)
    assert model.training
    model.eval()
    first = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    assert np.array_equal(seen.filters, first.weight[:, 0].detach().numpy())
    maps = first(to_model_input(IMAGES[:1]))[0].detach().numpy()
    for shown, true in zip(seen.layers[0].maps, maps, strict=True):
        assert np.allclose(shown, (true - true.min()) / (true.max() - true.min()), atol=1e-5)
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.inference_mode():
        logits = last(torch.from_numpy(seen.embedding))
        assert torch.allclose(logits, model(to_model_input(IMAGES)), atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_can_be_looked_inside(name: str) -> None:
    model = build_model(Recipe().with_overrides({"model.name": name}), 28)
    seen = look_inside(model, IMAGES[:1], IMAGES)
    assert len(seen.embedding) == 12
    assert np.isfinite(seen.embedding).all()
    has_convolutions = any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    assert (len(seen.layers) > 0) == has_convolutions == (len(seen.filters) > 0)
    assert len(seen.layers) <= MOST_LAYERS
    for layer in seen.layers:
        assert len(layer.maps) == min(layer.channel_count, MOST_MAPS)
        assert layer.maps.min() >= 0
        assert layer.maps.max() <= 1


def test_lenets_layers_are_the_published_ones() -> None:
    rows = layer_rows(named_recipe("lenet").build(), 28)
    trained = [(row.kind, row.output, row.parameter_count) for row in rows if row.parameter_count]
    assert trained == [
        ("Conv2d", (6, 28, 28), 156),
        ("Conv2d", (16, 10, 10), 2_416),
        ("Linear", (120,), 48_120),
        ("Linear", (84,), 10_164),
        ("Linear", (10,), 850),
    ]
    assert [row.output for row in rows if row.kind == "Flatten"] == [(400,)]


@pytest.mark.parametrize("name", RECIPES)
def test_the_layers_hold_all_parameters(name: str) -> None:
    named = named_recipe(name)
    side = DATASETS[named.dataset].side
    rows = layer_rows(named.build(), side)
    assert sum(row.parameter_count for row in rows) == count_parameters(build_model(named.build(), side))
    assert rows[-1].output == (10,)


def test_a_network_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="needs images of at least 16x16"):
        layer_rows(named_recipe("nguetsop-cnn").build(), 8)
