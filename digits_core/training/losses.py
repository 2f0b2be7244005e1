"""The training losses by name: logits (N, 10) and labels (N,) -> the mean loss of the batch, or each image's."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F

from digits_core.data.digits import CLASS_COUNT
from digits_core.recipe import Loss

Reduction = Literal["mean", "none"]


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, settings: Loss, reduction: Reduction) -> torch.Tensor:
    return F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing, reduction=reduction)


def _cross_entropy_of_softmax(
    logits: torch.Tensor, labels: torch.Tensor, settings: Loss, reduction: Reduction
) -> torch.Tensor:
    """A well-known bug, kept to show its effect: it takes probabilities for logits, so it cannot fall below 1.46."""
    return _cross_entropy(torch.softmax(logits, dim=1), labels, settings, reduction)


def _nll(logits: torch.Tensor, labels: torch.Tensor, settings: Loss, reduction: Reduction) -> torch.Tensor:
    """Log-softmax, then NLL, as tutorials write it: the same function as cross-entropy."""
    del settings
    return F.nll_loss(F.log_softmax(logits, dim=1), labels, reduction=reduction)


def _mse(logits: torch.Tensor, labels: torch.Tensor, settings: Loss, reduction: Reduction) -> torch.Tensor:
    """Squared error of the ten probabilities against one-hot targets, summed over classes: the Brier score."""
    del settings
    targets = F.one_hot(labels, CLASS_COUNT).to(logits.dtype)
    return _reduced((torch.softmax(logits, dim=1) - targets).square().sum(dim=1), reduction)


def _focal(logits: torch.Tensor, labels: torch.Tensor, settings: Loss, reduction: Reduction) -> torch.Tensor:
    """Lin et al. 2017 (arXiv 1708.02002), without class weights; gamma 0 is cross-entropy."""
    log_p_true = F.log_softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
    # For gamma below 1, the slope at zero is infinite: a probability that rounds to 1 would make every weight NaN.
    p_false = (1 - log_p_true.exp()).clamp_min(torch.finfo(torch.float32).eps)
    return _reduced(-(p_false**settings.focal_gamma) * log_p_true, reduction)


def _reduced(losses: torch.Tensor, reduction: Reduction) -> torch.Tensor:
    return losses.mean() if reduction == "mean" else losses


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, Loss, Reduction], torch.Tensor]] = {
    "cross-entropy": _cross_entropy,
    "cross-entropy-of-softmax": _cross_entropy_of_softmax,
    "focal": _focal,
    "mse": _mse,
    "nll": _nll,
}


def training_loss(
    logits: torch.Tensor, labels: torch.Tensor, settings: Loss, reduction: Reduction = "mean"
) -> torch.Tensor:
    """The named loss, a scalar with a gradient, or (N,) with "none". logits: float32 (N, 10); labels: int64 (N,)."""
    return LOSSES[settings.name](logits, labels, settings, reduction)
