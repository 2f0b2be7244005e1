"""What a base install does, without torch, Ray and Optuna, and what it says about the rest."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from digits_core.data.digits import Digits
from digits_core.environment import how_to_install
from digits_core.runs.run import Run
from tests.helpers.lean import left_out
from tests.helpers.models import answers
from tests.helpers.onnx_files import LABEL, linear_classifier
from tests.helpers.paths import ROOT
from tests.helpers.pictures import draw

INSTALL = f"which this install leaves out; run: {how_to_install('train')}"


def test_what_is_stored_is_read_judged_and_shown_without_torch(
    sweep_store: Run, tmp_path: Path, digits: Digits
) -> None:
    for module in ("torch", "torchvision", "ray", "optuna", "sqlalchemy", "pyarrow", "onnx"):
        assert module in left_out()
    runs, file = sweep_store.folder.parent, tmp_path / "export" / "model.onnx"
    file.parent.mkdir()
    file.write_bytes(linear_classifier(metadata=LABEL.as_metadata()))
    draw(tmp_path / "seven.png", 7)
    said = answers(sweep_store.validation_labels, [0, 1, 2], 0.9)
    np.savez(tmp_path / "mine.npz", probabilities=said, indices=sweep_store.validation_indices)
    test = digits.parts[2]  # judging them opens the sealed test set
    np.savez(tmp_path / "test.npz", probabilities=answers(digits.labels[test], [0], 0.9), indices=test)
    np.savetxt(tmp_path / "mine.csv", said, delimiter=",", header=",".join(map(str, range(10))), comments="")
    works = {
        "ls": ["ls"],
        "show": ["show", "tiny/0"],
        "leaderboard": ["leaderboard", "tiny", "--json"],
        "report": ["report", "tiny"],
        "judge": ["judge", tmp_path / "mine.npz", "--against", "tiny", "--output", tmp_path / "judged.html"],
        "judge a table": ["judge", tmp_path / "mine.csv", "--against", "tiny", "--json"],
        "judge on the test set": ["judge", tmp_path / "test.npz", "--against", "tiny"],
        "doubts": ["doubts", "tiny"],
        "recipes": ["recipes"],
        "recipe": ["recipes", "lenet"],
        "doctor": ["doctor", "--json"],
        "check": ["datasets", "check", "sklearn-digits"],
        "split": ["datasets", "split", "sklearn-digits", "--output", tmp_path / "split.npz"],
        "predict": ["predict", tmp_path / "seven.png", "--model", file, "--json"],
        "explain": ["predict", tmp_path / "seven.png", "--model", file.parent, "--explain"],
    }
    lacks = {
        "sweep": ["sweep", "--trials", "2"],
        "train": ["train", "lenet"],
        "compare": ["compare", "lenet", "lenet-bn-dropout"],
        "confirm": ["confirm"],
        "ensemble": ["ensemble"],
        "resume": ["resume", "tiny"],
        "export": ["export", "--model", "tiny/0"],
        "transfer": ["transfer"],
        "space": ["space"],
    }
    refused = [["predict", tmp_path / "seven.png", "--model", "tiny/0"], ["mcp"], ["track", "tiny"]]
    lines = [
        [*map(str, words), *(() if words[0] in ("datasets", "space") else ("--runs", str(runs)))]
        for words in (*works.values(), *lacks.values(), *refused)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.lean", json.dumps(lines)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *results, stored, protocol, tracked = json.loads(done.stdout)
    printed = dict(zip([*works, *lacks], results, strict=True))
    assert {name: printed[name] for name in works if printed[name][0] != 0} == {}
    assert {name: printed[name][2] for name in lacks if INSTALL not in printed[name][2]} == {}
    assert {printed[name][0] for name in lacks} == {1}
    assert {len(printed[name][2].splitlines()) for name in lacks} == {1}
    assert stored[0] == 1
    assert "predict with --model FOLDER/model.onnx" in stored[2]
    assert protocol[0] == 1
    assert protocol[2].splitlines()[-1].endswith(f"which this install leaves out; run: {how_to_install('mcp')}")
    assert f"tensorboard, which this install leaves out; run: {how_to_install('tensorboard')}" in tracked[2]
    assert f"not shown without torch; run: {how_to_install('train')}" in printed["recipe"][1]
    assert json.loads(printed["doctor"][1])["would_use"].startswith("nothing: searching and training need torch")
    (picture,) = json.loads(printed["predict"][1])["images"]
    assert len(picture["text"]) == 1
    assert (tmp_path / "judged.html").exists()
    assert json.loads(printed["leaderboard"][1])["rows"][0]["validation"]["n"] == len(sweep_store.validation_labels)
