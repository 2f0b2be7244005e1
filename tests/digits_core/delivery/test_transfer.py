import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from digits_core.data.digits import Digits
from digits_core.handwriting.framing import MNIST_FRAME, OPTDIGITS_FRAME, reframed
from digits_core.inference.classifier import open_classifier
from digits_core.runs.run import Run
from digits_core.runs.transfer_records import read_transfer
from reports.pages.report import write_report
from tests.helpers.command_line import run
from tests.helpers.runs import reread


def transfer(store: Run, *arguments: object) -> dict:
    code, out, err = run("transfer", *map(str, arguments), "--runs", str(store.folder.parent), "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def other(tmp_path: Path, digits: Digits) -> str:
    """A data set of 8x8: 100 images of the run's own training set and 100 darkened ones."""
    train = digits.take(digits.parts[0][:200])
    images = train.images.copy()
    images[100:] = images[100:] // 2
    np.savez(tmp_path / "other.npz", x_train=images[:100], y_train=train.labels[:100], x_test=images[50:150],
             y_test=train.labels[50:150])  # fmt: skip
    return f"npz:{tmp_path / 'other.npz'}"


def test_the_matrix_counts_errors_and_images_seen_before(sweep_store: Run, digits: Digits, other: str) -> None:
    document = transfer(sweep_store, "tiny/0", "tiny/1", "--on", "sklearn-digits", "--on", other)
    assert [column["name"] for column in document["columns"]] == ["sklearn-digits", other]
    test = digits.take(digits.parts[2])
    for row, trial in zip(document["rows"], (0, 1), strict=True):
        own, foreign = row["cells"]
        said = open_classifier(sweep_store.folder.parent, f"tiny/{trial}").probabilities(test.images).argmax(axis=1)
        assert own["error_count"] == int((said != test.labels).sum())
        assert own["is_own"]
        assert own["seen_count"] == 0
        assert own["low"] < own["accuracy"] <= own["high"]
        assert not foreign["is_own"]
        assert foreign["n"] == 100
        assert foreign["seen_count"] == 50  # the darker half was never seen
    assert [(opening.purpose, opening.trials) for opening in sweep_store.ledger] == [
        ("transfer to sklearn-digits", (0, 1)),
        (f"transfer to {other}", (0, 1)),
    ]


def test_every_run_whose_models_are_tested_gets_a_ledger_line(sweep_store: Run) -> None:
    copy = sweep_store.folder.with_name("copy")
    shutil.copytree(sweep_store.folder, copy)
    transfer(sweep_store, "tiny/0", "copy/1", "tiny/0", "--on", "sklearn-digits")
    for store, trials in ((sweep_store, (0,)), (Run(copy), (1,))):
        assert [(opening.purpose, opening.trials) for opening in store.ledger] == [
            ("transfer to sklearn-digits", trials)
        ]


def test_the_transfer_is_a_section_of_the_report(sweep_store: Run, other: str) -> None:
    assert 'id="transfer"' not in write_report(reread(sweep_store)).read_text()
    document = transfer(sweep_store, "tiny/0", "--on", other)
    assert read_transfer(sweep_store.folder) is not None
    for page in (write_report(reread(sweep_store)), Path(document["page"])):
        text = page.read_text()
        assert "50 seen before" in text
        assert "seen-before" in text


def test_corruptions_are_of_the_models_own_test_set(sweep_store: Run) -> None:
    document = transfer(sweep_store, "tiny/0", "--on", "sklearn-digits", "--corruptions")
    assert len(document["columns"]) == 16
    clean, *corrupted = document["rows"][0]["cells"]
    assert document["columns"][1]["name"] == "sklearn-digits, brightness"
    assert all(cell["accuracy"] <= clean["accuracy"] + 0.02 for cell in corrupted)


@pytest.mark.mnist
def test_images_of_other_sizes_are_reframed(sweep_store: Run) -> None:
    document = transfer(sweep_store, "tiny/1", "--on", "mnist", "--on", "optdigits")
    mnist, optdigits = document["rows"][0]["cells"]
    assert mnist["n"] == 10_000
    assert mnist["accuracy"] > 0.5  # a small network that was trained on 8x8 pixels only
    assert optdigits["seen_count"] > 1_000  # scikit-learn's digits are the test half of optdigits


def test_reframed_images_fill_the_frame(digits: Digits) -> None:
    large = reframed(digits.images[:50], MNIST_FRAME)
    assert large.shape == (50, 28, 28)
    for image in large:
        rows = np.flatnonzero((image > 60).any(axis=1))
        assert 17 <= np.ptp(rows) + 1 <= 20
    back = reframed(large, OPTDIGITS_FRAME)
    likeness = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(back, digits.images, strict=False)]
    assert np.mean(likeness) > 0.8
    assert reframed(np.zeros((1, 8, 8), np.uint8), MNIST_FRAME).max() == 0
    assert reframed(np.zeros((0, 8, 8), np.uint8), MNIST_FRAME).shape == (0, 28, 28)
