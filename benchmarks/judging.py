"""Time and memory of a leaderboard with all its tests, and time of greedy selection: 100 models x 10,000 images.

The predictions are made up: the models agree on most images, and a few images are hard for all of them.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.made_up import made_up_sweep
from digits_core.environment import hardware_name
from digits_core.judging.ensemble import greedy_weights
from digits_core.judging.leaderboard import leaderboard
from digits_core.judging.resampling import DRAWS


def main() -> None:
    """Make up a sweep, judge it and combine its models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--images", type=int, default=10_000)
    asked = parser.parse_args()
    print(f"{hardware_name()}; {asked.models} models, {asked.images:,} images, {DRAWS:,} bootstrap samples")
    with tempfile.TemporaryDirectory() as folder:
        store = made_up_sweep(Path(folder), asked.models, asked.images)
        began = time.perf_counter()
        board = leaderboard(store)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"leaderboard {seconds:.1f} s, {len(board.tie)} tied; peak {peak:.2f} GB resident")
        labels = store.validation_labels
        probabilities = np.stack([store.validation_probabilities(trial) for trial in range(asked.models)])
        began = time.perf_counter()
        weights = greedy_weights(labels, probabilities)
        print(f"greedy selection {time.perf_counter() - began:.1f} s, {int((weights > 0).sum())} members")


if __name__ == "__main__":
    main()
