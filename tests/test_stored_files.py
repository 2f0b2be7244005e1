"""Stored files of the wrong kind: whatever reads a run ends in one line, or reads it."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from digits_core.delivery.transfer import transfer
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.classifier import open_classifier
from digits_core.inference.ensembling import build_ensemble
from digits_core.judging.leaderboard import leaderboard
from digits_core.judging.leaderboard_document import leaderboard_document
from digits_core.recipe import Recipe
from digits_core.records import Assignment, SearchPlan
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.journal import Journal
from digits_core.runs.run import Run
from digits_core.runs.transfer_records import write_transfer
from digits_core.runs.writer import RunWriter
from reports.rows.document import report_document
from reports.rows.tables import collect
from sweeps.plans.config import ResumeConfig
from sweeps.plans.planning import plan_resumption
from tests.helpers.command_line import run
from tests.helpers.runs import reread

VALUES: list[Any] = [None, True, -1, 0, 1.5, 2**70, -1e308, "", "x", "7", [], [[]], {}, {"x": 1}, [None], "\x1b[2J" * 9]
JSON_FILES = (
    "sweep.json", "summary.json", "ensemble.json", "transfer.json", "journal.jsonl", "ledger.jsonl",
    "trials/00000/record.json", "trials/00001/record.json",
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a JSON document, the document itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in inner for place in places(one, (*at, key)))]


def mutate(document: Any, chance: random.Random) -> Any:
    """The document with one value exchanged, left out or given twice."""
    *way, last = chance.choice(places(document)) or (None,)
    if last is None:
        return chance.choice(VALUES)
    holder = document
    for key in way:
        holder = holder[key]
    what = chance.randrange(8)
    if what == 0:
        del holder[last]
    elif what == 1 and isinstance(holder, list):
        holder.append(holder[last])
    else:
        holder[last] = chance.choice(VALUES)
    return document


def spoil_a_value(path: Path, chance: random.Random) -> None:
    lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
    number = chance.randrange(len(lines))
    lines[number] = json.dumps(mutate(json.loads(lines[number]), chance))
    path.write_text("\n".join(lines) + "\n")


def in_one_line(*words: str) -> None:
    code, out, err = run(*words)
    assert "\x1b" not in out + err
    assert (code, err) == (0, "") or (code in (1, 2) and err.startswith("error: ") and err.count("\n") == 1)


def uses(store: Run) -> dict[str, Callable[[], object]]:
    """What commands do with a run."""
    return {
        "report": lambda: json.dumps(report_document(collect(reread(store))), allow_nan=False),
        "leaderboard": lambda: leaderboard_document(reread(store), leaderboard(reread(store), draws=20)),
        "show": lambda: in_one_line("show", "tiny", "--runs", str(store.folder.parent)),
        "show a trial": lambda: in_one_line("show", "tiny/1", "--runs", str(store.folder.parent)),
        "ls": lambda: in_one_line("ls", "--json", "--runs", str(store.folder.parent)),
        "predict": lambda: open_classifier(store.folder.parent, "tiny/ensemble"),
        "resume": lambda: plan_resumption(ResumeConfig(name="tiny", runs=store.folder.parent)),
    }


@pytest.fixture
def whole_store(sweep_store: Run) -> Run:
    """A run with every kind of stored file."""
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    models = [open_classifier(sweep_store.folder.parent, "tiny/0")]
    tested = transfer(models, ["sklearn-digits"], corruptions=False, say=lambda line: None)
    write_transfer(sweep_store.folder, tested)
    first = Assignment(trial=0, recipe=Recipe(), label="baseline", point={"model.width": 16})
    space = {"model.width": {"choices": [8, 16]}, "optimizer.learning_rate": {"low": 1e-4, "high": 0.1, "log": True}}
    plan = SearchPlan(search="tpe", scheduler="asha", space=space, base=Recipe(), first=(first,))
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, plan=plan, trial_count=9))
    with Journal(sweep_store.folder) as journal:
        journal.session(1, 0.0)
        for record in sweep_store.records:
            journal.drawn(Assignment(trial=record.trial, recipe=record.recipe, point={"model.width": 8}))
            journal.epoch(record.trial, 1, 0.5)
            journal.over(record.trial, record.status)
    (sweep_store.folder / "summary.json").write_text('{"seconds": 3, "training_share": 0.5, "interrupted": false}')
    return reread(sweep_store)


@pytest.mark.parametrize("count", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_any_value_may_be_wrong(whole_store: Run, count: int) -> None:
    originals = {name: (whole_store.folder / name).read_bytes() for name in JSON_FILES}
    for use in uses(whole_store).values():
        use()
    said: list[str] = []
    for seed in range(count):
        chance = random.Random(seed)
        name = chance.choice(JSON_FILES)
        spoil_a_value(whole_store.folder / name, chance)
        for what, use in uses(whole_store).items():
            try:
                use()
            except (EnvironmentFailure, UsageError) as error:
                said.append(str(error))
            except Exception as error:
                raise AssertionError(f"seed {seed}: {what} with {name}") from error
        (whole_store.folder / name).write_bytes(originals[name])
    assert len(said) > count  # most are noticed, by several uses each
    assert not any("\n" in one for one in said)
