from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from digits_core.data.digits import Split
from digits_core.recipe import ARCHITECTURES, OPTIMIZERS, Recipe, Scalar
from digits_core.recipes import named_recipe
from digits_core.training.copies import Copy, DeviceSplit
from digits_core.training.engine import Stack, seed_for
from digits_core.training.models import build_model, fit_preprocessing
from digits_core.training.optim import build_optimizers
from digits_core.training.stacking import (
    Streams,
    copies_that_pay,
    fill,
    part,
    stack,
    why_not_stacked,
)
from tests.helpers.training import train

CPU = torch.device("cpu")
SIDES = {"simple-cnn": 28, "nguetsop-cnn": 28}  # those that need large images
SMALL: dict[str, Scalar] = {
    "augmentation.elastic_fraction": 0.1,
    "augmentation.erasing_probability": 0.3,
    "model.batch_norm": True,
    "model.dropout": 0.3,
    "model.hidden_units": 16,
    "model.kernel_size": 3,
    "model.width": 4,
    "optimizer.learning_rate": 0.001,
    "training.batch_size": 8,
    "training.epochs": 2,
    "training.keep": "last",
    "training.precision": "float32",
}


def small(changes: dict[str, Scalar]) -> Recipe:
    return Recipe().with_overrides({**SMALL, **changes})


def networks_of(recipe: Recipe, count: int, side: int) -> list[nn.Module]:
    """Networks with weights of their own, in float64: there, rounding does not decide which pixel a pool takes."""
    networks = []
    for seed in range(count):
        torch.manual_seed(seed)
        network = build_model(recipe, side)
        fit_preprocessing(network, torch.randint(0, 255, (20, 1, side, side), dtype=torch.uint8))
        networks.append(network.double())
    return networks


def streams(count: int) -> Streams:
    return Streams([torch.Generator().manual_seed(seed_for(seed, "dropout")) for seed in range(count)])


@pytest.mark.parametrize(
    ("name", "in_bfloat16"), [*((name, False) for name in ARCHITECTURES), ("lenet", True), ("cnn", True)]
)
def test_a_stack_trains_each_copy_as_it_would_train_alone(name: str, *, in_bfloat16: bool) -> None:
    count, side = 3, SIDES.get(name, 8)
    recipe = small({"model.name": name, "input.normalization": "per-pixel"})
    whole = stack(networks_of(recipe, count, side), streams(count), in_bfloat16=in_bfloat16).double().train()
    assert list(whole.state_dict()) == list(build_model(recipe, side).state_dict())
    alone = [stack([network], Streams([stream])).train() for network, stream in zip(
        networks_of(recipe, count, side), streams(count).generators, strict=True
    )]  # fmt: skip
    together = torch.optim.SGD(whole.parameters(), lr=0.05)
    each = [torch.optim.SGD(network.parameters(), lr=0.05) for network in alone]
    for _ in range(1 if name == "simple-cnn" else 4):
        images, labels = torch.rand(count, 6, 1, side, side).double(), torch.randint(0, 10, (count, 6))
        together.zero_grad()
        logits = whole(images[:, :, 0].transpose(0, 1).contiguous(memory_format=torch.channels_last))
        assert logits.shape == (count, 6, 10)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        losses.view(count, 6).mean(1).sum().backward()
        together.step()
        for network, optimizer, seen, known in zip(alone, each, images, labels, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(network(seen.contiguous(memory_format=torch.channels_last)), known).backward()
            optimizer.step()
    for position, network in enumerate(alone):
        for key, value in network.state_dict().items():
            own = part(whole.state_dict()[key], value.shape, position, count)
            assert torch.allclose(own, value, rtol=1e-9, atol=1e-10), key


@pytest.mark.parametrize(
    "changes",
    [
        *({"optimizer.name": name} for name in OPTIMIZERS if name not in ("muon", "lion")),
        {"optimizer.name": "lion", "optimizer.learning_rate": 0.0002},
        {"loss.name": "focal", "optimizer.name": "sgd"},
        {"loss.label_smoothing": 0.1, "input.side": 10, "input.normalization": "standard"},
        {"model.name": "resnet", "training.ema_decay": 0.9, "optimizer.name": "sgd"},
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [2, 5])
def test_fifty_steps_of_a_stack_are_those_of_single_runs(
    tiny_split: Split, changes: dict[str, Scalar], count: int
) -> None:
    recipe = small({"model.name": "lecture-conv", **changes})
    tolerance = 1e-4 if recipe.model.name == "resnet" else 1e-5  # batch norm amplifies differences
    recipes = [recipe.with_overrides({"training.seed": seed}) for seed in range(count)]
    data = DeviceSplit.from_split(tiny_split, CPU)
    copies = [Copy(one, data) for one in recipes]
    whole = Stack(copies, CPU)
    for _ in range(recipe.training.epochs):
        whole.run_epoch()
    for one in (copies[0], copies[-1]):
        alone = train(one.recipe, tiny_split, CPU)
        assert one.best is not None
        for name, value in alone.best.weights.items():
            assert np.allclose(
                one.best.weights[name], value, rtol=0, atol=tolerance * max(np.abs(value).max(), 1e-3)
            ), name
        mine, its = one.curve[-1], alone.curve[-1]
        assert abs(mine.validation_error_count - its.validation_error_count) <= 2
        assert (mine.train_loss, mine.validation_nll) == pytest.approx((its.train_loss, its.validation_nll), rel=1e-4)


def test_copies_of_other_images_keep_to_their_own(tiny_split: Split) -> None:
    data = DeviceSplit.from_split(tiny_split, CPU)
    turned = replace(data, train=replace(data.train, images=data.train.images.flip(2)))
    recipe = small({"model.name": "resnet", "optimizer.name": "sgd"})
    copies = [Copy(recipe, data), Copy(recipe, turned)]
    Stack(copies, CPU).run_epoch()
    for one in copies:
        single = Copy(recipe, one.data)
        Stack([single], CPU).run_epoch()
        assert one.curve[0].train_loss == pytest.approx(single.curve[0].train_loss, rel=1e-5)
    assert copies[0].curve[0].train_loss != pytest.approx(copies[1].curve[0].train_loss, rel=1e-3)


def test_a_part_is_a_view_of_the_whole() -> None:
    convolution, dense, norm, pixels = (4, 2, 3, 3), (5, 7), (4,), (1, 1, 8, 8)
    stacked = ((12, 2, 3, 3), (3, 5, 7), (12,), (1, 3, 8, 8))
    for shape, whole in zip((convolution, dense, norm, pixels), stacked, strict=True):
        tensor, own = torch.zeros(whole), [torch.full(shape, float(number)) for number in range(3)]
        fill(tensor, own)
        assert torch.equal(part(tensor, shape, 2, 3), own[2])
        part(tensor, shape, 1, 3).fill_(9.0)
        assert float((tensor == 9).sum()) == own[1].numel()
    steps = torch.tensor(4.0)
    assert part(steps, (4, 2), 1, 3) is steps


def test_what_cannot_be_stacked_says_why() -> None:
    assert why_not_stacked(Recipe()) == ""
    for changes, reason in (
        ({"optimizer.name": "muon"}, "muon works on whole matrices"),
        ({"training.gradient_clip": 1.0}, "gradient_clip takes the norm of one network's gradient"),
        ({"schedule.name": "plateau"}, "plateau gives each copy its own learning rate"),
        ({"training.compile": "on"}, "torch.compile takes one network"),
    ):
        recipe = Recipe().with_overrides(changes)  # type: ignore[arg-type]
        assert why_not_stacked(recipe) == reason
        assert copies_that_pay(recipe, 8, "cuda") == 1
    with pytest.raises(TypeError, match="Conv1d cannot be stacked"):
        stack([nn.Conv1d(1, 1, 1), nn.Conv1d(1, 1, 1)], streams(2))


def test_small_networks_pay_and_large_ones_do_not() -> None:
    """As measured: docs/lab-log.md."""
    assert copies_that_pay(named_recipe("lenet").build(), 28, "cpu") == 8
    assert copies_that_pay(named_recipe("lenet").build(), 28, "cuda") == 128
    assert copies_that_pay(Recipe(), 8, "cpu") == 8
    assert copies_that_pay(named_recipe("nguetsop-cnn").build(), 28, "cpu") == 4
    resnet = Recipe().with_overrides({"model.name": "resnet", "model.width": 32})
    assert copies_that_pay(resnet, 28, "cpu") == 2
    assert copies_that_pay(resnet.with_overrides({"training.batch_size": 256}), 28, "cpu") == 1
    for name, side in (("kfold-cnn", 8), ("improved-net", 8), ("speedrun-99", 28), ("lecture-drop-conv", 28)):
        assert copies_that_pay(named_recipe(name).build(), side, "cpu") == 1, name
    large = Recipe().with_overrides({"model.name": "resnet", "model.width": 128, "training.batch_size": 1024})
    assert copies_that_pay(large, 28, "cuda") == 1
    assert copies_that_pay(Recipe(), 8, "mps") == 1


def test_optimizers_update_a_stack_in_the_order_of_one_network() -> None:
    recipe = small({"model.name": "resnet"})
    whole = stack(networks_of(recipe, 2, 8), streams(2))
    (optimizer,) = build_optimizers(list(whole.parameters()), recipe.optimizer, CPU)
    single = [parameter.numel() for parameter in build_model(recipe, 8).parameters()]
    assert [parameter.numel() for parameter in optimizer.param_groups[0]["params"]] == [2 * size for size in single]
