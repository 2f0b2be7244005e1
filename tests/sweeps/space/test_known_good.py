import pytest

from digits_core.training.engine import check_fit
from sweeps.space.known_good import default_max_epochs, default_recipe, final_epochs, further_recipes, plain_recipe


@pytest.mark.parametrize("device_type", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("side", [8, 15, 16, 20, 27, 28, 40])
def test_the_first_recipes_fit_the_images_and_differ(device_type: str, side: int) -> None:
    recipes = [default_recipe(device_type, side, 3), *further_recipes(device_type, side)]
    for recipe in recipes:
        check_fit(recipe, side, 1_000)
    assert len({recipe.recipe_id for recipe in recipes}) == len(recipes) > 2


def test_what_is_not_in_the_search_space_keeps_the_default_of_a_recipe() -> None:
    plain, tuned = plain_recipe("cpu", 28, 3), default_recipe("cpu", 28, 3)
    assert (plain.model, plain.optimizer.name, plain.training.ema_decay) == (tuned.model, "adamw", 0.0)
    assert (tuned.optimizer.name, tuned.training.ema_decay) == ("sgd", 0.999)
    assert plain_recipe("cpu", 8, 3) == default_recipe("cpu", 8, 3)


def test_a_gpu_has_time_for_more_epochs() -> None:
    epochs = [default_max_epochs(device, side) for device, side in (("cpu", 8), ("cpu", 28), ("cuda", 8), ("cuda", 28))]
    assert epochs == [40, 10, 40, 20]


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
@pytest.mark.parametrize("side", [8, 28])
def test_a_search_before_a_confirmation_is_no_longer_than_one_alone_nor_than_what_follows(
    device_type: str, side: int
) -> None:
    before = default_max_epochs(device_type, side, is_confirmed=True)
    assert before <= default_max_epochs(device_type, side)
    last = final_epochs(device_type, side)
    assert last is None or last > before
