import pytest

from digits_core.data.datasets import DATASETS
from digits_core.errors import UsageError
from digits_core.recipes import RECIPES, named_recipe
from digits_core.training.layers import layer_rows
from digits_core.training.models import build_model, count_parameters


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
    with pytest.raises(UsageError, match="needs images of 16x16"):
        layer_rows(named_recipe("nguetsop-cnn").build(), 8)
