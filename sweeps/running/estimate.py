"""`digits sweep --dry-run`: estimates what a sweep would take, without starting it."""

import time
from dataclasses import dataclass

from digits_core.data.folds import Folds
from digits_core.training.copies import DeviceSplit
from digits_core.training.device import default_device
from digits_core.training.engine import Trainer
from sweeps.plans.planning import RunPlan
from sweeps.running.objective import use_threads
from sweeps.search.schedulers import first_rung
from sweeps.space.assignments import Drawn
from sweeps.space.generations import Generations
from sweeps.space.spaces import dimension
from sweeps.words import counted

IMAGES_TO_TIME = 2_000
BYTES_A_PROBABILITY, BYTES_A_WEIGHT, BYTES_AN_EPOCH, BYTES_A_TRIAL = 4, 4, 600, 6_000
REPORT_BYTES = 6_000_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Roughly what the sweep would take. Trials differ, so expect an error of about a factor of two."""

    size: str  # of the space, in words
    epochs: float  # of all trials together
    epoch_seconds: float  # of the default recipe, measured now
    seconds: float
    byte_count: float


def estimate(plan: RunPlan) -> Estimate:
    """Train the first trial's recipe for one epoch on some of the images, and extrapolate from that."""
    header, recipes = plan.header, plan.recipes
    first = recipes.first[0] if isinstance(recipes, Drawn) else recipes.assignments[0]
    use_threads(1)
    device = default_device()
    assert not isinstance(plan.split, Folds)
    count = min(IMAGES_TO_TIME, plan.split.train_count)
    trainer = Trainer(first.recipe, DeviceSplit.from_split(plan.split.first(count), device), device)
    started = time.perf_counter()
    trainer.advance()
    epoch_seconds = (time.perf_counter() - started) * plan.split.train_count / count
    epochs = epochs_in_all(
        recipes.scheduler if isinstance(recipes, Drawn) else "none", header.trial_count, header.max_epochs
    )
    weights = min(header.policy.keep or header.trial_count, header.trial_count) * trainer.parameter_count
    predictions = header.trial_count * header.validation_n * 10
    return Estimate(
        size=dimension(recipes.space) if isinstance(recipes, Drawn) else counted(len(recipes.assignments), "recipe"),
        epochs=epochs,
        epoch_seconds=epoch_seconds,
        seconds=epochs * epoch_seconds / min(header.concurrency, header.trial_count),
        byte_count=(
            weights * BYTES_A_WEIGHT
            + predictions * BYTES_A_PROBABILITY
            + epochs * BYTES_AN_EPOCH
            + header.trial_count * BYTES_A_TRIAL
            + REPORT_BYTES
        ),
    )


def epochs_in_all(scheduler: str, trial_count: int, max_epochs: int) -> float:
    """Epochs that all trials of a sweep train together."""
    if scheduler == "pbt":  # trial 0, and every member over all epochs
        return max_epochs * (1 + Generations.of(trial_count, max_epochs).members)
    return trial_count * epochs_a_trial(scheduler, max_epochs)


def epochs_a_trial(scheduler: str, max_epochs: int) -> float:
    """Epochs that a trial trains on average: successive halving lets one in `reduction` trials pass each rung."""
    if scheduler == "none" or max_epochs == 1:
        return max_epochs
    rung, reduction = first_rung(max_epochs)
    epochs, share = float(rung), 1.0 / reduction
    while rung < max_epochs:
        longer = min(rung * reduction, max_epochs)
        epochs, share, rung = epochs + share * (longer - rung), share / reduction, longer
    return epochs
