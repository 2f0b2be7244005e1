import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.errors import UsageError
from digits_core.records import Assignment
from digits_core.runs.journal import History, Journal, read_journal
from digits_core.runs.run import Run
from sweeps.plans.config import ResumeConfig
from sweeps.plans.planning import plan_resumption, plan_sweep
from sweeps.running.replay import replay
from sweeps.search.population import PopulationSearch, nudged
from sweeps.space.assignments import Drawn
from sweeps.space.generations import Generations
from sweeps.space.known_good import default_recipe
from sweeps.space.spaces import Choice, Float, Int, Space, is_active
from tests.helpers.executors import run_here
from tests.helpers.sweeps import Interrupter, config

SPACE: Space = {
    "schedule.name": Choice(options=("cosine", "constant")),
    "optimizer.learning_rate": Float(low=1e-4, high=1e-1, log=True),
    "augmentation.rotation_degrees": Float(low=0.0, high=20.0),
    "training.batch_size": Int(low=16, high=128),
}
DEFAULT = default_recipe("cpu", 8, 6)
GENERATIONS = Generations.of(13, 6)  # members 1-4, 5-8, 9-12


def population(history: History, journal: Journal, nlls: dict[int, float], dropped: list[int]) -> PopulationSearch:
    first = (Assignment(trial=0, recipe=DEFAULT),)
    drawn = Drawn(base=DEFAULT, space=SPACE, seed=7, search="tpe", scheduler="pbt", first=first)
    return PopulationSearch(
        drawn, GENERATIONS, history, journal, lambda t: (nlls[t],) if t in nlls else None, dropped.append
    )


def test_the_worst_quarter_goes_on_from_the_best_one(tmp_path: Path) -> None:
    nlls = {
        trial: float(trial) for trial in range(13) if trial != 6
    }  # 6 fails; 1 and 5 are the best of their generations
    dropped: list[int] = []
    with Journal(tmp_path) as journal:
        journal.session(1, 0.0)
        search = population(History(), journal, nlls, dropped)
        drawn: dict[int, Assignment] = {}
        while isinstance(suggested := search.suggest("x"), dict):
            assignment = Assignment.from_dict(suggested)
            drawn[assignment.trial] = assignment
            search.on_trial_complete("x")
        assert suggested == "FINISHED"
    assert list(drawn) == list(range(13))
    assert (drawn[0].parent, drawn[0].last_epoch, drawn[0].recipe) == (None, None, DEFAULT)
    assert [drawn[trial].parent for trial in range(1, 13)] == [None] * 4 + [1, 2, 3, 1] + [5, 5, 7, 5]
    assert [drawn[trial].last_epoch for trial in (1, 5, 9)] == [2, 4, 6]
    for trial in (5, 6, 7, 9, 11):
        parent = drawn[trial].parent
        assert parent is not None
        assert drawn[trial].point == drawn[parent].point
    assert drawn[8].point != drawn[1].point  # nudged
    assert drawn[10].point != drawn[5].point
    assert dropped[-8:] == [1, 2, 3, 4, 5, 6, 7, 8]

    again = read_journal(tmp_path)  # the state after the sixth trial
    for trial in range(6, 13):
        del again.trials[trial]
    for trial in range(6):
        again.trials[trial].status = "finished"
    (tmp_path / "again").mkdir()
    with Journal(tmp_path / "again") as journal:
        journal.session(1, 0.0)
        search = population(again, journal, nlls, [])
        suggested = search.suggest("y")
        assert isinstance(suggested, dict)
        assert Assignment.from_dict(suggested) == drawn[6]


def test_a_member_waits_for_its_previous_trial(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.session(1, 0.0)
        search = population(History(), journal, dict.fromkeys(range(13), 1.0), [])
        for trial in range(5):
            assert isinstance(search.suggest(str(trial)), dict)
        for trial in (2, 3, 4):
            search.on_trial_complete(str(trial))
        assert search.suggest("5") is None
        search.on_trial_complete("1")
        suggested: Any = search.suggest("5")
        assert suggested["trial"] == 5


@given(st.integers(0, 2**32), st.integers(0, 3))
def test_a_nudged_point_is_near_its_parent_and_inside_the_space(seed: int, corner: int) -> None:
    stream = random.Random(seed)
    point = {
        "schedule.name": "cosine",
        "optimizer.learning_rate": (1e-4, 1e-1)[corner % 2],
        "augmentation.rotation_degrees": (0.0, 20.0)[corner // 2],
        "training.batch_size": (16, 128)[corner % 2],
    }
    found = nudged(point, SPACE, stream)
    for name, parameter in SPACE.items():
        assert is_active(parameter, found)
        value = found[name]
        if isinstance(parameter, Choice):
            assert value in parameter.options
        else:
            assert isinstance(value, (int, float))
            assert parameter.low <= value <= parameter.high
    assert round(float(found["optimizer.learning_rate"]), 9) in (1e-4, 1.25e-4, 0.08, 0.1)
    assert found["augmentation.rotation_degrees"] in (0.0, 2.0, 18.0, 20.0)
    assert isinstance(found["training.batch_size"], int)


def test_a_resumed_population_continues_as_it_would_have(tmp_path: Path) -> None:
    asked = config(tmp_path / "whole", trials=9, max_epochs=4, scheduler="pbt", concurrency=1)
    whole = run_here(plan_sweep(asked))
    cut = run_here(plan_sweep(replace(asked, runs=tmp_path / "cut")), Interrupter(9))
    summary = cut.summary
    assert summary.interrupted
    assert len(cut.records) < 9
    cut = run_here(plan_resumption(ResumeConfig(runs=tmp_path / "cut", name="test")))
    records = whole.records
    assert [record.status for record in records] == ["finished"] * 9
    for record, other in zip(records, cut.records, strict=True):
        assert (record.recipe, record.parent, record.inherited_epochs) == (
            other.recipe,
            other.parent,
            other.inherited_epochs,
        )
        assert [row.validation_nll for row in record.curve] == [row.validation_nll for row in other.curve]
        ours, theirs = whole.validation_probabilities(record.trial), cut.validation_probabilities(record.trial)
        assert np.array_equal(ours, theirs)
    check_lineage(whole)
    with pytest.raises(UsageError, match="continued from the weights of trial"):
        replay(whole, records[8], lambda row: None)
    with pytest.raises(UsageError, match="is a population of 9 trials, which cannot be extended; leave out --trials"):
        plan_resumption(ResumeConfig(runs=tmp_path / "whole", name="test", trials=20))


def check_lineage(run: Run) -> None:
    """The curve of a child begins with its parent's; its best epoch is its own; no state is left at the end."""
    records = {record.trial: record for record in run.records}
    for trial in range(5, 9):
        record = records[trial]
        assert record.parent in range(1, 5)
        parent = records[record.parent]
        assert (len(parent.curve), record.inherited_epochs, len(record.curve)) == (2, 2, 4)
        assert record.curve[:2] == parent.curve
        assert record.best_epoch in (3, 4)
        assert record.train_seconds == sum(row.seconds for row in record.curve[2:])
        assert record.parameter_count == parent.parameter_count
    assert not list(run.folder.glob("trials/*/state.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 8}, "at least 9 trials"),
        ({"search": "gp"}, "--scheduler pbt makes its own choices: leave out --search"),
        (
            {"start_from": ("improved-net",)},
            "improved-net is outside the population's search space, which has one network",
        ),
        ({"objectives": ("nll", "params")}, "--scheduler pbt compares only validation NLL"),
    ],
)
def test_what_cannot_be_a_population_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_sweep(config(tmp_path, **{"scheduler": "pbt", "trials": 20, **changes}))
