import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from digits_core.data.datasets import DATASETS, absolute
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.space.known_good import default_max_epochs
from tests.helpers.command_line import RUNNER, run


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("sweep", "--trials", "0"), 2, "--trials must be between 1 and 99,999, got 0"),
        (("sweep", "--dataset", "mnits"), 2, "did you mean 'mnist'"),
        (("sweep", "--name", "../x"), 2, "cannot be a run's name"),
        (("sweep", "--max-epochs", "0"), 2, "--max-epochs must be between 1 and 100,000, got 0"),
        (("sweep", "--trials", "5000000000"), 2, "--trials must be between 1 and 99,999, got 5,000,000,000"),
        (("sweep", "--max-epochs", "100001"), 2, "--max-epochs must be between 1 and 100,000"),
        (("sweep", "--seed", "4294967295"), 2, "--seed must be between 0 and 4294867296"),
        (("train", "lenett"), 2, "did you mean 'lenet'"),
        (("train", "lenet", "--set", "model.widht=3"), 2, "did you mean 'model.width'"),
        (("train", "lenet", "--set", "model.dropout"), 2, "is not an assignment"),
        (("train", "lenet", "--dataset", "mnits"), 2, "did you mean 'mnist'"),
        (("train", "lenet", "--device", "gpu"), 2, "unknown device 'gpu'"),
        (("train", "lenet", "--epochs", "0", "--dataset", "sklearn-digits"), 2, "training.epochs is 0"),
        (("train", "nguetsop-cnn", "--dataset", "sklearn-digits"), 2, "needs images of at least 16x16 pixels, not 8x8"),
        (("train", "lenet", "--name", "tiny", "--dataset", "sklearn-digits"), 2, "there is already a run 'tiny'"),
        (("train", "lenet", "--folds", "1"), 2, "--folds must be at least 2, or 0 for a single split"),
        (("train", "lenet", "--folds", "140", "--dataset", "sklearn-digits"), 2, "--folds 140 is too many"),
        (("compare",), 2, "name the recipes to compare"),
        (("compare", "lenet", "kfold-cnn"), 2, "choose one with --dataset"),
        (("compare", "lenet", "--seeds", "0"), 2, "--seeds must be between 1 and 1,000"),
        (("compare", "lenet", "--vary", "model.widht=3"), 2, "did you mean 'model.width'"),
        (("compare", "--published", "--epochs", "3"), 2, "--published trains recipes as published"),
        (("compare", "--published", "lenett"), 2, "did you mean 'lenet'"),
        (("train", "FILE.json"), 2, "there is no file"),
        (("datasets", "show", "mnits"), 2, "did you mean 'mnist'"),
        (("datasets", "show", "sklearn-digits", "--output", "FILE"), 2, "--output must name an .html file"),
        (("recipes", "kfold"), 2, "did you mean 'kfold-cnn'"),
        (("replay", "tny"), 2, "unknown run 'tny'; did you mean 'tiny'?"),
        (("replay", "tiny", "--trial", "9"), 2, "has no trial 9 with predictions"),
        (("report", "--runs", "FILE"), 2, "is not a folder"),
        (("report", "--output", "FILE"), 2, "--output must name an .html file"),
        (("ensemble", "--sweep", "tny"), 2, "unknown run 'tny'; did you mean 'tiny'?"),
        (("ensemble", "--top", "0"), 2, "--top must be between 1 and"),
        (("ensemble", "--method", "gready"), 2, "did you mean 'greedy'"),
        (("ensemble", "--pool", "confirmed"), 2, "run `digits confirm` first"),
        (("leaderboard", "tny"), 2, "unknown run 'tny'; did you mean 'tiny'?"),
        (("leaderboard", "--top", "0"), 2, "--top must be at least 1"),
        (("leaderboard", "--folds", "3"), 2, "run `digits confirm --folds 3 --sweep tiny` first"),
        (("confirm", "--seeds", "0"), 2, "--seeds must be between 1 and"),
        (("doubts", "--part", "test"), 2, "the sealed test set has not been opened"),
        (("report", "../tiny"), 2, "cannot be a run's name"),
        (("report", "tiny", "tny"), 2, "unknown run 'tny'; did you mean 'tiny'?"),
        (("report", "tiny", "other", "--follow"), 2, "--follow is for one run, got 2"),
        (("leaderboard", "FILE.html"), 2, "there is no file"),
        (("leaderboard", "tiny.html", "--folds", "3"), 2, "--folds needs a run, not a report page"),
        (("sweep", "--runs", "FILE"), 1, "choose another --runs"),
        (("report", "--output", "FILE/report.html"), 1, "write it elsewhere with"),
    ],
)
def test_bad_input_is_one_clear_line(
    sweep_store: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "file").write_text("")
    words = [word.replace("FILE", str(tmp_path / "file")) for word in arguments]
    if "--runs" not in words and words[0] != "recipes":
        words += ["--runs", str(sweep_store.folder.parent)]
    exit_code, out, err = run(*words)
    assert (exit_code, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_damaged_sweep_is_one_clear_line(sweep_store: Run) -> None:
    leader = sweep_store.ranked[0].trial
    (sweep_store.trial(leader).folder / "weights.safetensors").write_bytes(b"not weights")
    code, out, err = run("ensemble", "--runs", str(sweep_store.folder.parent))
    assert (code, out) == (1, "")
    assert f"move the folder {sweep_store.trial(leader).folder} elsewhere to continue without that trial" in err


def test_no_sweep_yet(tmp_path: Path) -> None:
    code, _, err = run("report", "--runs", str(tmp_path))
    assert code == 2
    assert "start one with: digits sweep --trials 100" in err


def test_ensemble_document(sweep_store: Run) -> None:
    code, out, err = run("ensemble", "--top", "9", "--json", "--runs", str(sweep_store.folder.parent))
    document = json.loads(out)
    assert code == 0
    assert document["sweep"] == "tiny"
    assert Path(document["report"]).is_file()
    assert document["ensemble"]["method"] in ("uniform", "greedy")
    assert sum(member["weight"] for member in document["ensemble"]["members"]) == pytest.approx(1)
    for part in ("ensemble", "best_single"):
        for figures, n in ((document[part]["validation"], 360), (document[part]["test"], 359)):
            assert figures["n"] == n
            assert figures["accuracy"] == pytest.approx(1 - figures["error_count"] / n)
            low, high = figures["accuracy_interval"]
            assert low < figures["accuracy"] < high
    assert document["best_single"]["trial"] == sweep_store.ranked[0].trial
    assert document["test_openings"] == 1
    assert err == "asked for 9 trials to combine, found 4 (the sweep has no others that count)\n"


def test_an_ensemble_says_why_it_is_smaller_than_asked(sweep_store: Run) -> None:
    def said(*options: str) -> str:
        code, _, err = run("ensemble", *options, "--json", "--runs", str(sweep_store.folder.parent))
        assert code == 0
        return err.strip()

    assert said("--top", "4") == ""
    names = {record.recipe.model.name for record in sweep_store.ranked}
    assert len(names) < 4
    alike = f"asked for 4 trials to combine, found {len(names)} (--per-architecture 1 leaves out the others)"
    assert said("--top", "4", "--per-architecture", "1") == alike
    last = sweep_store.trial(sweep_store.ranked[-1].trial).folder
    for kept in (*last.glob("weights*"), *last.glob("test*.npy")):
        kept.unlink()
    gone = "asked for 4 trials to combine, found 3 (a sweep keeps the weights of its best trials only: --keep)"
    assert said("--top", "4") == gone


def test_report_command_writes_where_it_says(sweep_store: Run, tmp_path: Path) -> None:
    target = tmp_path / "out.html"
    code, out, _ = run("report", "--runs", str(sweep_store.folder.parent), "--output", str(target))
    assert code == 0
    assert out.splitlines()[0].split() == ["report", str(target)]
    assert out.splitlines()[-1].startswith("next")
    assert target.stat().st_size > 1_000_000
    code, out, _ = run("report", "--json", "--runs", str(sweep_store.folder.parent))
    assert json.loads(out)["report"] == str(sweep_store.folder / "report.html")
    code, out, err = run("report", "tiny", "tiny", "--inside", "--runs", str(sweep_store.folder.parent))
    assert (code, err) == (0, "")
    assert 'id="inside"' in (sweep_store.folder / "report.html").read_text()


def test_leaderboard_reads_a_report_page_back(sweep_store: Run, tmp_path: Path) -> None:
    runs = ("--runs", str(sweep_store.folder.parent))
    target = str(tmp_path / "out.html")
    assert run("report", "tiny", "--output", target, "--plotly", "directory", *runs)[0] == 0
    assert (tmp_path / "plotly.min.js").is_file()
    assert run("leaderboard", target, "--json")[1] == run("leaderboard", "tiny", "--json", *runs)[1]
    ours, theirs = (run("leaderboard", *words)[1].splitlines() for words in (("tiny", *runs), (target,)))
    assert theirs[:-1] == ours[:-1]
    assert theirs[-1].endswith("out.html")


def test_several_runs_side_by_side(sweep_store: Run) -> None:
    runs = sweep_store.folder.parent
    shutil.copytree(sweep_store.folder, runs / "other")
    code, out, _ = run("report", "tiny", "other", "--json", "--runs", str(runs))
    document = json.loads(out)
    assert code == 0
    assert document["report"] == str(runs / "tiny-vs-other.html")
    assert document["tests"][0]["verdict"] == "not significantly different"
    code, out, _ = run("report", "tiny", "other", "--output", str(runs / "page.html"), "--runs", str(runs))
    assert out.splitlines()[-1].endswith("page.html")


def test_doctor_says_what_a_sweep_would_use(data_folder: Path, tmp_path: Path) -> None:
    code, out, _ = run("doctor", "--json", "--runs", str(tmp_path / "runs"))
    found = json.loads(out)
    assert code == 0
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["datasets"]["sklearn-digits"].startswith("available")
    assert found["datasets"]["mnist"].startswith("missing, downloaded when needed: MNIST/raw/train-images")
    assert found["data_folder"] == str(data_folder)
    assert found["runs_writable"] is True
    assert re.match(r"(1 trial|\d+ trials) at a time on", found["would_use"])
    code, out, _ = run("doctor")
    assert out.splitlines()[-1].split(maxsplit=1) == ["next", "digits sweep --trials 100"]


def test_truncated_data_file_is_named_before_any_worker_starts(data_folder: Path, tmp_path: Path) -> None:
    raw = data_folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    code, out, err = run("sweep", "--dataset", "mnist", "--runs", str(tmp_path / "runs"))
    assert (code, out) == (1, "")
    assert str(raw / "train-images-idx3-ubyte") in err
    assert "damaged" in err
    assert not (tmp_path / "runs").exists()


def test_installed_command_answers_without_heavy_imports() -> None:
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    digits = Path(sys.executable).with_name("digits")
    done = subprocess.run([digits, "--help"], capture_output=True, text=True, check=True, env=environment)
    assert "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"torch", "ray", "optuna", "numpy", "plotly", "sklearn"}


def test_help_names_the_choices() -> None:
    result = RUNNER.invoke(app, ["sweep", "--help"], terminal_width=300)
    words = " ".join(result.stdout.split())
    assert all(name in words for name in DATASETS)
    epochs = [default_max_epochs(device, side) for device, side in (("cpu", 8), ("cpu", 28), ("cuda", 28))]
    short = default_max_epochs("cpu", 28, is_confirmed=True)
    small, large, on_gpu = epochs
    assert (
        f"{small} for 8x8 images; for 28x28, {large} ({short} with --then confirm), or {on_gpu} on a CUDA GPU" in words
    )


def test_a_closed_pipe_gives_no_traceback(sweep_store: Run) -> None:
    digits = Path(sys.executable).with_name("digits")
    read_end, write_end = os.pipe()
    os.close(read_end)
    arguments = [digits, "ensemble", "--json", "--runs", sweep_store.folder.parent]
    done = subprocess.run(arguments, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (
        1,
        "asked for 5 trials to combine, found 4 (the sweep has no others that count)\n",
    )
    assert (sweep_store.folder / "report.html").is_file()


def test_usage_errors_exit_with_two() -> None:
    assert run("sweep", "--no-such-option")[0] == 2
    assert run("swep")[0] == 2
    assert run("--version")[0] == 0


def test_train_prints_one_document_and_its_report(tmp_path: Path) -> None:
    code, out, err = run(
        "train", "improved-net", "--dataset", "sklearn-digits", "--epochs", "1", "--seed", "3", "--device", "cpu",
        "--set", "training.batch_size=64", "--name", "mine", "--runs", str(tmp_path), "--json",
    )  # fmt: skip
    assert code == 0, err
    document = json.loads(out)
    assert (document["run"], document["recipe_name"], document["epochs"]) == ("mine", "improved-net", 1)
    assert document["recipe"]["training"]["seed"] == 3
    assert document["recipe"]["training"]["batch_size"] == 64
    assert (document["validation"]["n"], document["test"]["n"], document["test_openings"]) == (360, 359, 1)
    page = Path(document["report"]).read_text()
    assert "improved-net, sealed test" in page
    assert "One run: another seed would give another figure." in page
    assert "Ray Tune ran" not in page
    assert "epoch 1 of 1" in err
    code, out, _ = run("replay", "mine", "--runs", str(tmp_path), "--json")
    replayed = json.loads(out)
    assert (code, replayed["n"], replayed["differing_predictions"], replayed["same_bits"]) == (0, 360, 0, True)
    code, out, _ = run("train", "improved-net", "--dataset", "sklearn-digits", "--epochs", "1", "--runs", str(tmp_path))
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert "published" not in lines  # the published figure is for another data set
    assert lines["next"].endswith("report.html")


def test_recipes_are_listed_with_what_was_published() -> None:
    code, out, _ = run("recipes", "--json")
    assert code == 0
    listed = {document["name"]: document for document in json.loads(out)}
    assert {"nguetsop-cnn", "cnn-mnist-101", "improved-net", "kfold-cnn", "lenet", "simple-cnn-m3"} <= set(listed)
    assert listed["lenet"]["dataset"] == "mnist"
    assert listed["lenet"]["published"] == "97.9 % in 63 s"
    code, out, _ = run("recipes")
    assert out.splitlines()[-1].endswith("digits train lenet")


def test_one_recipe_is_shown_with_its_layers() -> None:
    code, out, _ = run("recipes", "lenet", "--json")
    assert code == 0
    assert sum(layer["parameter_count"] for layer in json.loads(out)["layers"]) == 61_706
    code, out, _ = run("recipes", "lenet")
    lines = [line.split() for line in out.splitlines()]
    assert ["layer", "0", "Conv2d", "6", "x", "28", "x", "28", "156"] in lines
    assert ["parameters", "61,706"] in lines
    assert ["optimizer.learning_rate", "0.01"] in lines


def test_runs_are_listed_shown_and_deleted(sweep_store: Run) -> None:
    runs = ["--runs", str(sweep_store.folder.parent)]

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [*arguments, *runs])
        return result.exit_code, result.stdout, result.stderr

    code, out, _ = run("ls", "--json")
    assert (code, [row["sweep"] for row in json.loads(out)]) == (0, ["tiny"])
    code, out, _ = run("show", "tiny", "--json")
    assert json.loads(out)["trials"] == {"finished": 3, "stopped": 1, "failed": 1}
    code, out, _ = run("show", "tiny/1", "--json")
    assert json.loads(out)["recipe"]["model"]["name"] == "mlp"
    for wrong, message in (("tiny/x", "'x' is not a trial number; write tiny/17"), ("tiny/99", "has no trial 99")):
        code, out, err = run("show", wrong)
        assert (code, out) == (2, "")
        assert message in err
    code, _, err = run("watch", "tiny")
    assert (code, err) == (2, "error: 'tiny' has no journal to watch; only sweeps and comparisons have one\n")
    code, _, err = run("rm", "tiny", "nothere")
    assert (code, "unknown run 'nothere'" in err) == (2, True)
    linked = sweep_store.folder.with_name("linked")
    linked.symlink_to(sweep_store.folder)
    code, _, err = run("rm", "tiny", "linked", "--yes")
    assert (code, "is a link" in err, sweep_store.folder.exists()) == (2, True, True)
    linked.unlink()
    code, _, err = run("rm", "tiny")
    assert (code, err) == (
        2,
        "error: cannot ask for confirmation without a terminal; add --yes to delete without asking\n",
    )
    assert sweep_store.folder.exists()
    code, out, _ = run("rm", "tiny", "--yes", "--json")
    assert (code, list(json.loads(out)["removed"])) == (0, ["tiny"])
    assert not sweep_store.folder.exists()


def test_rm_without_an_answer_deletes_nothing(sweep_store: Run) -> None:
    digits, runs = Path(sys.executable).with_name("digits"), str(sweep_store.folder.parent)
    ours, terminal = os.openpty()
    os.write(ours, b"\x04")  # end of input, handled like Ctrl-C, which a test cannot type
    done = subprocess.run([digits, "rm", "tiny", "--runs", runs], stdin=terminal, capture_output=True, text=True)
    os.close(ours)
    os.close(terminal)
    assert (done.returncode, done.stdout.strip()) == (130, "")
    assert done.stderr.endswith("interrupted\n")
    assert sweep_store.folder.exists()


def test_stored_names_do_not_command_the_terminal(sweep_store: Run) -> None:
    hardware = "a\x1b]0;owned\x07b\x9b2J\u202e"
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, hardware=hardware, dataset="x\x1b[2J"))
    for command in (("show", "tiny"), ("ls",), ("leaderboard", "tiny")):
        _, out, err = run(*command, "--runs", str(sweep_store.folder.parent))
        assert not set("\x1b\x07\x9b\u202e") & set(out + err), command


def test_an_endless_error_is_cut_off(tmp_path: Path) -> None:
    code, out, err = run("train", "x" * 5_000_000, "--runs", str(tmp_path))
    assert (code, out) == (2, "")
    assert err.startswith("error: unknown recipe 'xxxx")
    assert len(err) < 4_000
    assert err.count("\n") == 1


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep_store: Run) -> None:
    monkeypatch.setenv("HOME", str(sweep_store.folder.parent.parent))
    monkeypatch.chdir(tmp_path)
    assert run("show", "tiny", "--runs", "~/runs")[0] == 0
    monkeypatch.setenv("DIGITS_RUNS", "~/runs")
    assert run("show", "tiny")[0] == 0
    assert absolute("folder:~/mine") == f"folder:{sweep_store.folder.parent.parent}/mine"
    assert not (tmp_path / "~").exists()
