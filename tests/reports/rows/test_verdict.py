from dataclasses import replace

import pytest

from digits_core.inference.ensembling import build_ensemble
from digits_core.judging.leaderboard import leaderboard
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from reports.pages.report import render
from reports.rows.tables import ReportData, collect
from reports.rows.verdict import _model_text, sweep_headline
from tests.helpers.pages import Page


def headline(data: ReportData) -> str:
    return sweep_headline(data.board, data.answered, data.ensemble, data.ensemble_p_value)


def test_it_says_who_leads_and_what_the_ensemble_gains(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    data = collect(sweep_store)
    leader, ensemble = (view.result.score for view in data.answered.featured)
    said = headline(data)
    trial = sweep_store.ranked[0].trial
    named = f"Trial {trial} ({_model_text(sweep_store.ranked[0])})"
    assert said.startswith(
        f"{named} leads with {100 * leader.accuracy:.2f}\u202f% accuracy ({leader.error_count} wrong)"
    )
    assert "on 359 sealed test images." in said
    assert f"The ensemble gets {ensemble.error_count} of 359 wrong" in said
    assert " ".join(said.split()) in " ".join(Page(render(data)).text.split())


@pytest.mark.parametrize(
    ("p_values", "said"),
    [
        ((0.5, 0.2, 0.01), "But it is statistically tied with 2 of the 3 others."),
        ((0.5, 0.2), "But none of the 2 others is significantly different."),
        ((0.5,), "But it is statistically tied with the other trial."),
        ((0.01,), "It differs significantly in error rate from the other trial."),
        ((0.01, 0.02, 0.03), "It differs significantly in error rate from all 3 others."),
    ],
)
def test_ties_are_counted(sweep_store: Run, p_values: tuple[float, ...], said: str) -> None:
    data = collect(sweep_store)
    others = []
    for row, p_value in zip(data.board.rows[1:], p_values, strict=False):
        assert row.to_leader is not None
        others.append(replace(row, to_leader=replace(row.to_leader, corrected_p_value=p_value)))
    board = replace(data.board, rows=(data.board.rows[0], *others))
    assert headline(replace(data, board=board)).endswith(said)


def test_a_single_trial_has_nothing_to_compare_with(sweep_store: Run) -> None:
    for trial in (1, 2, 3):
        (sweep_store.trial(trial).folder / "record.json").unlink()
    assert len(leaderboard(sweep_store).rows) == 1
    assert headline(collect(sweep_store)).endswith(
        "No other trial was validated, so there is nothing to compare it with."
    )


@pytest.mark.parametrize(
    ("single", "p", "said"),
    [
        (9, 0.2, "4 fewer than its best member: the difference may be chance (McNemar p = 0.2)."),
        (9, 0.0001, "4 fewer than its best member: the difference is significant (McNemar p <0.001)."),
        (3, 0.5, "2 more than its best member: the difference may be chance (McNemar p = 0.5)."),
        (5, 1.0, "as many as its best member."),
        (9, None, "4 fewer than its best member."),
    ],
)
def test_a_gain_that_may_be_chance_is_called_so(sweep_store: Run, single: int, p: float | None, said: str) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    data = collect(sweep_store)
    assert data.ensemble is not None
    first, second = data.answered.featured
    figures = replace(second.result.score, error_count=5)
    answered = replace(data.answered, featured=(first, replace(second, result=replace(second.result, score=figures))))
    best = data.ensemble.contenders[0]
    contenders = (replace(best, test=replace(best.test, error_count=single)), *data.ensemble.contenders[1:])
    ensemble = replace(data.ensemble, contenders=contenders)
    assert sweep_headline(data.board, answered, ensemble, p).endswith(f"The ensemble gets 5 of 359 wrong, {said}")


def test_a_search_that_beat_nothing_says_so(sweep_store: Run) -> None:
    data = collect(sweep_store)
    leader = data.board.rows[0].candidate.trial
    assert "no sampled recipe beat it" in sweep_headline(data.board, data.answered, None, None, leader)
    assert "no sampled recipe" not in sweep_headline(data.board, data.answered, None, None, leader + 1)
