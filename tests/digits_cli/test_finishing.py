"""`digits sweep --then`: a search, fresh seeds and an ensemble in one command."""

import json
from pathlib import Path

import pytest

from digits_core.runs.run import Run
from tests.helpers.command_line import run

SMALL = ("--trials", "4", "--max-epochs", "2", "--name", "small")


def sweep(folder: Path, *options: str) -> tuple[int, str, str]:
    return run("sweep", *SMALL, *options, "--runs", str(folder))


@pytest.mark.usefixtures("in_this_process")
def test_search_fresh_seeds_and_ensemble_in_one_command(tmp_path: Path) -> None:
    code, out, err = sweep(tmp_path, "--then", "confirm,ensemble", "--tta", "--json")
    assert code == 0, err
    document = json.loads(out)
    stored = Run(tmp_path / "small")
    confirmed = stored.confirmation()
    assert confirmed is not None
    assert (document["sweep"], sum(document["trials"].values()), document["interrupted"]) == ("small", 4, False)
    assert document["confirmation"]["runs"]["finished"] == len(confirmed.records) == 9  # three recipes, three seeds
    names = [record.recipe.model.name for record in confirmed.records]
    assert max(map(names.count, names)) <= 6  # at most two recipes of one architecture
    rows = document["confirmation"]["leaderboard"]["rows"]
    assert [row["confirmed"] for row in rows] == [True, True, True, False]
    assert document["best"]["trial"] == rows[0]["trial"]
    assert document["best"]["runs"] == 3
    ensemble = document["ensemble"]
    assert (ensemble["pool"], len(ensemble["members"])) == ("confirmed", 9)
    assert ensemble["ensemble"]["test_time_augmentation"]["poses"] == 5
    assert stored.ensemble is not None
    assert stored.ensemble.chosen.test.error_count == ensemble["ensemble"]["test"]["error_count"]
    # The leader of the search is not tested: nothing but the confirmed runs is reported.
    assert [(opening.run, len(opening.trials)) for opening in stored.ledger] == [("confirmed", 9), ("confirmed", 9)]
    assert document["report"] == str(tmp_path / "small" / "report.html")
    assert "confirming the best 3 recipes of small on 3 fresh seeds" in err


@pytest.mark.usefixtures("in_this_process")
def test_lines_of_all_parts_and_one_next_command(tmp_path: Path) -> None:
    code, out, err = sweep(tmp_path, "--then", "confirm,ensemble")
    assert code == 0, err
    lines = out.splitlines()
    titles = [line.strip() for line in lines if line.strip().isupper()]
    assert titles == ["SEARCH", "FRESH SEEDS", "ENSEMBLE"]
    assert [line.split()[0] for line in lines if line.startswith("leader")] == ["leader"]  # of the fresh seeds
    assert [line.split()[0] for line in lines if line.startswith(("report", "next"))] == ["report", "next"]
    assert lines[-1].split()[0] == "next"


@pytest.mark.usefixtures("in_this_process")
def test_an_ensemble_alone_combines_the_searchs_own_trials(tmp_path: Path) -> None:
    code, out, err = sweep(tmp_path, "--then", "ensemble", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["confirmation"] is None
    assert (document["ensemble"]["pool"], len(document["ensemble"]["members"])) == ("all", 4)
    assert document["best"]["test"]["n"] == 359


@pytest.mark.usefixtures("in_this_process")
def test_without_time_to_confirm_the_searchs_own_trials_are_combined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.plans.timing.START_SECONDS", 1e9)
    code, out, err = sweep(tmp_path, "--then", "confirm,ensemble", "--time-budget", "30s", "--json")
    assert code == 0, err
    assert "no time to confirm: a run takes about" in err
    document = json.loads(out)
    assert document["confirmation"] is None
    assert document["skipped"].startswith("no time to confirm: a run takes about")
    assert document["ensemble"]["pool"] == "all"


@pytest.mark.usefixtures("in_this_process")
def test_an_interrupted_confirmation_is_resumed_with_the_steps_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sweeps.running.runner as runner

    whole = runner._run_what_is_left

    def interrupted(plan: object, *arguments: object) -> object:
        if plan.header.kind == "confirmation":  # type: ignore[attr-defined]
            return runner.Outcome()  # as after Ctrl-C
        return whole(plan, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_run_what_is_left", interrupted)
        code, out, _ = sweep(tmp_path, "--then", "confirm,ensemble", "--tta")
    assert code == 130
    assert Run(tmp_path / "small").ledger == ()
    assert out.splitlines()[-1].endswith("resume small --then confirm,ensemble --tta --runs " + str(tmp_path))
    code, out, err = run("resume", "small", "--then", "confirm,ensemble", "--runs", str(tmp_path), "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["confirmation"]["runs"]["finished"] == 9
    assert document["ensemble"]["pool"] == "confirmed"


@pytest.mark.usefixtures("in_this_process")
def test_nothing_follows_what_is_no_sweep(tmp_path: Path) -> None:
    code, _, err = run(
        "compare", "lenet", "--dataset", "sklearn-digits", "--epochs", "1", "--seeds", "2", "--name", "versus",
        "--runs", str(tmp_path),
    )  # fmt: skip
    assert code == 0, err
    code, _, err = run("resume", "versus", "--then", "ensemble", "--runs", str(tmp_path))
    assert code == 2
    assert "'versus' is not a sweep, so nothing can follow its search: leave out --then" in err
