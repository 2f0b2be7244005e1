from dataclasses import replace
from pathlib import Path

import pytest

from digits_core.inference.ensembling import build_ensemble
from digits_core.judging.leaderboard import Leaderboard
from digits_core.recipe import Recipe
from digits_core.records import SearchPlan
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.stored import MOST_TRIALS
from reports.pages.report import render
from reports.rows.tables import ReportData, collect
from reports.rows.verdict import checks_of, sweep_verdict, title_of
from tests.helpers.pages import Page

BEST = "the member that is best on validation"


def verdict(data: ReportData) -> str:
    return sweep_verdict(data.board, data.answered, data.ensemble, data.ensemble_p_value)


def checks(data: ReportData) -> dict[str, str]:
    found = checks_of(data.header, data.folder, data.board, data.ensemble, data.ensemble_p_value)
    return {check.against: check.said for check in found}


def with_p_values(data: ReportData, p_values: tuple[float, ...], *, rate: float | None = None) -> Leaderboard:
    others = []
    for row, p_value in zip(data.board.rows[1:], p_values, strict=False):
        assert row.to_leader is not None
        difference = replace(row.to_leader, corrected_p_value=p_value)
        others.append(replace(row, to_leader=difference if rate is None else replace(difference, error_rate=rate)))
    return replace(data.board, rows=(data.board.rows[0], *others))


def test_it_says_who_leads_and_what_the_ensemble_gains(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    data = collect(sweep_store)
    leader, ensemble = (view.result.score for view in data.answered.featured)
    first = sweep_store.ranked[0]
    said = verdict(data)
    assert said.startswith(
        f"Trial {first.trial} (mlp, {first.parameter_count:,} parameters) leads on validation and gets"
        f" {100 * leader.accuracy:.1f}\u202f% of 359 sealed test images right ({leader.error_count} wrong)"
    )
    assert f"The ensemble of 3 gets {ensemble.error_count} wrong" in said
    assert said.count(". ") == 1  # two sentences
    assert " ".join(said.split()) in " ".join(Page(render(data)).text.split())


@pytest.mark.parametrize(
    ("p_values", "said"),
    [
        ((0.5, 0.2, 0.01), ", statistically tied with 2 of the 3 others."),
        ((0.5, 0.2), ", but both others are statistically tied with it."),
        ((0.5,), ", but the other is statistically tied with it."),
        ((0.01,), ", significantly ahead of the other."),
        ((0.01, 0.02, 0.03), ", significantly ahead of all 3 others."),
        ((), ", with nothing to compare it with."),
        ((0.01, 0.02), ", significantly ahead of both others."),
    ],
)
def test_ties_are_counted(sweep_store: Run, p_values: tuple[float, ...], said: str) -> None:
    data = collect(sweep_store)
    assert verdict(replace(data, board=with_p_values(data, p_values, rate=0.1))).endswith(said)


def test_a_leader_in_nll_that_makes_more_mistakes_than_another_is_not_called_ahead(sweep_store: Run) -> None:
    data = collect(sweep_store)
    data = replace(data, board=with_p_values(data, (0.01, 0.01, 0.01), rate=-0.05))
    assert verdict(data).endswith(", but 3 of the 3 others make significantly fewer mistakes.")
    assert checks(data)["Against the runner-up"].endswith("3 of the others make significantly fewer mistakes.")


@pytest.mark.parametrize(
    ("single", "p", "said"),
    [
        (
            9,
            0.2,
            "4 fewer than {BEST}: the difference may be chance (McNemar p\u00a0=\u00a00.2).",
        ),
        (
            9,
            0.0001,
            "4 fewer than {BEST}: the difference is significant (McNemar p\u00a0<0.001).",
        ),
        (
            3,
            0.5,
            "2 more than {BEST}: the difference may be chance (McNemar p\u00a0=\u00a00.5).",
        ),
        (5, 1.0, "as many as {BEST}."),
        (9, None, "4 fewer than {BEST}."),
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
    assert sweep_verdict(data.board, answered, ensemble, p).endswith(said.format(BEST=BEST))


def test_a_search_that_beat_nothing_says_so(sweep_store: Run) -> None:
    data = collect(sweep_store)
    plan = SearchPlan(search="tpe", scheduler="asha", space={}, base=Recipe(), first=())
    searched = replace(data, header=replace(data.header, plan=plan))
    leads = data.board.rows[0].candidate
    assert leads.trial != 0
    assert "no sampled recipe beat it" not in checks(searched)["Against luck"]
    renamed = replace(leads, trial=0)
    board = replace(data.board, rows=(replace(data.board.rows[0], candidate=renamed), *data.board.rows[1:]))
    assert checks(replace(searched, board=board))["Against luck"].endswith("no sampled recipe beat it.")
    assert "no sampled recipe" not in checks(replace(data, board=board))["Against luck"]


def test_a_leader_that_was_trained_for_longer_does_not_make_the_other_recipes_worse(sweep_store: Run) -> None:
    data = collect(sweep_store)
    leads = data.board.rows[0].candidate
    own = leads.runs[0]
    longer = replace(own, recipe=own.recipe.with_overrides({"training.epochs": 9}), curve=own.curve * 3)
    again = replace(leads, runs=(longer, longer), confirmed=True)
    board = replace(data.board, rows=(replace(data.board.rows[0], candidate=again), *data.board.rows[1:]))
    assert board.unequal == board.rows[1:]
    said = verdict(replace(data, board=board))
    assert "mean of 2 fresh seeds for 9 epochs, 3 in the search)" in said
    assert "But all 3 others trained for another number of epochs, so this does not say which recipe is better." in said
    found = checks(replace(data, board=board))
    assert found["Against luck"].startswith("Trained again for 9 epochs, 3 in the search: ")
    assert found["Against the runner-up"].endswith("It was trained for 3 epochs, the leader for 9.")
    assert data.board.unequal == ()
    assert "epochs" not in verdict(data)


def test_is_it_real_has_three_short_rows_each_with_what_would_answer_it(sweep_store: Run) -> None:
    data = collect(sweep_store)
    found = checks_of(data.header, data.folder, data.board, None, None)
    assert [check.against for check in found] == [
        "Against luck", "Against the runner-up", "Ensemble against its best member",
    ]  # fmt: skip
    luck, runner_up, ensemble = found
    assert data.board.selected is not None
    assert f"{100 * data.board.selected.accuracy:.1f}\u202f% corrected for being picked as the best of 4." in luck.said
    assert luck.said.startswith("Not checked yet: ")
    assert luck.advice == "To train it again on fresh seeds:"
    assert luck.command == f"digits confirm --sweep tiny --runs {sweep_store.folder.parent}"
    second = data.board.rows[1]
    assert second.to_leader is not None
    more = round(second.to_leader.error_rate * 360)
    sure = "A tie" if second.tied_with_leader else "Significant"
    assert runner_up.said.startswith(
        f"{sure}: trial {second.candidate.trial} gets {more} more wrong of 360 on validation (corrected p"
    )
    assert (runner_up.command, ensemble.said) == ("", "There is no ensemble yet.")
    assert ensemble.command.startswith("digits ensemble --top 5 --sweep tiny")


def test_an_ensemble_says_what_it_moved(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    data = collect(sweep_store)
    assert data.ensemble is not None
    assert data.ensemble.against_single is not None
    moved = data.ensemble.against_single
    said = checks(data)["Ensemble against its best member"]
    assert moved.p_value >= 0.05
    single = data.ensemble.name_of(next(iter(data.ensemble.best_single.weights)))
    rescued, broken = len(moved.rescued), len(moved.broken)
    assert said.startswith(f"May be chance: {rescued} right that {single} gets wrong, {broken} the other way round (p")


def test_the_title_is_for_people(sweep_store: Run) -> None:
    data = collect(sweep_store)
    assert title_of(data.header, data.board) == "5 trials on sklearn-digits"
    for kind, rows, said in (("comparison", 4, "4 recipes compared on"), ("training", 1, "mlp on")):
        board = replace(data.board, rows=data.board.rows[:rows])
        assert title_of(replace(data.header, kind=kind), board) == f"{said} sklearn-digits"
    timed = replace(data.header, trial_count=MOST_TRIALS)  # a time budget alone: what has run counts
    assert title_of(timed, data.board) == f"{len(data.board.rows)} trials on sklearn-digits"
    folded = replace(data.header, fold_count=4)
    assert title_of(folded, data.board) == "5 trials on sklearn-digits, 4 folds"
    assert Path(data.folder).name == "tiny"
