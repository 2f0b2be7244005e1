"""What bash, zsh and fish are told when somebody presses Tab, and `digits help`."""

import json
from pathlib import Path

import pytest

from cli import app
from digits_cli.explaining import TOPICS, text_of
from digits_core.recipe import Recipe
from digits_core.runs.run import Run
from tests.helpers.command_line import RUNNER, run


def completed(shell: str, line: str) -> list[str]:
    """The words that this shell is offered for the last word of a command line."""
    words = line.split(" ")
    environment = {
        "_DIGITS_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    out = RUNNER.invoke(app, [], env=environment, prog_name="digits").stdout
    if shell == "zsh":  # _arguments '*: :(("tiny":""\n"other":""))'
        return [each.split('"')[1] for each in out.splitlines() if '"' in each]
    return [each.split("\t")[0] for each in out.splitlines() if each]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_of_runs(sweep_store: Run, shell: str) -> None:
    place = f"--runs {sweep_store.folder.parent}"
    assert completed(shell, f"digits show {place} t") == ["tiny"]
    assert completed(shell, f"digits leaderboard {place} x") == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("digits train len", ["lenet", "lenet-bn-dropout"]),
        ("digits compare lenet kf", ["kfold-cnn"]),
        ("digits sweep --dataset opt", ["optdigits", "optdigits-pooled"]),
        ("digits datasets check fo", ["folder:"]),
        ("digits help sp", ["spaces", "space"]),
        ("digits lead", ["leaderboard"]),
    ],
)
def test_names_that_are_always_there(line: str, offered: list[str]) -> None:
    assert sorted(completed("bash", line)) == sorted(offered)


def test_models_are_runs_and_then_trials_with_weights(sweep_store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_RUNS", str(sweep_store.folder.parent))
    assert completed("bash", "digits export --model ") == ["ensemble", "tiny"]
    assert completed("bash", "digits export --model tiny/") == [f"tiny/{trial}" for trial in range(4)]  # 4 failed
    assert completed("bash", "digits export --model absent/") == []
    assert completed("bash", "digits show tiny/") == [f"tiny/{trial}" for trial in range(5)]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_hostile_name_of_a_folder_does_not_reach_the_shell(tmp_path: Path, shell: str) -> None:
    for name in ("x\\$(touch pwn)", "a'b", "ends\\", "two\nlines", "$(touch pwn)"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sweep.json").touch()
    assert completed(shell, f"digits show --runs {tmp_path} ") == []


def test_the_home_of_nobody_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_RUNS", "~nobody-at-all/runs")
    assert completed("bash", "digits show ") == []


def test_a_folder_that_is_not_there_offers_nothing(tmp_path: Path) -> None:
    assert completed("bash", f"digits show --runs {tmp_path / 'none'} ") == []


def test_help_knows_topics_and_commands() -> None:
    code, out, _ = run("help")
    assert code == 0
    assert all(topic in out for topic in TOPICS)
    assert "Search for the best recipe." in run("help", "sweep")[1]
    code, _, err = run("help", "spce")
    assert (code, err.strip()) == (2, "error: unknown topic or command 'spce'; did you mean 'space' or 'spaces'?")
    document = json.loads(run("help", "records", "--json")[1])
    assert document["topic"] == "records"


def test_topics_say_what_the_code_says() -> None:
    spaces, records = text_of("spaces"), text_of("records")
    for name, value in Recipe().as_overrides().items():
        assert f"    {name:<34} {value!r}" in spaces
    assert "    best_epoch                 whole number, or null" in records
    assert "/ledger.jsonl" in records
    for topic in TOPICS:
        assert max(map(len, text_of(topic).splitlines())) <= 130, topic
