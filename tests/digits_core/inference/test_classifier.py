from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_core.data.digits import Digits
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.classifier import open_classifier
from digits_core.inference.ensembling import build_ensemble
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter


@pytest.fixture
def runs(sweep_store: Run) -> Path:
    return sweep_store.folder.parent


def validation_images(digits: Digits) -> np.ndarray:
    return digits.take(digits.parts[1]).images


def test_a_trial_predicts_as_it_was_validated(sweep_store: Run, runs: Path, digits: Digits) -> None:
    for selector, trial in (
        ("tiny/1", 1),
        ("tiny", sweep_store.ranked[0].trial),
        (None, sweep_store.ranked[0].trial),
    ):
        classifier = open_classifier(runs, selector)
        assert classifier.name == f"tiny/{trial}"
        said = classifier.probabilities(validation_images(digits))
        assert np.abs(said - sweep_store.validation_probabilities(trial)).max() < 1e-3
    assert classifier.probabilities(np.zeros((0, 8, 8), np.uint8)).shape == (0, 10)


@pytest.mark.parametrize("method", ["uniform", "greedy", "vote", "stack"])
@pytest.mark.parametrize("calibrate", ["none", "temperature"])
def test_an_ensemble_predicts_as_it_was_scored(
    sweep_store: Run, runs: Path, digits: Digits, method: str, calibrate: str
) -> None:
    record = build_ensemble(sweep_store, EnsembleConfig(top=3, method=method, calibrate=calibrate))
    for selector in ("ensemble", "tiny/ensemble", None):
        classifier = open_classifier(runs, selector)
        assert classifier.name == "tiny/ensemble"
        assert len(classifier.records) == (3 if record.method != "greedy" else len(record.chosen.weights))
    test = digits.take(digits.parts[2])
    said = classifier.probabilities(test.images)
    assert np.abs(said - sweep_store.ensemble_test_probabilities).max() < 2e-3


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("tny", "did you mean 'tiny'"),
        ("tiny/9", "unknown trial '9'"),
        ("tiny/../x", "there is no model"),
        ("tiny/confirmed/1", "has no runs in 'confirmed'"),
        ("tiny/ensemble", "has no ensemble yet"),
        ("ensemble", "has an ensemble yet"),
        ("../x", "cannot be a run's name"),
    ],
)
def test_missing_models_are_refused(runs: Path, selector: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_classifier(runs, selector)


def test_missing_weights_and_folds(sweep_store: Run, runs: Path) -> None:
    RunWriter(sweep_store.folder).trial(1).drop_weights()
    with pytest.raises(EnvironmentFailure, match="weights of trial 1 are missing"):
        open_classifier(runs, "tiny/1")
    RunWriter(sweep_store.folder).write_header(replace(sweep_store.header, fold_count=4))
    with pytest.raises(UsageError, match="one network per fold"):
        open_classifier(runs, "tiny/0")


def test_confirmed_runs_by_name(sweep_store: Run, runs: Path) -> None:
    import shutil

    inner = sweep_store.folder / "confirmed"
    shutil.copytree(sweep_store.folder / "trials" / "00001", inner / "trials" / "00001")
    shutil.copy(sweep_store.folder / "sweep.json", inner)
    assert open_classifier(runs, "tiny/confirmed/1").name == "tiny/confirmed/1"
