from pathlib import Path

import pytest

from digits_cli.printed.sweep import estimate_document, estimate_lines
from digits_core.training.models import build_model, count_parameters
from sweeps.plans.config import SweepConfig
from sweeps.plans.planning import plan_sweep
from sweeps.running.estimate import epochs_a_trial, estimate
from sweeps.space.known_good import default_recipe


@pytest.mark.parametrize(
    ("scheduler", "max_epochs", "expected"),
    [
        ("none", 40, 40.0),
        ("asha", 1, 1.0),
        ("asha", 12, 2 + 2 / 2 + 4 / 4 + 4 / 8),  # rungs at 2, 4 and 8; half goes on at each
        ("asha", 6, 1 + 2 / 3 + 3 / 9),  # rungs at 1 and 3; a third goes on
    ],
)
def test_epochs_of_an_average_trial_by_hand(scheduler: str, max_epochs: int, expected: float) -> None:
    assert epochs_a_trial(scheduler, max_epochs) == pytest.approx(expected)


def test_an_estimate_extrapolates_from_one_measured_epoch(tmp_path: Path) -> None:
    plan = plan_sweep(
        SweepConfig(runs=tmp_path, name="planned", trials=20, max_epochs=6, scheduler="none", concurrency=4, keep=3)
    )
    about = estimate(plan)
    assert about.epochs == 120
    assert about.seconds == pytest.approx(120 * about.epoch_seconds / 4)
    weights = 3 * 4 * count_parameters(build_model(default_recipe("cpu", 8, 6), 8))
    assert about.byte_count == pytest.approx(weights + 20 * 360 * 40 + 120 * 600 + 20 * 6_000 + 6e6)
    document, lines = estimate_document(plan, about), dict(estimate_lines(plan, about))
    assert document["size"] == lines["space"] == "15 parameters: 4,608 combinations x 8 continuous ranges"
    assert lines["trials"] == "20, about 120 epochs in total"
    assert lines["  model.name"] == document["space"]["model.name"] == "cnn | resnet | lenet | mlp"
    assert not (tmp_path / "planned").exists()
