import pytest

from digits_core.data import DATASETS
from digits_core.engine import check_fit
from digits_core.errors import UsageError
from digits_core.recipes import RECIPES, named_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_recipe_fits_its_data_set_and_says_where_it_is_from(name: str) -> None:
    named = named_recipe(name)
    recipe = named.build()
    assert named.dataset in DATASETS
    check_fit(recipe, DATASETS[named.dataset].side, recipe.training.batch_size)
    assert named.source
    assert any(character.isdigit() for character in named.published) or named.published == "figures only"
    assert named.build.__doc__


def test_no_two_names_mean_the_same() -> None:
    assert len({named.build().recipe_id for named in RECIPES.values()}) == len(RECIPES)


def test_the_repaired_recipe_differs_in_the_fault_alone() -> None:
    faulty, repaired = (named_recipe(n).build().as_overrides() for n in ("nguetsop-cnn", "nguetsop-cnn-repaired"))
    assert {name for name in faulty if faulty[name] != repaired[name]} == {"loss.name"}


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'lenet'"):
        named_recipe("lenett")


def test_a_recipe_that_does_not_fit_is_refused_before_anything_starts() -> None:
    simple = named_recipe("simple-cnn-m7").build()
    with pytest.raises(UsageError, match="needs images of 25x25 pixels, not 8x8"):
        check_fit(simple, 8, 1_000)
    with pytest.raises(UsageError, match="120 is larger than the 119 training images"):
        check_fit(simple, 28, 119)
    with pytest.raises(UsageError, match="nothing would be trained"):
        check_fit(simple.with_overrides({"training.epochs": 0}), 28, 1_000)
