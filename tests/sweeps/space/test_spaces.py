import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.errors import UsageError
from digits_core.recipe import Recipe
from sweeps.space.known_good import default_max_epochs, default_recipe
from sweeps.space.spaces import (
    Choice,
    Float,
    Int,
    Space,
    When,
    check_space,
    default_space,
    dimension,
    grid_points,
    is_active,
    narrowed,
    nearest,
    point_of,
)


@pytest.mark.parametrize("device_type", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("side", [8, 16, 28])
def test_default_recipe_lies_inside_the_default_space(device_type: str, side: int) -> None:
    _, space = default_space(device_type, side)
    check_space(space)
    recipe = default_recipe(device_type, side, default_max_epochs(device_type, side))
    point = point_of(space, recipe)
    assert recipe.with_overrides(point) == recipe
    assert ("optimizer.momentum" in point) == (recipe.optimizer.name == "sgd")
    assert point["model.name"] == ("cnn" if side == 8 else "resnet")


def test_spaces_have_a_name_and_a_size_in_words() -> None:
    assert default_space("cpu", 28)[0] == "small"
    assert default_space("cuda", 8)[0] == "large"
    assert dimension({"model.width": Int(low=1, high=4), "model.dropout": Float(low=0, high=1)}) == (
        "2 parameters: 4 combinations x 1 continuous ranges"
    )


def test_networks_without_pooling_are_searched_only_where_they_fit_and_on_a_gpu() -> None:
    for device_type, side, expected in (("cpu", 28, False), ("cuda", 8, False), ("cuda", 28, True)):
        _, space = default_space(device_type, side)
        names = space["model.name"]
        assert isinstance(names, Choice)
        assert ("simple-cnn" in names.options) == expected


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model.widht": Int(low=1, high=2)}, "did you mean 'model.width'"),
        ({"model.width": Int(low=3, high=2)}, "3 .. 2 is empty"),
        ({"model.dropout": Float(low=0.0, high=0.5, log=True)}, "must start above zero"),
        ({"model.name": Choice(options=())}, "no values"),
        ({"model.name": Choice(options=("cnn", "cmm"))}, "unknown architecture 'cmm'"),
        ({"model.dropout": Float(low=0.0, high=1.5)}, "between 0 and 0.95"),
        (
            {"optimizer.momentum": Float(low=0.1, high=0.9, when=When(field="optimizer.name", values=("sgd",)))},
            "depends on optimizer.name, which is not drawn before it",
        ),
    ],
)
def test_impossible_spaces_are_refused(space: Space, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_space(space)


def test_conditions() -> None:
    momentum = Float(low=0.1, high=0.9, when=When(field="optimizer.name", values=("sgd",)))
    assert is_active(momentum, {"optimizer.name": "sgd"})
    assert not is_active(momentum, {"optimizer.name": "adam"})
    assert not is_active(momentum, {})


def test_point_outside_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.width = 16 is outside"):
        point_of({"model.width": Choice(options=(8, 32))}, Recipe())


OWN: Space = {
    "model.name": Choice(options=("lenet", "cnn")),
    "model.width": Int(low=8, high=10, when=When(field="model.name", values=("cnn",))),
    "optimizer.name": Choice(options=("sgd",)),
}


def test_a_grid_has_every_point_once_and_only_what_is_active() -> None:
    assert list(grid_points(OWN)) == [
        {"model.name": "lenet", "optimizer.name": "sgd"},
        *({"model.name": "cnn", "model.width": width, "optimizer.name": "sgd"} for width in (8, 9, 10)),
    ]
    with pytest.raises(
        UsageError, match=r"cannot have a continuous range, as for model.dropout; .* --fix model.dropout="
    ):
        next(grid_points({"model.dropout": Float(low=0.0, high=0.5)}))


def test_fixing_narrows_the_space_and_what_depends_on_it() -> None:
    fixed = narrowed(OWN, {"model.name": "cnn", "optimizer.momentum": 0.5})
    assert list(fixed) == ["optimizer.momentum", "model.name", "model.width", "optimizer.name"]
    assert len(list(grid_points(fixed))) == 3
    assert all(point["optimizer.momentum"] == 0.5 for point in grid_points(fixed))
    conditional = narrowed(OWN, {"model.width": 9})
    assert [point.get("model.width") for point in grid_points(conditional)] == [None, 9]


@given(st.sampled_from(["cnn", "mlp", "resnet"]), st.integers(1, 40), st.sampled_from(["sgd", "adam"]))
def test_every_recipe_has_a_nearest_one_in_the_space(model: str, width: int, optimizer: str) -> None:
    recipe = Recipe().with_overrides({"model.name": model, "model.width": width, "optimizer.name": optimizer})
    moved = nearest(OWN, recipe)
    point = point_of(OWN, moved)
    assert nearest(OWN, moved) == moved
    assert point["model.name"] == ("cnn" if model == "cnn" else "lenet")
    assert moved.optimizer.name == "sgd"
    assert moved.model.width == (min(max(width, 8), 10) if model == "cnn" else width)
