"""What rankings and tests need of a recipe's predictions: its scores, and which images each of its runs gets wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from digits_core.judging.stats import Interval, Spread, mean_accuracy_interval, spread_of
from digits_core.metrics import Score, image_nll, score

Probabilities = npt.NDArray[np.float32]  # (N, 10)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The results of S runs of one recipe on the same N images, on validation or test."""

    scores: tuple[Score, ...]  # one per run
    wrong: npt.NDArray[np.bool_]  # (S, N)
    nll: npt.NDArray[np.float32]  # (S, N); not a number for models that gave digits without probabilities
    seeds: tuple[int, ...] = ()  # one per run
    fold_scores: tuple[tuple[Score, ...], ...] = ()  # with cross-validation: each run's score by fold

    @staticmethod
    def of(
        labels: npt.NDArray[np.int64],
        runs: Iterable[Probabilities],
        seeds: tuple[int, ...] = (),
        fold_scores: tuple[tuple[Score, ...], ...] = (),
    ) -> "Answers":
        """Score one array at a time, and keep only what rankings and tests need."""
        scores, wrong, nll = [], [], []
        for probabilities in runs:
            scores.append(score(labels, probabilities))
            wrong.append(probabilities.argmax(axis=1) != labels)
            nll.append(image_nll(labels, probabilities).astype(np.float32))
        return Answers(
            scores=tuple(scores), wrong=np.stack(wrong), nll=np.stack(nll), seeds=seeds, fold_scores=fold_scores
        )

    @property
    def n(self) -> int:
        """The number of images."""
        return int(self.wrong.shape[1])

    @property
    def error_counts(self) -> tuple[int, ...]:
        """One per run."""
        return tuple(one.error_count for one in self.scores)

    @cached_property
    def accuracy(self) -> Spread:
        """Mean and spread over the runs."""
        return spread_of([one.accuracy for one in self.scores])

    @cached_property
    def mean_nll(self) -> float:
        """Mean over the runs."""
        return float(np.mean([one.nll for one in self.scores]))

    @cached_property
    def brier(self) -> float:
        """Mean over the runs."""
        return float(np.mean([one.brier for one in self.scores]))

    @cached_property
    def ece(self) -> float:
        """Mean over the runs."""
        return float(np.mean([one.ece for one in self.scores]))

    @cached_property
    def interval(self) -> Interval:
        """Wilson's interval for the mean accuracy over the runs."""
        return mean_accuracy_interval(self.error_counts, self.n)
