import numpy as np
import pytest
import torch

from digits_core.data.digits import Digits, Split
from digits_core.data.folds import Folds, cut_digits
from digits_core.recipe import OPTIMIZERS, Recipe, Scalar
from digits_core.records import Bundle
from digits_core.runs.trial_folder import TrialWriter, bundle_file
from digits_core.training.copies import DeviceSplit
from digits_core.training.crew import Crew
from digits_core.training.cross_validation import DeviceFolds, Trained, folded, trained_by, upload

CPU = torch.device("cpu")
SMALL = Recipe().with_overrides({"training.epochs": 4, "model.width": 4, "model.hidden_units": 16})


def alone(recipe: Recipe, data: DeviceSplit | DeviceFolds, state: Bundle | None = None) -> tuple[Trained, Crew]:
    trained = trained_by(recipe, data)
    return trained, Crew([trained], CPU, {} if state is None else {0: state})


def through_a_file(state: Bundle, folder: TrialWriter) -> Bundle:
    folder.write_state(bundle_file(state))
    read = folder.read_state()
    assert read is not None
    return read


@pytest.mark.parametrize(
    "changes",
    [
        *({"optimizer.name": name} for name in OPTIMIZERS),
        {"training.ema_decay": 0.9},
        {"schedule.name": "plateau", "schedule.patience_epochs": 1, "training.patience_epochs": 2},
        {"training.keep": "last", "augmentation.elastic_fraction": 0.1, "training.gradient_clip": 1.0},
    ],
    ids=str,
)
def test_an_interrupted_run_resumes_to_the_same_bits(
    changes: dict[str, Scalar], tiny_split: Split, tmp_path: object
) -> None:
    recipe, data = SMALL.with_overrides(changes), upload(tiny_split, CPU)
    (undisturbed, whole), (cut, first) = alone(recipe, data), alone(recipe, data)
    for _ in range(2):
        whole.run_epoch()
        first.run_epoch()
    again, second = alone(recipe, data, through_a_file(first.state_of(cut), TrialWriter(tmp_path)))  # type: ignore[arg-type]
    while not undisturbed.finished:
        whole.run_epoch()
        second.run_epoch()
    assert again.finished
    assert undisturbed.best is not None
    assert again.best is not None
    assert again.best.epoch == undisturbed.best.epoch
    assert np.array_equal(again.best.validation_probabilities, undisturbed.best.validation_probabilities)
    for name, value in undisturbed.best.weights.items():
        assert np.array_equal(again.best.weights[name], value), name
    assert [row.train_loss for row in again.curve] == [row.train_loss for row in undisturbed.curve]


def test_interrupted_folds_resume_together(digits: Digits, tmp_path: object) -> None:
    folds = cut_digits(digits, 3)
    assert isinstance(folds, Folds)
    recipe, data = folded(SMALL.with_overrides({"training.epochs": 2})), upload(folds, CPU)
    (undisturbed, whole), (cut, first) = alone(recipe, data), alone(recipe, data)
    whole.run_epoch()
    first.run_epoch()
    again, second = alone(recipe, data, through_a_file(first.state_of(cut), TrialWriter(tmp_path)))  # type: ignore[arg-type]
    assert cut.best is not None
    assert again.best is not None
    assert (again.best.epoch, again.best.validation) == (1, cut.best.validation)
    assert [row.validation_nll for row in again.curve] == [row.validation_nll for row in cut.curve]
    whole.run_epoch()
    second.run_epoch()
    assert undisturbed.best is not None
    assert again.best is not None
    assert np.array_equal(again.best.validation_probabilities, undisturbed.best.validation_probabilities)
    assert again.fold_scores == undisturbed.fold_scores


def test_the_state_of_another_network_does_not_fit(tiny_split: Split) -> None:
    data = upload(tiny_split, CPU)
    one, crew = alone(SMALL, data)
    crew.run_epoch()
    with pytest.raises((KeyError, ValueError, RuntimeError)):
        alone(SMALL.with_overrides({"model.width": 5}), data, crew.state_of(one))
