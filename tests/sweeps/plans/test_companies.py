import pytest

from digits_core.recipe import Recipe, Scalar
from digits_core.recipes import named_recipe
from digits_core.records import Assignment
from sweeps.plans.companies import in_companies
from sweeps.space.assignments import companies, company_of, config_of

LENET, LARGE = named_recipe("lenet").build(), named_recipe("speedrun-99").build()


def seeds_of(recipes: dict[str, Recipe], seeds: int) -> list[Assignment]:
    """The first seed of every recipe, then the second, as comparisons number them."""
    asked = [(label, recipe, seed) for seed in range(seeds) for label, recipe in recipes.items()]
    return [
        Assignment(trial=trial, label=label, recipe=recipe.with_overrides({"training.seed": seed}))
        for trial, (label, recipe, seed) in enumerate(asked)
    ]


@pytest.mark.parametrize(
    ("recipes", "seeds", "settings", "expected"),
    [
        ({"a": LENET}, 6, {}, [(0, 1, 2), (3, 4, 5)]),
        ({"a": LENET}, 6, {"concurrency": 1}, [(0, 1, 2, 3, 4, 5)]),
        ({"a": LENET}, 5, {}, [(0, 1, 2), (3, 4)]),
        ({"a": LENET}, 10, {"concurrency": 1}, [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]),  # eight would leave two
        ({"a": LENET, "b": LARGE}, 2, {}, [(0, 2), (1,), (3,)]),
        ({"a": LENET}, 4, {"fold_count": 4, "concurrency": 1}, [(0, 1), (2, 3)]),  # eight networks in each
        ({"a": LENET}, 2, {"fold_count": 5}, [(0,), (1,)]),
        ({"a": LENET}, 2, {"concurrency": 4}, [(0,), (1,)]),  # each has a worker of its own
        ({"a": LENET}, 3, {}, [(0, 1), (2,)]),
        ({"a": LENET, "b": LENET}, 2, {}, [(0, 2), (1, 3)]),
        (  # halves of companies, so that both workers end early
            dict.fromkeys("abcde", LENET),
            5,
            {},
            [*((n, n + 5, n + 10) for n in range(5)), *((n, n + 5) for n in range(15, 20))],
        ),
    ],
)
def test_seeds_of_one_recipe_are_trained_together_as_far_as_it_pays(
    recipes: dict[str, Recipe], seeds: int, settings: dict[str, int | str], expected: list[tuple[int, ...]]
) -> None:
    settings = {"side": 28, "fold_count": 0, "device": "cpu", "concurrency": 2, **settings}
    told = in_companies(seeds_of(recipes, seeds), **settings)  # type: ignore[arg-type]
    assert [assignment.trial for assignment in told] == list(range(seeds * len(recipes)))
    together = companies(told)
    assert [tuple(one.trial for one in company) for company in together] == expected
    for company, numbers in zip(together, expected, strict=True):
        assert {one.company for one in company} == {numbers if len(numbers) > 1 else ()}
        assert len({one.label for one in company}) == 1


def test_recipes_that_share_a_label_but_not_their_fields_are_not_one_network() -> None:
    changes: list[dict[str, Scalar]] = [{"training.seed": 0}, {"training.seed": 1, "optimizer.learning_rate": 0.02}]
    two = [Assignment(trial=n, label="a", recipe=LENET.with_overrides(each)) for n, each in enumerate(changes)]
    assert all(not one.company for one in in_companies(two, side=28, fold_count=0, device="cpu", concurrency=1))


def test_tune_hears_of_a_company_as_one_trial() -> None:
    told = in_companies(seeds_of({"a": LENET}, 3), side=28, fold_count=0, device="cpu", concurrency=1)
    (company,) = companies(told)
    assert company_of(config_of(company)) == company
    assert config_of(company)["trial"] == 0
    alone = Assignment(trial=4, recipe=LENET)
    assert config_of([alone]) == alone.to_dict()
    assert company_of(alone.to_dict()) == (alone,)
