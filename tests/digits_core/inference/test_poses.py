"""Test-time augmentation: its poses, networks and ensembles with it, and what is stored."""

import numpy as np
import pytest
import torch

from digits_core.data.digits import Digits
from digits_core.errors import UsageError
from digits_core.inference.classifier import open_classifier
from digits_core.inference.ensembling import build_ensemble
from digits_core.inference.poses import pose_count, poses_of
from digits_core.inference.stored_model import InPoses
from digits_core.judging.ensemble import combine
from digits_core.metrics import score
from digits_core.recipe import STILL, Augmentation
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.training.evaluate import as_tensor, predict, to_model_input
from tests.helpers.runs import reread

ZOOMED = Augmentation(rotation_degrees=0.0, zoom_fraction=0.05)


class Reads(torch.nn.Module):
    """Says how bright each of the ten pixels in the middle of row 14 is."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 14, 9:19] * 10


@pytest.mark.parametrize(
    ("settings", "count"),
    [(Augmentation(), 5), (STILL, 1), (ZOOMED, 3), (Augmentation(rotation_degrees=2.0, zoom_fraction=0.0), 3)],
)
def test_poses_are_of_the_kinds_that_the_recipe_trains_on(settings: Augmentation, count: int) -> None:
    assert pose_count(settings) == count
    assert len({pose.tobytes() for pose in poses_of(settings)}) == count - 1


def test_a_pose_goes_no_further_than_training_did() -> None:
    (smaller, larger) = poses_of(Augmentation(rotation_degrees=0.0, zoom_fraction=0.02))
    assert smaller[0, 0] == smaller[1, 1] == pytest.approx(1 / 0.98)
    assert larger[0, 0] == larger[1, 1] == pytest.approx(1 / 1.02)
    (turned, _) = poses_of(Augmentation(rotation_degrees=2.0, zoom_fraction=0.0))
    assert turned[1, 0] == pytest.approx(np.sin(np.radians(2)))


def test_the_answer_is_the_mean_over_the_image_as_it_is_and_its_poses() -> None:
    ramp = (np.arange(28, dtype=np.float32) - 13.5) / 28  # dark on the left, bright on the right
    image = torch.from_numpy(np.tile(ramp, (28, 1)))[None, None]
    said = torch.softmax(InPoses(Reads(), ZOOMED, 28)(image), dim=1)
    by_pose = [torch.softmax(Reads()(image / scale), dim=1) for scale in (1.0, 0.95, 1.05)]  # smaller is steeper
    assert torch.allclose(said, torch.stack(by_pose).mean(dim=0), atol=1e-5)


def test_without_poses_the_answer_is_the_networks_own() -> None:
    images = to_model_input(as_tensor(np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)))
    said = torch.softmax(InPoses(Reads(), STILL, 28)(images), dim=1)
    assert torch.allclose(said, torch.softmax(Reads()(images), dim=1), atol=1e-6)


def test_an_ensemble_with_tta_is_scored_stored_and_used_with_it(sweep_store: Run, digits: Digits) -> None:
    record = build_ensemble(sweep_store, EnsembleConfig(top=3, tta=True, method="uniform"))
    run = reread(sweep_store)
    trials = [member.trial for member in record.members]
    posed = np.stack([run.validation_probabilities(trial, in_poses=True) for trial in trials])
    plain = np.stack([run.validation_probabilities(trial) for trial in trials])
    assert np.abs(posed - plain).max() > 1e-3
    assert record.chosen.validation == score(run.validation_labels, combine(posed, np.full(3, 1 / 3)))
    assert record.in_poses is not None
    assert record.in_poses.pose_count == 5
    assert record.in_poses.without == score(run.validation_labels, combine(plain, np.full(3, 1 / 3)))
    assert record.in_poses.low < record.in_poses.validation.nll - record.in_poses.without.nll < record.in_poses.high
    seconds = [run.record(trial).image_seconds for trial in trials]
    assert record.image_seconds == pytest.approx(5 * sum(one for one in seconds if one is not None))
    assert all(run.has_opened_test(trial) for trial in trials)  # without poses too: one opening
    assert [opening.purpose for opening in run.ledger] == ["ensemble of 3"]
    test = digits.take(digits.parts[2])
    used, without = (open_classifier(run.folder.parent, "ensemble", tta=tta) for tta in (None, False))
    assert (used.pose_count, without.pose_count) == (5, 1)
    assert np.abs(used.probabilities(test.images) - run.ensemble_test_probabilities).max() < 2e-3
    alone = np.mean([run.test_probabilities(trial) for trial in trials], axis=0)
    assert np.abs(without.probabilities(test.images) - alone).max() < 2e-3


def test_a_stack_with_tta_predicts_as_it_was_scored(sweep_store: Run, digits: Digits) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3, tta=True, method="stack", calibrate="temperature"))
    said = open_classifier(sweep_store.folder.parent, "ensemble").probabilities(digits.take(digits.parts[2]).images)
    assert np.abs(said - reread(sweep_store).ensemble_test_probabilities).max() < 2e-3


def test_a_single_model_with_tta(sweep_store: Run, digits: Digits) -> None:
    runs = sweep_store.folder.parent
    images = digits.take(digits.parts[1]).images
    said = open_classifier(runs, "tiny/0", tta=True).probabilities(images)
    network = open_classifier(runs, "tiny/0").networks[0]
    posed = InPoses(network, sweep_store.record(0).recipe.augmentation, 8)
    assert np.abs(said - predict(posed, as_tensor(images))).max() < 1e-2
    assert np.abs(said - sweep_store.validation_probabilities(0)).max() > 1e-3


def test_tta_needs_weights(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=2))
    for record in sweep_store.records:  # the test predictions are there, the networks are not
        (sweep_store.trial(record.trial).folder / "weights.safetensors").unlink(missing_ok=True)
    with pytest.raises(UsageError, match=r"no trial of .tiny. has kept its weights, which --tta needs"):
        build_ensemble(reread(sweep_store), EnsembleConfig(tta=True))
    assert len(build_ensemble(reread(sweep_store), EnsembleConfig()).members) == 2
