"""`digits judge` and `digits datasets split`, from the command line."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_core.data.digits import Digits
from digits_core.inference.ensembling import build_ensemble
from digits_core.judging.leaderboard import leaderboard
from digits_core.metrics import confusion_matrix
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from tests.helpers.command_line import run
from tests.helpers.models import answers
from tests.helpers.pages import Page
from tests.helpers.runs import HOSTILE, reread


@pytest.fixture
def runs(sweep_store: Run) -> Path:
    return sweep_store.folder.parent


@pytest.fixture
def theirs(tmp_path: Path, sweep_store: Run) -> Path:
    """Seven mistakes on the validation set, in another order, with indices."""
    labels = sweep_store.validation_labels
    order = np.random.default_rng(0).permutation(len(labels))
    path = tmp_path / "theirs.npz"
    said = answers(labels, list(range(7)), 0.95)
    np.savez(path, probabilities=said[order], indices=sweep_store.validation_indices[order])
    return path


def judge(*words: object) -> Any:
    code, out, err = run("judge", *map(str, words), "--json")
    assert (code, err) == (0, ""), err
    return json.loads(out)


def test_a_model_is_ranked_among_the_run_s(theirs: Path, runs: Path, sweep_store: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    document = judge(theirs, "--against", "tiny", "--runs", runs, "--output", page)
    assert (document["against"], document["part"], document["n"]) == ("tiny", "validation", 360)
    by_name = {row["name"]: row for row in document["rows"]}
    board = leaderboard(sweep_store)
    assert set(by_name) == {"theirs", "greedy ensemble", *(f"tiny/{row.candidate.trial}" for row in board.rows)}
    own = by_name["theirs"]
    assert own["answers"]["error_counts"] == [7]
    assert {one["label"] for one in own["mistakes"]} == set(sweep_store.validation_labels[:7].tolist())
    assert {one["index"] for one in own["mistakes"]} == set(sweep_store.validation_indices[:7].tolist())
    said = answers(sweep_store.validation_labels, list(range(7)), 0.95).argmax(axis=1)
    assert own["confusion"] == confusion_matrix(sweep_store.validation_labels, said).tolist()
    for row in board.rows:
        figures = by_name[f"tiny/{row.candidate.trial}"]["answers"]
        assert figures["nll"] == row.candidate.validation.mean_nll
    assert document["run_selection_corrected"]["picked_from"] == len(board.rows)
    assert document["test_openings"] == 0
    text = Page(page.read_text()).text
    assert "theirs" in text
    assert "7 of 360 wrong" in text or "7 of 360" in text
    assert page.read_text().count("data:image/png") >= 7


def test_lines_and_document_agree(theirs: Path, runs: Path) -> None:
    document = judge(theirs, "--against", "tiny", "--runs", runs)
    code, out, err = run("judge", str(theirs), "--against", "tiny", "--runs", str(runs))
    assert (code, err) == (0, "")
    for row in document["rows"]:
        assert f"{row['rank']}. {row['name']}" in out
    assert out.splitlines()[-1].startswith("next")
    assert "--output judged.html" in out.splitlines()[-1]


def test_a_data_set_or_labels_are_enough(theirs: Path, runs: Path, sweep_store: Run, tmp_path: Path) -> None:
    labels = tmp_path / "labels.npz"
    np.savez(labels, labels=sweep_store.validation_labels, indices=sweep_store.validation_indices)
    own = tmp_path / "own.npz"
    stored = np.load(theirs)
    with_labels = dict(
        zip(sweep_store.validation_indices.tolist(), sweep_store.validation_labels.tolist(), strict=True)
    )
    np.savez(own, **stored, labels=[with_labels[index] for index in stored["indices"].tolist()])
    for words in ((theirs, "--dataset", "sklearn-digits"), (theirs, "--labels", labels), (own,)):
        document = judge(*words)
        assert [row["answers"]["error_counts"] for row in document["rows"]] == [[7]]
        assert (document["against"], document["test_openings"]) == (None, None)


def test_test_predictions_are_scored_by_the_one_opener_and_counted(
    runs: Path, sweep_store: Run, digits: Digits, tmp_path: Path
) -> None:
    test = digits.parts[2]
    said = answers(digits.labels[test].astype(int), [3, 4], 0.9)
    path = tmp_path / "mine.npz"
    np.savez(path, predictions=said.argmax(axis=1), indices=test)
    code, out, err = run("judge", str(path), "--against", "tiny", "--runs", str(runs), "--json")
    document = json.loads(out)
    assert code == 0
    assert err == "opened the sealed test set of tiny: 1 time so far\n"
    assert (document["part"], document["n"], document["test_openings"]) == ("sealed test", 359, 1)
    assert [(row["name"], row["answers"]["error_counts"]) for row in document["rows"]] == [("mine", [2])]
    assert [(one.purpose, one.trials) for one in reread(sweep_store).ledger] == [("judging 1 model made elsewhere", ())]


@pytest.mark.parametrize(
    ("arrays", "times", "said"),
    [
        ({"predictions": np.zeros(358, int)}, 1, "has 358 predictions, but the test set of tiny has 359 images"),
        ({"predictions": np.zeros(359, int)}, 2, "both hold mine"),
        ({"predictions": np.zeros(359, int), "labels": np.zeros(359, int)}, 1, "hand in the predictions without them"),
    ],
)
def test_what_does_not_fit_opens_nothing(
    arrays: dict[str, np.ndarray], times: int, said: str, runs: Path, sweep_store: Run, digits: Digits, tmp_path: Path
) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, indices=digits.parts[2][: len(arrays["predictions"])], **arrays)  # type: ignore[arg-type]
    code, out, err = run("judge", *[str(path)] * times, "--against", "tiny", "--runs", str(runs), "--json")
    assert (code, out) == (2, "")
    assert said in err
    assert reread(sweep_store).ledger == ()
    assert not (sweep_store.folder / "test_labels.npy").exists()


def test_what_cannot_be_read_opens_nothing(runs: Path, sweep_store: Run, digits: Digits, tmp_path: Path) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=2))
    (damaged,) = sweep_store.folder.glob("ensemble_test-*.npy")
    damaged.write_bytes(b"")
    path = tmp_path / "mine.npz"
    np.savez(path, predictions=np.zeros(359, int), indices=digits.parts[2])
    code, _, err = run("judge", str(path), "--against", "tiny", "--runs", str(runs))
    assert (code, damaged.name in err) == (1, True)
    assert len(reread(sweep_store).ledger) == 1


def test_a_page_that_cannot_be_written_costs_no_result(theirs: Path, runs: Path) -> None:
    code, out, err = run("judge", str(theirs), "--against", "tiny", "--runs", str(runs), "--output", "/proc/x.html")
    assert code == 1
    assert "theirs" in out
    assert err.startswith("error: cannot write /proc/x.html")


def test_the_next_command_works(theirs: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("--dataset", "sklearn-digits"), ("--against", "tiny", "--top", "2", "--runs", str(runs))):
        _, out, _ = run("judge", str(theirs), *words)
        command = out.splitlines()[-1].removeprefix("next").strip()
        code, _, err = run(*shlex.split(command)[1:])
        assert (code, err) == (0, "")
        assert (tmp_path / "judged.html").exists()
        assert [word in command for word in words] == [True] * len(words)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"probabilities": np.full((12, 10), 0.1)}, "12 predictions, but the validation set of tiny has 360 images"),
        (
            {"predictions": np.zeros(360, int), "indices": np.arange(360) + 5_000},
            "images that are not in the validat",
        ),
        ({"predictions": np.zeros(360, int), "labels": np.ones(360, int)}, "has other labels than the validation set"),
        ({"probabilities": np.random.default_rng(0).normal(size=(360, 10))}, "apply softmax first"),
        ({"probabilities": np.full((360, 10), np.nan)}, "NaN"),
        ({"probabilities": np.full((360, 11), 1 / 11)}, "ten columns"),
        ({"predictions": np.arange(360) % 10 + 1}, "subtract 1"),
        ({"predictions": np.array([{}] * 360)}, "pickled objects are never loaded"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arrays: dict[str, np.ndarray], said: str, runs: Path, tmp_path: Path
) -> None:
    path, page = tmp_path / "bad.npz", tmp_path / "page.html"
    np.savez(path, allow_pickle=True, **arrays)  # type: ignore[arg-type]
    before = sorted(one for one in tmp_path.rglob("*") if one.name != "driver.lock")
    code, out, err = run("judge", str(path), "--against", "tiny", "--runs", str(runs), "--output", str(page))
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(one for one in tmp_path.rglob("*") if one.name != "driver.lock") == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (",prediction\n0,3\n1,4\n", "index=False"),
        ("bild,vorhersage\n0,3\n1,4\n", "has no predictions, but the columns 'bild', 'vorhersage'"),
    ],
)
def test_bad_tables_too(text: str, said: str, runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    code, out, err = run("judge", str(path), "--against", "tiny", "--runs", str(runs))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_one_thing_says_what_is_right(theirs: Path, runs: Path) -> None:
    words = ("judge", str(theirs), "--against", "tiny", "--dataset", "mnist", "--runs", str(runs))
    code, _, err = run(*words)
    assert code == 2
    assert "give one of them" in err


def test_a_hostile_name_stays_text(runs: Path, sweep_store: Run, tmp_path: Path) -> None:
    path, page = tmp_path / "x.npz", tmp_path / "page.html"
    np.savez(path, predictions=sweep_store.validation_labels, model=HOSTILE)
    judge(path, "--against", "tiny", "--runs", runs, "--output", page)
    shown = Page(page.read_text())
    assert not any("onerror" in attributes for _, attributes in shown.tags)
    assert HOSTILE in shown.text


def test_a_split_is_handed_out_without_the_test_labels(tmp_path: Path, digits: Digits) -> None:
    path = tmp_path / "split.npz"
    code, out, err = run("datasets", "split", "sklearn-digits", "--output", str(path), "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    split = np.load(path)
    assert document["counts"] == {"train": 1078, "validation": 360, "test": 359}
    assert document["split_id"] == str(split["split_id"])
    assert not any("test" in name and "label" in name for name in split.files)
    assert np.array_equal(split["test_images"], digits.images[split["test_indices"]])
    code, _, err = run("datasets", "split", "sklearn-digits", "--output", str(tmp_path / "split.csv"))
    assert (code, err) == (2, f"error: --output must name an .npz file, got {str(tmp_path / 'split.csv')!r}\n")
