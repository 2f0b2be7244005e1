import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.errors import UsageError
from digits_core.recipe import (
    ARCHITECTURES,
    FIELD_TYPES,
    Recipe,
    Scalar,
    parse_assignment,
    parse_variation,
    parse_variations,
)
from digits_core.recipe import OPTIMIZERS as OPTIMIZER_NAMES
from digits_core.recipe import SCHEDULES as SCHEDULE_NAMES
from digits_core.training.models import MODELS
from digits_core.training.optim import OPTIMIZERS, SCHEDULES

overrides = st.fixed_dictionaries(
    {},
    optional={
        "model.name": st.sampled_from(ARCHITECTURES),
        "model.width": st.integers(1, 512),
        "optimizer.learning_rate": st.floats(1e-6, 1.0),
        "schedule.warmup_fraction": st.floats(0.0, 0.9),
        "training.seed": st.integers(0, 2**32 - 1),
    },
)


@given(overrides)
def test_json_round_trip_keeps_every_field(values: dict[str, str | int | float]) -> None:
    recipe = Recipe().with_overrides(values)
    assert Recipe.from_dict(json.loads(recipe.to_json())) == recipe
    assert {name: recipe.as_overrides()[name] for name in values} == values


@given(overrides)
def test_id_identifies_the_configuration_but_not_the_seed(values: dict[str, str | int | float]) -> None:
    recipe = Recipe().with_overrides(values)
    assert recipe.with_overrides({"training.seed": 7}).recipe_id == recipe.recipe_id
    assert recipe.with_overrides({"training.epochs": 999}).recipe_id != recipe.recipe_id


def test_id_is_stable_between_versions() -> None:
    # Stored runs refer to these ids: changing one needs a line in docs/decisions.md.
    # A new field changes none of them, as long as its default means what was done before.
    assert Recipe().recipe_id == "44136fa355b3"
    assert Recipe().with_overrides({"model.name": "lenet", "training.epochs": 3}).recipe_id == "d1916b42676f"


@given(overrides)
def test_an_assignment_on_the_command_line_parses_to_its_override(values: dict[str, Scalar]) -> None:
    assert dict(parse_assignment(f"{name}={value}") for name, value in values.items()) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.width", "is not an assignment"),
        ("model.widht=3", "did you mean 'model.width'"),
        ("model.width=three", "must be of type int"),
        ("model.width=3.5", "must be of type int"),
        ("model.batch_norm=1", "must be of type bool"),
        ("model.dropout=", "must be of type float"),
        ("model.dropout=[1]", "must be of type float"),
    ],
)
def test_a_bad_assignment_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_assignment(text)


def test_assignments_read_booleans_and_whole_floats() -> None:
    assert parse_assignment("optimizer.nesterov=False") == ("optimizer.nesterov", False)
    assert parse_assignment(" model.dropout = 0") == ("model.dropout", 0.0)


def test_label_smoothing_needs_cross_entropy() -> None:
    with pytest.raises(UsageError, match="needs a cross-entropy loss, not mse; set it to 0"):
        Recipe().with_overrides({"loss.name": "mse", "loss.label_smoothing": 0.1})


def test_unknown_field_suggests_the_closest() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'optimizer.learning_rate'"):
        Recipe().with_overrides({"optimizer.learning_rat": 0.1})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.name", "lenett", "did you mean 'lenet'"),
        ("model.width", 0, "between 1 and 1024"),
        ("model.width", "wide", "must be of type int"),
        ("model.width", True, "must be of type int"),
        ("model.kernel_size", 4, "must be odd"),
        ("model.dropout", float("nan"), "between 0 and 0.95"),
        ("optimizer.learning_rate", 0.0, "between"),
        ("schedule.name", "cosin", "did you mean 'cosine'"),
        ("training.precision", "float16", "did you mean"),
    ],
)
def test_bad_values_are_refused_with_the_fix(field: str, value: str | float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe().with_overrides({field: value})


def test_whole_floats_become_integers_and_integers_floats() -> None:
    recipe = Recipe().with_overrides({"model.width": 8.0, "model.dropout": 0})
    assert recipe.model.width == 8
    assert type(recipe.model.width) is int
    assert type(recipe.model.dropout) is float


def test_names_in_the_recipe_match_the_registries() -> None:
    assert set(MODELS) == set(ARCHITECTURES)
    assert set(OPTIMIZERS) == set(OPTIMIZER_NAMES)
    assert set(SCHEDULES) == set(SCHEDULE_NAMES)


def test_recipes_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().model.width = 3  # type: ignore[misc]
    assert "model.name" in FIELD_TYPES


def test_variations_have_the_type_of_their_field() -> None:
    assert parse_variation("optimizer.learning_rate=1,0.5") == ("optimizer.learning_rate", (1.0, 0.5))
    assert parse_variation("optimizer.name=sgd, adam") == ("optimizer.name", ("sgd", "adam"))
    with pytest.raises(UsageError, match=r"not a variation; write it as training\.batch_size=32,64"):
        parse_variation("training.batch_size")
    with pytest.raises(UsageError, match="lists a value twice"):
        parse_variation("training.batch_size=32,32.0")
    with pytest.raises(UsageError, match=r"training\.batch_size must be of type int"):
        parse_variation("training.batch_size=32,many")
    with pytest.raises(UsageError, match=r"training\.batch_size is varied twice"):
        parse_variations(["training.batch_size=32", "training.batch_size=64"])


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1" + "0" * 5_000, "[" * 100_000, "NaN"])
def test_unusable_numbers_are_usage_errors(number: str) -> None:
    with pytest.raises(UsageError, match=r"optimizer\.learning_rate"):
        Recipe().with_overrides(dict([parse_assignment(f"optimizer.learning_rate={number}")]))
