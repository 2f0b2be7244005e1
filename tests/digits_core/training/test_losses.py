import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from digits_core.metrics import score
from digits_core.recipe import LOSSES, Loss
from digits_core.training.losses import training_loss


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    return torch.randn(32, 10, generator=stream), torch.randint(0, 10, (32,), generator=stream)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_lower_for_better_predictions_and_has_a_gradient(name: str) -> None:
    labels = torch.arange(10)
    for sharpness in (0.0, 1.0, 4.0):
        logits = (sharpness * torch.eye(10)).requires_grad_()
        worse = (-sharpness * torch.eye(10)).requires_grad_()
        better, worst = (training_loss(x, labels, Loss(name=name)) for x in (logits, worse))
        assert better <= worst
        better.backward()
        assert logits.grad is not None
        assert logits.grad.diagonal().max() < 0  # more of the true class is better


def test_cross_entropy_and_nll_are_scikit_learns_log_loss(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    probabilities = torch.softmax(logits.double(), dim=1).numpy()
    expected = log_loss(labels.numpy(), probabilities, labels=range(10))
    for name in ("cross-entropy", "nll"):
        assert float(training_loss(logits, labels, Loss(name=name))) == pytest.approx(expected, rel=1e-5)
    assert float(training_loss(logits, labels, Loss(name="focal", focal_gamma=0.0))) == pytest.approx(
        expected, rel=1e-5
    )


def test_focal_loss_by_its_formula(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    p_true = torch.softmax(logits, dim=1)[torch.arange(32), labels]
    expected = float((-((1 - p_true) ** 2) * p_true.log()).mean())
    assert float(training_loss(logits, labels, Loss(name="focal"))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
def test_focal_has_a_finite_gradient_where_a_probability_rounds_to_one(gamma: float) -> None:
    logits = torch.zeros(2, 10)
    logits[0, 3] = logits[1, 4] = 50.0
    logits.requires_grad_()
    training_loss(logits, torch.tensor([3, 5]), Loss(name="focal", focal_gamma=gamma)).backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().max() < 1e-6  # nothing left to learn there
    assert logits.grad[1, 5] == pytest.approx(-0.5, rel=1e-4)  # half of the batch's mean


def test_mse_is_the_brier_score_of_the_metrics(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    probabilities = torch.softmax(logits, dim=1).numpy()
    expected = score(labels.numpy().astype(np.int64), probabilities).brier
    assert float(training_loss(logits, labels, Loss(name="mse"))) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_softmax_cannot_fall_below_its_floor() -> None:
    perfect = 100 * torch.eye(10)
    floor = float(np.log(np.e + 9) - 1)
    assert float(training_loss(perfect, torch.arange(10), Loss(name="cross-entropy-of-softmax"))) == pytest.approx(
        floor
    )
    assert floor == pytest.approx(1.4612, abs=1e-4)


def test_label_smoothing_prefers_some_doubt() -> None:
    labels, settings = torch.arange(10), Loss(label_smoothing=0.1)
    assert training_loss(4 * torch.eye(10), labels, settings) < training_loss(100 * torch.eye(10), labels, settings)
