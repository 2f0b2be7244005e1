import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.recipe import Recipe
from digits_core.records import Assignment
from digits_core.runs.journal import History, Journal, TrialHistory, read_journal
from sweeps.plans.config import SEARCHES
from sweeps.search import study as study_module
from sweeps.search.reported import EPOCH, FAILED, FINISHED, METRIC
from sweeps.search.searchers import HandOut, StudySearch
from sweeps.search.study import SAMPLERS, frozen_trial, worth_knowing
from sweeps.space.assignments import Drawn
from sweeps.space.known_good import default_recipe
from sweeps.space.spaces import Choice, Float, Space, default_space, point_of

_, SPACE = default_space("cpu", 8)
DEFAULT = default_recipe("cpu", 8, 9)
STATES = optuna.trial.TrialState


Make = Callable[..., StudySearch]


@pytest.fixture
def search() -> Iterator[Make]:
    """Makes searchers with a journal in a folder of their own; closes the journals."""
    with contextlib.ExitStack() as stack:

        def make(folder: Path, history: History | None = None, **changes: Any) -> StudySearch:
            space, known = changes.pop("space", SPACE), changes.pop("known", {})
            first = (Assignment(trial=0, recipe=DEFAULT, point=point_of(SPACE, DEFAULT)),)
            settings = {"search": "tpe", "scheduler": "none", "seed": 0, "first": first, **changes}
            journal = stack.enter_context(Journal(folder))
            if history is None or not history.sessions:
                journal.session(1, 0.0)
            drawn = Drawn(base=DEFAULT, space=space, **settings)
            return StudySearch(drawn, 40, history or History(), journal, known.get)

        yield make


def result(epoch: int, value: float, *, finished: bool = False, failed: bool = False) -> dict[str, Any]:
    return {EPOCH: epoch, METRIC: value, FINISHED: finished, FAILED: failed}


def value_of(suggested: dict[str, Any]) -> float:
    """An objective with a valley."""
    recipe = Recipe.from_dict(suggested["recipe"])
    return abs(math.log10(recipe.optimizer.learning_rate) + 2.5) + recipe.model.dropout


def test_first_trial_is_the_default_and_later_ones_are_valid_recipes(search: Make, tmp_path: Path) -> None:
    searcher = search(tmp_path, seed=100)
    for number in range(30):
        suggested = searcher.suggest(str(number))
        assert isinstance(suggested, dict)
        assignment = Assignment.from_dict(suggested)
        assert (assignment.trial, assignment.recipe.training.seed) == (number, number and 100 + number)
        assert assignment.recipe.training.epochs == 9
        drawn = assignment.point
        assert drawn is not None
        assert DEFAULT.with_overrides({**drawn, "training.seed": number and 100 + number}) == assignment.recipe
        assert ("optimizer.momentum" in drawn) == (assignment.recipe.optimizer.name == "sgd")
        assert ("model.width" in drawn) == (assignment.recipe.model.name in ("cnn", "resnet"))
    history = read_journal(tmp_path)
    assert history.trials[0].assignment.recipe == DEFAULT
    assert list(history.trials) == list(range(30))


def test_every_search_has_a_name_and_a_description() -> None:
    assert {*SAMPLERS, "grid"} == set(SEARCHES)


@pytest.mark.parametrize("most_known", [study_module.MOST_KNOWN, 12])
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_resumed_search_draws_what_it_would_have_drawn(
    name: str, most_known: int, search: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "MOST_KNOWN", most_known)

    def go_on(searcher: StudySearch, count: int) -> list[dict[str, Any]]:
        drawn = []
        for _ in range(count):
            suggested = searcher.suggest("x")
            assert isinstance(suggested, dict)
            known[suggested["trial"]] = (value_of(suggested),)
            value, epoch, trial = value_of(suggested), 9 if suggested["trial"] % 3 else 4, suggested["trial"]
            searcher.journal.epoch(trial, epoch, value)
            searcher.journal.over(trial, "finished" if epoch == 9 else "stopped")
            searcher.on_trial_complete("x", result(epoch, value, finished=epoch == 9))
            drawn.append(suggested)
        return drawn

    known: dict[int, tuple[float, ...]] = {}
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = go_on(search(tmp_path / "whole", search=name, known=known), 16)
    first = go_on(search(tmp_path / "cut", search=name, known=known), 13)
    again = go_on(search(tmp_path / "cut", read_journal(tmp_path / "cut"), search=name, known=known), 3)
    if name == "cmaes":  # keeps its distribution in its own study's trials, so it starts a new one
        assert first == whole[:13]
        assert [drawn["trial"] for drawn in again] == [13, 14, 15]
    else:
        assert first + again == whole


def test_a_long_search_keeps_a_limited_number_of_trials(
    search: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "MOST_KNOWN", 12)
    known = {number: (float(number),) for number in range(40)}
    searcher = search(tmp_path, known=known)
    searcher.suggest("slow")  # drawn from a study that is replaced before the result comes
    for _ in range(30):
        suggested = searcher.suggest("x")
        assert isinstance(suggested, dict)
        searcher.on_trial_complete("x", result(9, float(suggested["trial"]), finished=True))
    known[0] = (-1.0,)
    searcher.on_trial_complete("slow", result(9, -1.0, finished=True))
    values = [trial.value for trial in searcher.study.study.trials]
    assert len(values) < 12
    assert values[-1] == -1.0
    assert values[0] == 1.0  # the best of the earlier trials


@given(
    kinds=st.lists(st.tuples(st.sampled_from(["finished", "stopped"]), st.integers(1, 9)), max_size=60),
    count=st.integers(4, 20),
)
def test_the_best_are_kept_and_an_even_sample_of_the_rest(kinds: list[tuple[str, int]], count: int) -> None:
    trials = []
    for number, (status, last) in enumerate(kinds):
        nlls = {epoch: float(number % 7) for epoch in range(1, last + 1)}
        values = (nlls[last],)
        space: Space = {"model.name": Choice(options=("cnn", "mlp"))}
        trial = frozen_trial({"model.name": "cnn"}, nlls, status, space, {}, values)
        trial.number = number
        trials.append(trial)
    kept = worth_knowing(trials, count)
    assert len(kept) <= count
    numbers = [trial.number for trial in kept]
    assert numbers == sorted(set(numbers))
    complete = sorted(float(number % 7) for number, (status, _) in enumerate(kinds) if status == "finished")
    best = sorted(trial.value for trial in kept if trial.state == STATES.COMPLETE and trial.value is not None)
    assert best[: min(count // 4, len(complete))] == complete[: count // 4]


def test_another_seed_draws_other_recipes(search: Make, tmp_path: Path) -> None:
    one, two = (search(tmp_path, seed=seed, first=()) for seed in (1, 2))
    assert [one.suggest(str(i))["point"] for i in range(3)] != [two.suggest(str(i))["point"] for i in range(3)]  # type: ignore[index]


def test_a_point_that_is_drawn_twice_is_another_seed_of_the_same_recipe(search: Make, tmp_path: Path) -> None:
    space: Space = {"model.name": Choice(options=("cnn", "mlp"))}
    searcher = search(tmp_path, space=space, first=(), search="random")
    drawn = [Assignment.from_dict(searcher.suggest(str(i))) for i in range(8)]  # type: ignore[arg-type]
    assert len({assignment.recipe.recipe_id for assignment in drawn}) == 2
    assert len({assignment.recipe for assignment in drawn}) == 8


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (result(9, 0.5, finished=True), STATES.COMPLETE),
        (result(3, 0.5), STATES.PRUNED),
        (result(9, math.nan, finished=True), STATES.FAIL),
        (result(9, math.inf, finished=True), STATES.FAIL),
        (result(3, 0.5, failed=True), STATES.FAIL),
        (None, STATES.FAIL),
    ],
)
def test_study_is_told_how_a_trial_really_ended(
    ending: dict[str, Any] | None, state: optuna.trial.TrialState, search: Make, tmp_path: Path
) -> None:
    searcher = search(tmp_path, known={0: (0.5,)})
    searcher.suggest("a")
    searcher.on_trial_result("a", result(1, 0.7))
    searcher.on_trial_result("a", result(1, 0.7))  # trained again after its process was lost
    searcher.on_trial_result("a", result(2, math.nan))
    searcher.on_trial_complete("a", ending, error=ending is None)
    (trial,) = searcher.study.study.trials
    assert trial.state == state
    assert trial.intermediate_values == {1: 0.7} | ({3: 0.5} if state == STATES.PRUNED else {})
    assert trial.user_attrs["recipe_id"] == DEFAULT.recipe_id
    assert trial.user_attrs["trial"] == 0


def test_a_recipe_outside_the_space_is_trained_but_kept_from_the_study(search: Make, tmp_path: Path) -> None:
    outside = Assignment(trial=0, recipe=Recipe().with_overrides({"model.name": "improved-net"}), label="improved-net")
    searcher = search(tmp_path, first=(outside,))
    assert searcher.suggest("a") == outside.to_dict()
    searcher.on_trial_result("a", result(1, 0.1))
    searcher.on_trial_complete("a", result(9, 0.1, finished=True))
    assert searcher.study.study.trials == []
    assert searcher.suggest("b")["trial"] == 1  # type: ignore[index]


def test_interrupted_trials_come_first_and_then_new_ones_until_there_are_enough(search: Make, tmp_path: Path) -> None:
    point = {"optimizer.learning_rate": 0.01}
    space: Space = {"optimizer.learning_rate": Float(low=0.001, high=0.1)}
    history = History(sessions=[(0.0, 1.0)])
    for number, status in enumerate(["finished", None, "failed"]):
        assignment = Assignment(trial=number, recipe=DEFAULT.with_overrides(point), point=point)
        history.trials[number] = TrialHistory(assignment=assignment, nlls={1: 0.9, 2: 0.4}, status=status)
    with Journal(tmp_path) as journal:
        journal.session(1, 0.0)
    searcher = search(tmp_path, history, space=space, first=(), known={0: (0.4,)})
    assert [trial.state for trial in searcher.study.study.trials] == [STATES.COMPLETE, STATES.FAIL]
    assert searcher.study.study.best_value == 0.4
    assert searcher.suggest("a")["trial"] == 1  # type: ignore[index]
    assert searcher.study.study.trials[2].intermediate_values == {1: 0.9, 2: 0.4}
    numbers = []
    while isinstance(suggested := searcher.suggest(str(len(numbers))), dict):
        numbers.append(suggested["trial"])
    assert numbers == list(range(3, 40))
    assert suggested == "FINISHED"


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"cmaes"}))
def test_several_objectives_are_searched_together_and_resumed(name: str, search: Make, tmp_path: Path) -> None:
    known: dict[int, tuple[float, ...]] = {}

    def go_on(searcher: StudySearch, count: int) -> list[dict[str, Any]]:
        drawn = []
        for _ in range(count):
            suggested = searcher.suggest("x")
            assert isinstance(suggested, dict)
            value, trial = value_of(suggested), suggested["trial"]
            known[trial] = (value, Recipe.from_dict(suggested["recipe"]).model.width)
            searcher.on_trial_result("x", result(1, value))
            searcher.journal.epoch(trial, 9, value)
            searcher.journal.over(trial, "finished")
            searcher.on_trial_complete("x", result(9, value, finished=True))
            drawn.append(suggested)
        return drawn

    asked = {"search": name, "known": known, "objectives": ("nll", "params")}
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = search(tmp_path / "whole", **asked)
    drawn = go_on(whole, 14)
    assert [tuple(trial.values) for trial in whole.study.study.trials] == list(known.values())
    assert {trial.number for trial in whole.study.study.best_trials} <= set(range(14))
    cut = go_on(search(tmp_path / "cut", **asked), 11)
    cut += go_on(search(tmp_path / "cut", read_journal(tmp_path / "cut"), **asked), 3)
    assert cut == drawn


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_no_search_logs_anything(name: str, search: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = {number: (float(number),) for number in range(40)}
    searcher = search(tmp_path, search=name, known=known)
    optuna.logging.enable_propagation()
    try:
        for number in range(14):
            searcher.suggest("x")
            searcher.on_trial_complete("x", result(9, float(number), finished=True))
    finally:
        optuna.logging.disable_propagation()
    assert caplog.messages == []


def test_given_recipes_are_handed_out_in_order() -> None:
    given = [Assignment(trial=trial, recipe=DEFAULT) for trial in range(2)]
    searcher = HandOut(given)
    assert [searcher.suggest("a"), searcher.suggest("b")] == [assignment.to_dict() for assignment in given]
    assert searcher.suggest("c") == "FINISHED"
