"""Sweeps with made-up predictions, to measure judging and the report: the models agree on most images."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, Split, split_digits
from digits_core.metrics import score
from digits_core.recipe import Recipe
from digits_core.records import EpochRow, RunRecord, SearchPlan
from digits_core.runs.run import Run
from digits_core.runs.trial_folder import best_files
from digits_core.runs.writer import RunWriter
from sweeps.plans.headers import header_of

FULL_EPOCHS = 12
SPACE = {
    "model.name": {"choices": ["cnn", "resnet", "lenet", "mlp"]},
    "model.dropout": {"low": 0.0, "high": 0.5},
    "optimizer.name": {"choices": ["adamw", "adam", "rmsprop", "sgd"]},
    "optimizer.learning_rate": {"low": 5e-4, "high": 2e-2, "log": True},
    "optimizer.momentum": {"low": 0.8, "high": 0.98, "when": {"optimizer.name": ["sgd"]}},
    "training.batch_size": {"choices": [32, 64, 128]},
    "augmentation.rotation_degrees": {"low": 0.0, "high": 20.0},
}


def predictions(labels: np.ndarray, models: int, seed: int = 0) -> np.ndarray:
    """Probabilities of M models, (M, N, 10) float32, with error rates from 0.4 to 4 %."""
    stream = np.random.default_rng(seed)
    hard = stream.exponential(1.0, len(labels))
    found = np.empty((models, len(labels), 10), dtype=np.float32)
    for model, quality in enumerate(np.geomspace(0.15, 0.6, models)):
        raised = stream.gamma(0.05, size=(len(labels), 10)) * hard[:, np.newaxis] * quality
        raised[np.arange(len(labels)), labels] += 1.0
        found[model] = raised / raised.sum(axis=1, keepdims=True)
    return found


def images_for(dataset: str, images: int) -> tuple[Digits, Split]:
    """The data set and a split whose validation set is repeated or truncated to this many images."""
    digits = load_digits(dataset)
    split = split_digits(digits)
    chosen = split.validation_indices[np.resize(np.arange(len(split.validation)), images)]
    return digits, replace(split, validation=digits.take(chosen), validation_indices=chosen)


def recipe_of(trial: int) -> Recipe:
    """A point of the space, sampled with the trial's number as seed."""
    stream = np.random.default_rng(trial)
    drawn = {name: _drawn(parameter, stream) for name, parameter in SPACE.items()}
    return Recipe().with_overrides({**drawn, "training.epochs": FULL_EPOCHS, "training.seed": trial})


def _drawn(parameter: dict[str, object], stream: np.random.Generator) -> str | int | float:
    if "choices" in parameter:
        return parameter["choices"][int(stream.integers(len(parameter["choices"])))]  # type: ignore[index, arg-type]
    low, high = float(parameter["low"]), float(parameter["high"])  # type: ignore[arg-type]
    return float(np.exp(stream.uniform(np.log(low), np.log(high)))) if "log" in parameter else stream.uniform(low, high)


def record_of(trial: int, labels: np.ndarray, probabilities: np.ndarray) -> RunRecord:
    """A record whose learning curve ends at the score of these predictions."""
    figures = score(labels, probabilities)
    epochs = FULL_EPOCHS if trial % 3 == 0 else 2
    curve = tuple(
        EpochRow(
            epoch=epoch, train_loss=figures.nll * (1 + 2 / epoch), train_error_count=500, train_n=55_000,
            validation_nll=figures.nll * (1 + (epochs - epoch) / epochs),
            validation_error_count=figures.error_count + epochs - epoch, validation_n=figures.n, seconds=5.0,
            busy_seconds=4.0,
        )
        for epoch in range(1, epochs + 1)
    )  # fmt: skip
    return RunRecord(
        trial=trial, status="finished" if epochs == FULL_EPOCHS else "stopped", recipe=recipe_of(trial),
        started_at=30.0 * trial, ended_at=30.0 * trial + 50, best_epoch=epochs, validation=figures, curve=curve,
        parameter_count=100_000,
    )  # fmt: skip


def made_up_sweep(runs: Path, models: int, images: int, dataset: str = "sklearn-digits") -> Run:
    """Write a sweep with this many trials on this many validation images."""
    digits, large = images_for(dataset, images)
    header = header_of(
        digits, large, name="made-up", kind="sweep", trial_count=models, max_epochs=FULL_EPOCHS, seed=0, concurrency=1,
        device="cpu", space=dict.fromkeys(SPACE, "made up"),
        plan=SearchPlan(search="tpe", scheduler="asha", space=SPACE, base=Recipe(), first=()),
    )  # fmt: skip
    store = RunWriter.create(runs, replace(header, hardware="none"), large)
    labels = store.run.validation_labels
    for trial, probabilities in enumerate(predictions(labels, models)):
        files = best_files(probabilities, {"none": np.zeros(1, dtype=np.float32)})
        store.trial(trial).complete(record_of(trial, labels, probabilities), files)
    return store.run
