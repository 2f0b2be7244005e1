import json
from pathlib import Path
from typing import Any

import pytest

from digits_core.errors import UsageError
from digits_core.recipes import named_recipe
from digits_core.runs.run import Run
from digits_core.stored import MOST_TRIALS
from sweeps.plans.config import SweepConfig
from sweeps.plans.planning import RunPlan, plan_sweep
from sweeps.space.assignments import Drawn, Given
from sweeps.space.known_good import default_recipe, further_recipes

GRID = """
[optimizer.learning_rate]
choices = [0.001, 0.005, 0.02]

[training.batch_size]
low = 31
high = 33
"""


def plan(runs: Path, **changes: Any) -> RunPlan:
    return plan_sweep(SweepConfig(**{"runs": runs, "name": "planned", "max_epochs": 3, "concurrency": 2, **changes}))


def drawn(runs: Path, **changes: Any) -> Drawn:
    recipes = plan(runs, **changes).recipes
    assert isinstance(recipes, Drawn)
    return recipes


def written(folder: Path, text: str) -> Path:
    path = folder / "written"
    path.write_text(text)
    return path


def test_trial_0_is_the_default_recipe(tmp_path: Path) -> None:
    first, *_ = drawn(tmp_path, seed=7).first
    default = default_recipe("cpu", 8, 3)
    assert first.recipe == default.with_overrides({"training.seed": 7})
    assert first.point is not None


def test_a_sweep_begins_with_known_recipes_of_several_kinds_and_stops_none_of_them(tmp_path: Path) -> None:
    recipes = drawn(tmp_path, seed=7)
    _, *further = recipes.first
    expected = further_recipes("cpu", 8)
    assert [one.recipe for one in further] == [
        recipe.with_overrides({"training.epochs": 3, "training.seed": 7 + trial})
        for trial, recipe in enumerate(expected, 1)
    ]
    assert recipes.spared == 3
    for trials, count in ((9, 0), (10, 1), (20, 2), (200, 2)):
        assert len(drawn(tmp_path, trials=trials).first) == 1 + count
    for settings in ({"fixed": {"model.name": "lenet"}}, {"scheduler": "pbt"}):
        own = drawn(tmp_path, **settings)
        assert (len(own.first), own.spared) == (1, 1)
    assert len(drawn(tmp_path, fixed={"input.side": 28}).first) == 2  # the one that has it


def test_a_default_outside_the_space_is_moved_into_it(tmp_path: Path) -> None:
    space = written(tmp_path, "[model.name]\nchoices = ['mlp', 'lenet']\n[model.dropout]\nlow = 0.3\nhigh = 0.4")
    (first,) = drawn(tmp_path, space_file=space).first
    assert (first.recipe.model.name, first.recipe.model.dropout) == ("mlp", 0.3)
    assert first.point == {"model.name": "mlp", "model.dropout": 0.3}


def test_fixed_fields_hold_in_all_trials(tmp_path: Path) -> None:
    recipes = drawn(tmp_path, fixed={"model.name": "lenet", "training.ema_decay": 0.99})
    assert recipes.first[0].recipe.model.name == "lenet"
    assert recipes.base.training.ema_decay == 0.99
    assert [str(recipes.space[name]) for name in ("model.name", "training.ema_decay")] == ["lenet", "0.99"]


def test_known_recipes_come_after_the_default_with_the_sweeps_epochs(tmp_path: Path, sweep_store: Run) -> None:
    recipes = drawn(sweep_store.folder.parent, start_from=("improved-net", "tiny"))
    labels = [(first.trial, first.label) for first in recipes.first]
    best = sweep_store.ranked
    known = [(0, ""), (1, ""), (2, ""), (3, "improved-net")]
    assert labels == [*known, *((i, f"tiny, trial {r.trial}") for i, r in enumerate(best, 4))]
    assert all(first.recipe.training.epochs == 3 for first in recipes.first)
    assert [first.recipe.training.seed for first in recipes.first] == list(range(len(recipes.first)))
    improved = recipes.first[3]
    assert improved.recipe.model == named_recipe("improved-net").build().model
    assert improved.point is None  # such a network is not in the space


def test_a_grid_is_tried_whole_and_the_default_first(tmp_path: Path) -> None:
    space = written(tmp_path, GRID)
    made = plan(tmp_path, space_file=space, search="grid")
    assert isinstance(made.recipes, Drawn)
    assert made.header.trial_count == 9
    points = [first.point for first in made.recipes.first]
    assert points[0] == {"optimizer.learning_rate": 0.005, "training.batch_size": 32}
    assert len({json.dumps(point) for point in points}) == 9
    assert plan(tmp_path, space_file=space, search="grid", trials=4).header.trial_count == 4


def test_how_many_trials(tmp_path: Path) -> None:
    assert plan(tmp_path).header.trial_count == 100
    budgeted = plan(tmp_path, time_budget_seconds=60.0)
    assert budgeted.header.trial_count == MOST_TRIALS
    assert "as many trials as there is time for" in budgeted.line
    assert plan(tmp_path, time_budget_seconds=60.0, trials=5).header.trial_count == 5


def test_a_list_is_run_exactly_as_given(tmp_path: Path) -> None:
    lines = [{"model.name": "lenet", "training.epochs": 2}, {"optimizer.name": "sgd", "training.seed": 40}]
    made = plan(tmp_path, configs=written(tmp_path, "\n\n".join(map(json.dumps, lines))))
    assert isinstance(made.recipes, Given)
    assert made.header.plan is None
    first, second = (assignment.recipe for assignment in made.recipes.assignments)
    assert (first.model.name, first.training.epochs, first.training.seed) == ("lenet", 2, 0)
    assert (second.optimizer.name, second.training.epochs, second.training.seed) == ("sgd", 3, 40)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "contains no recipes"),
        ("{}\nlenet", r"written, line 2: Expecting value"),
        ("[1]", "line 1: a line must be an object of dotted fields; write"),
        ('{"model.nmae": "cnn"}', "line 1: unknown recipe field 'model.nmae'"),
        ('{"model.width": [1, 2]}', r"line 1: model.width takes one value, got \[1, 2\]"),
        ('{"training.batch_size": 5000}', "training.batch_size 5000 is larger than the 1078 training images"),
    ],
)
def test_bad_lists_are_refused_with_the_line(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        plan(tmp_path, configs=written(tmp_path, content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fixed": {"training.seed": 3}}, "training.seed cannot be fixed: every trial has its own seed"),
        ({"fixed": {"model.name": "improved-nte"}}, "unknown architecture 'improved-nte'"),
        (
            {"fixed": {"training.batch_size": 2000}},
            "training.batch_size = 2000 cannot be searched here: .* larger than",
        ),
        ({"fixed": {"model.name": "nguetsop-cnn"}}, "nguetsop-cnn needs images of at least 16x16 pixels"),
        ({"search": "grid"}, "a grid cannot have a continuous range, as for model.dropout, optimizer.learning_rate"),
        ({"start_from": ("lenett",)}, "unknown recipe 'lenett'; did you mean 'lenet'"),
        ({"start_from": ("cnn-mnist-101",), "fixed": {"input.side": 8}}, ""),
        ({"configs": Path("x"), "start_from": ("lenet",)}, "leave out --space, --fix and --start-from"),
        ({"configs": Path("x")}, "cannot read x"),
    ],
)
def test_what_cannot_be_searched_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    if not message:  # this one is accepted
        assert len(drawn(tmp_path, **changes).first) == 2
        return
    with pytest.raises(UsageError, match=message):
        plan(tmp_path, **changes)
