from pathlib import Path

import optuna

from digits_cli.printed.sweep import SweepOutcome, sweep_document
from digits_core.judging.objectives import pareto_front
from reports.pages.report import write_report
from reports.rows.tables import Front, collect
from sweeps.plans.config import ResumeConfig
from sweeps.plans.planning import plan_resumption, plan_sweep
from sweeps.search.study_copy import make_storage
from tests.helpers.executors import run_here
from tests.helpers.sweeps import config


def test_several_objectives_end_in_a_front_that_the_study_and_the_page_agree_on(tmp_path: Path) -> None:
    asked = config(tmp_path, trials=8, max_epochs=1, objectives=("nll", "params"), keep=1)
    run = run_here(plan_sweep(asked))
    summary = run.summary
    assert not summary.interrupted
    records = run.records
    assert {record.status for record in records} == {"finished"}  # no scheduler stops them early
    front = [record.trial for record in pareto_front(records, ("nll", "params"))]
    assert {record.trial for record in records if run.trial(record.trial).has_weights} == set(front)
    document = sweep_document(SweepOutcome(run=run, report=None))
    assert document["front"]["objectives"] == ["nll", "params"]
    assert [row["trial"] for row in document["front"]["trials"]] == front
    assert document["best"]["trial"] == front[0]
    storage = make_storage(f"sqlite:///{run.folder / 'study.db'}")
    study = optuna.load_study(study_name="test", storage=storage)
    assert {trial.user_attrs["trial"] for trial in study.best_trials} == set(front)
    storage.engine.dispose()
    assert collect(run).front == Front(objectives=("nll", "params"), trials=tuple(front))
    page = write_report(run).read_text()
    assert "Pareto front of nll and params" in page
    assert 'data-figure="figure-objectives"' in page

    more = plan_resumption(ResumeConfig(runs=tmp_path, name="test", trials=10))
    run = run_here(more)
    assert len(run.records) == 10
