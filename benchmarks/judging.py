"""Seconds and memory of a leaderboard with every test, seconds of greedy selection: 100 models x 10,000 images.

The predictions are made up: models that agree on most images, a few of which are hard for all of them.
"""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from digits_core.data import Split, load_digits, split_digits
from digits_core.ensemble import greedy_weights
from digits_core.environment import hardware_name
from digits_core.leaderboard import leaderboard
from digits_core.metrics import score
from digits_core.recipe import Recipe
from digits_core.records import RunRecord
from digits_core.store import SweepStore
from sweeps.headers import header_of


def predictions(labels: np.ndarray, models: int, seed: int = 0) -> np.ndarray:
    """(M, N, 10) float32: from 0.4 to 4 % errors."""
    stream = np.random.default_rng(seed)
    hard = stream.exponential(1.0, len(labels))
    found = np.empty((models, len(labels), 10), dtype=np.float32)
    for model, quality in enumerate(np.geomspace(0.15, 0.6, models)):
        raised = stream.gamma(0.05, size=(len(labels), 10)) * hard[:, np.newaxis] * quality
        raised[np.arange(len(labels)), labels] += 1.0
        found[model] = raised / raised.sum(axis=1, keepdims=True)
    return found


def made_up_sweep(runs: Path, models: int, images: int) -> SweepStore:
    """A sweep's folder with so many trials on so many validation images."""
    digits = load_digits("sklearn-digits")
    split = split_digits(digits)
    chosen = np.resize(np.arange(len(split.validation)), images)
    large = Split(
        train=split.train,
        validation=digits.take(split.validation_indices[chosen]),
        validation_indices=np.arange(images),
        split_id=split.split_id,
    )
    header = header_of(
        digits, large, name="made-up", kind="sweep", trial_count=models, max_epochs=1, seed=0, concurrency=1,
        device="cpu", space={},
    )  # fmt: skip
    store = SweepStore.create(runs, replace(header, hardware="none"), large)
    labels = store.validation_labels()
    for trial, probabilities in enumerate(predictions(labels, models)):
        folder = store.trial(trial)
        folder.create()
        folder.write_best(probabilities, {"none": np.zeros(1, dtype=np.float32)})
        folder.seal(
            RunRecord(
                trial=trial, status="finished", recipe=Recipe(), started_at=0.0, ended_at=1.0, best_epoch=1,
                validation=score(labels, probabilities),
            )
        )  # fmt: skip
    return store


def main() -> None:
    """Make the sweep, judge it, combine it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--images", type=int, default=10_000)
    asked = parser.parse_args()
    print(f"{hardware_name()}; {asked.models} models, {asked.images:,} images, 10,000 bootstrap samples")
    with tempfile.TemporaryDirectory() as folder:
        store = made_up_sweep(Path(folder), asked.models, asked.images)
        began = time.perf_counter()
        board = leaderboard(store)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"leaderboard {seconds:.1f} s, {len(board.tie)} tied; at most {peak:.2f} GB resident")
        labels = store.validation_labels()
        probabilities = np.stack([store.validation_probabilities(trial) for trial in range(asked.models)])
        began = time.perf_counter()
        weights = greedy_weights(labels, probabilities)
        print(f"greedy selection {time.perf_counter() - began:.1f} s, {int((weights > 0).sum())} members")


if __name__ == "__main__":
    main()
