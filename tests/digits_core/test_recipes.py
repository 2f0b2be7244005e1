import json
from pathlib import Path

import pytest

from digits_core.data.datasets import DATASETS
from digits_core.errors import UsageError
from digits_core.recipe import Recipe
from digits_core.recipes import NOT_PUBLISHED, RECIPES, best_parameters, named_recipe
from digits_core.training.engine import check_fit


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_recipe_fits_its_data_set_and_says_where_it_is_from(name: str) -> None:
    named = named_recipe(name)
    recipe = named.build()
    assert named.dataset in DATASETS
    check_fit(recipe, DATASETS[named.dataset].side, recipe.training.batch_size)
    assert named.source
    has_figures = any(character.isdigit() for character in named.published)
    assert has_figures or named.published in ("figures only", NOT_PUBLISHED)
    assert named.build.__doc__


def test_no_two_names_share_a_recipe() -> None:
    assert len({named.build().recipe_id for named in RECIPES.values()}) == len(RECIPES)


def test_the_repaired_recipe_differs_only_in_the_loss() -> None:
    faulty, repaired = (named_recipe(n).build().as_overrides() for n in ("nguetsop-cnn", "nguetsop-cnn-repaired"))
    assert {name for name in faulty if faulty[name] != repaired[name]} == {"loss.name"}


def test_an_unknown_recipe_suggests_the_closest() -> None:
    with pytest.raises(UsageError, match="did you mean 'lenet'"):
        named_recipe("lenett")


def test_a_recipe_that_does_not_fit_is_refused_before_anything_starts() -> None:
    simple = named_recipe("simple-cnn-m7").build()
    with pytest.raises(UsageError, match="needs images of at least 25x25 pixels, not 8x8"):
        check_fit(simple, 8, 1_000)
    with pytest.raises(UsageError, match="120 is larger than the 119 training images"):
        check_fit(simple, 28, 119)
    with pytest.raises(UsageError, match="batch_size 1 is too small for this network's batch norm; use at least 2"):
        check_fit(simple.with_overrides({"training.batch_size": 1}), 28, 1_000)
    check_fit(named_recipe("lenet-bn-dropout").build().with_overrides({"training.batch_size": 1}), 28, 1_000)
    with pytest.raises(UsageError, match="nothing would be trained"):
        check_fit(simple.with_overrides({"training.epochs": 0}), 28, 1_000)


def test_a_best_parameters_file_is_a_recipe(tmp_path: Path) -> None:
    path, recipe = tmp_path / "best.json", Recipe().with_overrides({"model.width": 8, "training.seed": 5})
    values = best_parameters(recipe, name="first, trial 3", dataset="mnist", validation={"n": 1})
    path.write_text(json.dumps(values))
    named = named_recipe(str(path))
    assert (named.build(), named.dataset, named.title) == (recipe, "mnist", "first, trial 3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file"),
        ("{", "is not a best-parameters file"),
        ("[]", "is not a best-parameters file"),
        ('{"recipe": {}}', "it must contain name, dataset, validation and recipe, and nothing else"),
        ('{"recipe": {"model": {}}, "dataset": "mnist", "name": "x", "foo": 1}', "and nothing else"),
        ('{"recipe": {}, "dataset": "mnist", "name": "x"}', "its recipe must contain sections such as model"),
        (
            '{"recipe": {"model": []}, "dataset": "mnist", "name": "x"}',
            "its recipe must contain sections such as model",
        ),
        (
            '{"recipe": {"modle": {}}, "dataset": "mnist", "name": "x"}',
            "'modle'; did you mean 'model'",
        ),
        ('{"recipe": {"model": {"widht": 3}}, "dataset": "mnist", "name": "x"}', "did you mean"),
        (
            '{"recipe": {"model": {"width": "wide"}}, "dataset": "mnist", "name": "x"}',
            "model.width must be of type int",
        ),
        ('{"recipe": {"model": {"width": -1}}, "dataset": "mnist", "name": "x"}', "model.width"),
        ('{"recipe": {"model": {}}, "dataset": "mnist", "name": null}', "must be printable"),
        ('{"recipe": {"model": {}}, "dataset": "mnist", "name": "\\u001b[31m"}', "must be printable"),
        ('{"recipe": {"model": {}}, "dataset": "mnist", "name": "\\ud800"}', "must be printable"),
        (
            '{"recipe": {"optimizer": {"learning_rate": 1%s}}, "dataset": "mnist", "name": "x"}' % ("0" * 400),
            "too large",
        ),
        ("[" * 100_000, "is not a best-parameters file"),
        (" " * (2**20 + 1), "larger than 1,048,576 bytes"),
    ],
)
def test_unusable_best_parameters_files_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "best.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=message):
        named_recipe(str(path))


def test_a_folder_or_a_device_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("folder.json", "zero.json"):
        with pytest.raises(UsageError, match="it is not a file"):
            named_recipe(str(tmp_path / name))
