"""The bootstrap over images: intervals of differences and ranks, and what the best of many models is worth.

All models are judged on the same resampled images, so that images hard for all of them cancel out of every difference.
Figures of a recipe with several seeds are means over its seeds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from digits_core.judging.stats import CONFIDENCE, Interval, accuracy_interval

Matrix = npt.NDArray[np.floating]  # (M, N): a figure of each model on each image, lower is better
DRAWS = 5_000  # 125 in either tail of a 95 % interval
DRAWS_AT_A_TIME = 250  # (250, 10,000) counts and what is computed from them: about 30 MB
SEED = 0  # of the draws; fixed, so that the same sweep gives the same page


@dataclass(frozen=True, kw_only=True)
class Paired:
    """95 % intervals of models compared with the first of them, on the same resampled images."""

    to_leader: tuple[Interval, ...]  # each model's mean minus the first's
    ranks: tuple[tuple[int, int], ...]  # 1 is the lowest mean


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What the best of many models, picked by validation, is worth on other images of the same kind."""

    accuracy: float
    interval: Interval
    shown: float  # accuracy of the picked model on the images it was picked by
    picked: int  # its position among the models

    @property
    def optimism(self) -> float:
        """How much too high the shown accuracy is."""
        return self.shown - self.accuracy


def image_counts(n: int, draws: int, seed: int = SEED) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks (at most 250, N): how often each of N images is in a sample of N drawn with replacement."""
    stream = np.random.default_rng(seed)
    for first in range(0, draws, DRAWS_AT_A_TIME):
        rows = min(DRAWS_AT_A_TIME, draws - first)
        places = stream.integers(0, n, size=(rows, n), dtype=np.int32)
        counts = np.empty((rows, n), dtype=np.float32)
        for row, drawn in enumerate(places):  # row by row, so that its counts stay in the processor's cache
            counts[row] = np.bincount(drawn, minlength=n)
        yield counts


def paired_bootstrap(
    *figures: Matrix, draws: int = DRAWS, ahead: int = 0, tied_below: float = 0.0, picking: "Picking | None" = None
) -> tuple[Paired, ...]:
    """Percentile intervals of each model's difference from the first and of its rank, for each of the figures.

    figures: (M, N) each, of the same models on the same images. The first `ahead` models always rank before the others.
    Means that differ by less than `tied_below`, or not at all, share their ranks. picking: sees the same resamples,
    because drawing them takes longer than using them.
    """
    models, n = figures[0].shape
    by_image = np.concatenate([_single(values) for values in figures]).T
    found = []
    with threadpool_limits(1, user_api="blas"):  # the last digits of a product depend on how many threads share it
        for counts in image_counts(n, draws):
            found.append(counts @ by_image)
            if picking is not None:
                picking.see(counts)
    means = np.concatenate(found) / n
    blocks = (means[:, first : first + models] for first in range(0, len(figures) * models, models))
    return tuple(_paired(block, ahead, tied_below) for block in blocks)


def _paired(means: npt.NDArray[np.float32], ahead: int, tied_below: float) -> Paired:
    """means: (draws, M)."""
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    differences = np.quantile(means - means[:, :1], tails, axis=0)
    groups = [_places(means[:, :ahead], tied_below), _places(means[:, ahead:], tied_below)]
    best, worst = (np.concatenate([first, others + ahead], axis=1) for first, others in zip(*groups, strict=True))
    low = np.quantile(best, tails[0], axis=0, method="inverted_cdf")
    high = np.quantile(worst, tails[1], axis=0, method="inverted_cdf")
    return Paired(
        to_leader=tuple(Interval(low=float(a), high=float(b)) for a, b in differences.T),
        ranks=tuple((int(a), int(b)) for a, b in zip(low, high, strict=True)),
    )


def _places(means: npt.NDArray[np.float32], tied_below: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The best and the worst rank, from 1, of each mean in its row, both (draws, M): they differ for ties."""
    count = means.shape[1]
    if not count:
        return np.empty(means.shape, np.int64), np.empty(means.shape, np.int64)
    order = means.argsort(axis=1, kind="stable")
    is_first = np.ones(means.shape, bool)
    gaps = np.diff(np.take_along_axis(means, order, axis=1), axis=1)
    is_first[:, 1:] = (gaps > 0) & (gaps >= tied_below)
    is_last = np.roll(is_first, -1, axis=1)
    position = np.arange(count)
    best = np.maximum.accumulate(np.where(is_first, position, 0), axis=1)
    worst = np.minimum.accumulate(np.where(is_last, position, count - 1)[:, ::-1], axis=1)[:, ::-1]
    places = np.empty((2, *means.shape), np.int64)
    for place, ranks in zip(places, (best, worst), strict=True):
        np.put_along_axis(place, order, ranks + 1, axis=1)
    return places[0], places[1]


class Picking:
    """Accuracy of "pick the model with the lowest mean criterion", corrected for the picking: BBC-CV.

    The pick is repeated on each resample of the images, and the picked model is judged on the images left out of that
    resample (Tsamardinos, Greasidou and Borboudakis 2018, Machine Learning 107, algorithm 3).
    """

    def __init__(self, criterion: Matrix, wrong: Matrix) -> None:
        """criterion, wrong: (M, N) for the same N >= 2 images and every model that could be picked, else ValueError."""
        if criterion.shape != wrong.shape or criterion.shape[1] < 2:
            raise ValueError(
                f"criterion {criterion.shape} and errors {wrong.shape} cannot be resampled:"
                " they need the same shape and at least two images"
            )
        self.criterion, self.wrong = criterion, wrong
        self.by_image, self.errors = _single(criterion).T, wrong.astype(np.float32)
        self.found: list[npt.NDArray[np.float32]] = []

    def see(self, counts: npt.NDArray[np.float32]) -> None:
        """Take resamples from `image_counts` into account."""
        picked = (counts @ self.by_image).argmin(axis=1)
        left_out = (counts == 0).astype(np.float32)
        judged = left_out.sum(axis=1)
        error_counts = np.einsum("dn,dn->d", left_out, self.errors[picked])
        self.found.append((error_counts / np.maximum(judged, 1))[judged > 0])

    def result(self) -> Selected:
        """After all resamples."""
        accuracies = 1 - np.concatenate(self.found)
        low, high = np.quantile(accuracies, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        picked_place, n = int(self.criterion.mean(axis=1).argmin()), self.criterion.shape[1]
        accuracy = float(accuracies.mean())
        # With a handful of errors, resamples vary less than images do: never narrower than Wilson's interval.
        plain = accuracy_interval(round((1 - accuracy) * n), n)
        return Selected(
            accuracy=accuracy,
            interval=Interval(low=min(float(low), plain.low), high=max(float(high), plain.high)),
            shown=1 - float(self.wrong[picked_place].mean()),
            picked=picked_place,
        )


def selection_corrected(criterion: Matrix, wrong: Matrix, draws: int = DRAWS) -> Selected:
    """What the model with the lowest mean criterion is worth: see `Picking`, on resamples of its own."""
    picking = Picking(criterion, wrong)
    for counts in image_counts(criterion.shape[1], draws):
        picking.see(counts)
    return picking.result()


def _single(values: Matrix) -> npt.NDArray[np.float32]:
    """Single precision, which doubles the speed. The mean over models is subtracted first: it changes no comparison.

    A model whose figure is not a number leaves the others as they are.
    """
    centred: npt.NDArray[np.float32] = (values - np.nan_to_num(values).mean(axis=0)).astype(np.float32)
    return centred
