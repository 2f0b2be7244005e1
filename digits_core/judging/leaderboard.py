"""Ranks candidates and tests which differences are real; duels between two recipes. Loads neither torch nor ray.

Rows are ranked by validation NLL, recipes that were confirmed on fresh seeds first. Ties with the leader are decided
by error rate, which is what people mean by better: a row is tied if the test of its error rate against the leader's,
corrected for the number of rows (Holm 1979), has a p-value of 5 % or more. The test is McNemar's exact one between
single runs, a Student test over images and seeds if either has several runs, and the corrected resampled t-test over
folds. A duel tests two recipes' results on any images in the same way, without folds and without a correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from digits_core.errors import UsageError
from digits_core.judging.candidates import Answers, Candidate, candidates
from digits_core.judging.resampling import DRAWS, Matrix, Paired, Selected, paired_bootstrap, selection_corrected
from digits_core.judging.stats import (
    CONFIDENCE,
    Interval,
    MeanDifference,
    detectable_difference,
    fold_mean_difference,
    holm,
    mcnemar_p_value,
    seed_mean_difference,
)
from digits_core.records import RunKind
from digits_core.runs.store import SweepStore

Method = Literal["mcnemar", "seeds", "folds"]
Figure = Literal["nll", "error_rate"]
DETECTABLE_OF_HALF_WIDTH = 1.43  # (1.96 + 0.84) / 1.96: 5 % level, 80 % power
FIGURES: tuple[Figure, ...] = ("nll", "error_rate")


@dataclass(frozen=True, kw_only=True)
class ToLeader:
    """A row compared with the leader, on validation."""

    error_rate: float  # minus the leader's; positive is worse
    error_rate_interval: Interval
    nll: float
    nll_interval: Interval
    p_value: float  # of the error rates
    corrected_p_value: float  # for the number of rows
    method: Method

    @property
    def tied(self) -> bool:
        """Whether the error rates are not significantly different."""
        return self.corrected_p_value >= 1 - CONFIDENCE

    @property
    def verdict(self) -> Literal["tied", "more mistakes", "fewer mistakes"]:
        """A lower row can make fewer mistakes: NLL also counts being less sure when right, or surer when wrong."""
        if self.tied:
            return "tied"
        return "more mistakes" if self.error_rate > 0 else "fewer mistakes"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the leaderboard."""

    rank: int  # 1 is the leader
    ranks: tuple[int, int]  # 95 % interval, from the bootstrap
    candidate: Candidate
    to_leader: ToLeader | None  # None for the leader

    @property
    def tied_with_leader(self) -> bool:
        """Whether it is the leader or statistically tied with it."""
        return self.to_leader is None or self.to_leader.tied


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The ranked candidates of a run."""

    run: str
    n: int  # images that rows are ranked by
    part: str  # "validation" or "out of fold"
    test_openings: int
    rows: tuple[Row, ...]
    selected: Selected | None  # what the best of the sweep's own runs is worth; None for a single trial
    picked_from: int  # the number of runs that it was picked from
    picked_trial: int | None  # the trial that was picked
    detectable: float | None  # smallest difference in accuracy between the first two that this many images can show

    @property
    def tie(self) -> tuple[Row, ...]:
        """The tie group: the leader and all rows tied with it."""
        return tuple(row for row in self.rows if row.tied_with_leader)


def leaderboard(store: SweepStore, draws: int = DRAWS) -> Leaderboard:
    """Rank and test a run's candidates. Raises UsageError if none of its trials counts."""
    header, found = store.header, candidates(store, store.confirmation())
    if not found:
        raise UsageError(f"{header.name!r} has no validated trial to rank; `digits show {header.name}` says why")
    n, leader = found[0].validation.n, found[0]
    ahead = sum(one.confirmed for one in found)
    paired = paired_bootstrap(*(_seed_means(found, figure) for figure in FIGURES), draws=draws, ahead=ahead)
    resampled = dict(zip(FIGURES, paired, strict=True))
    folds = _Folds(train_n=header.train_n, held_out_n=n // header.fold_count) if header.fold_count else None
    differences = [_differences(leader, other, folds) for other in found[1:]]
    corrected = holm([one.p_value for one in differences])
    picked = [_own_answers(store, one) for one in found] if header.kind == RunKind.SWEEP and len(found) > 1 else []
    selected = _selected(picked, draws) if picked and n > 1 else None
    return Leaderboard(
        run=header.name,
        n=n,
        part="out of fold" if folds else "validation",
        test_openings=len(store.ledger()),
        rows=tuple(
            Row(
                rank=place + 1,
                ranks=resampled["nll"].ranks[place],
                candidate=candidate,
                to_leader=_to_leader(differences[place - 1], corrected[place - 1], resampled, place) if place else None,
            )
            for place, candidate in enumerate(found)
        ),
        selected=selected,
        picked_from=len(picked),
        picked_trial=found[selected.picked].record.trial if selected else None,
        detectable=_detectable(found, differences[0]) if differences else None,
    )


def _seed_means(found: Sequence[Candidate], figure: Figure) -> Matrix:
    """(M, N): each candidate's figure on each image, averaged over its seeds."""
    return np.stack([_runs(one.validation, figure).mean(axis=0) for one in found])


def _runs(answers: Answers, figure: Figure) -> Matrix:
    """(S, N): each run's figure on each image."""
    return (answers.nll if figure == "nll" else answers.wrong).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class _Folds:
    """How many images one fold trains on, and how many it holds out."""

    train_n: int
    held_out_n: int


@dataclass(frozen=True, kw_only=True)
class _Differences:
    """Another candidate minus the leader. intervals: None between single runs, where the bootstrap gives them."""

    means: dict[Figure, float]
    intervals: dict[Figure, Interval] | None
    p_value: float
    method: Method


def _differences(leader: Candidate, other: Candidate, folds: _Folds | None) -> _Differences:
    means = {figure: _mean(other, figure) - _mean(leader, figure) for figure in FIGURES}
    several: dict[Figure, MeanDifference] = {}
    if folds is not None:
        several = _over_folds(leader, other, folds)
    elif len(leader.runs) > 1 or len(other.runs) > 1:
        several = _over_seeds(leader, other)
    if not several:
        p_value = mcnemar_p_value(other.validation.wrong[0], leader.validation.wrong[0])
        return _Differences(means=means, intervals=None, p_value=p_value, method="mcnemar")
    return _Differences(
        means=means,
        intervals={figure: difference.interval for figure, difference in several.items()},
        p_value=several["error_rate"].p_value,
        method="folds" if folds is not None else "seeds",
    )


def _mean(candidate: Candidate, figure: Figure) -> float:
    answers = candidate.validation
    return answers.mean_nll if figure == "nll" else 1 - answers.accuracy.mean


def _over_seeds(leader: Candidate, other: Candidate) -> dict[Figure, MeanDifference]:
    return {
        figure: seed_mean_difference(_runs(other.validation, figure), _runs(leader.validation, figure))
        for figure in FIGURES
    }


def _over_folds(leader: Candidate, other: Candidate, folds: _Folds) -> dict[Figure, MeanDifference]:
    """Differences paired by fold, over the seeds that both have; empty for fewer than two pairs."""
    by_seed = {run.recipe.training.seed: run.fold_scores for run in leader.runs}
    pairs = [
        (theirs, ours)
        for run in other.runs
        for theirs, ours in zip(run.fold_scores, by_seed.get(run.recipe.training.seed, ()), strict=False)
    ]
    if len(pairs) < 2:
        return {}
    values = {
        "error_rate": np.array([ours.accuracy - theirs.accuracy for theirs, ours in pairs]),
        "nll": np.array([theirs.nll - ours.nll for theirs, ours in pairs]),
    }
    over_images = _over_seeds(leader, other)
    return {
        figure: _less_sure(fold_mean_difference(values[figure], folds.train_n, folds.held_out_n), over_images[figure])
        for figure in FIGURES
    }


def _less_sure(over_folds: MeanDifference, over_images: MeanDifference) -> MeanDifference:
    """The less significant of the two: a few folds can agree exactly by chance, which makes p too small."""
    return over_folds if over_folds.p_value >= over_images.p_value else over_images


def _to_leader(found: _Differences, corrected: float, resampled: dict[Figure, Paired], place: int) -> ToLeader:
    intervals = found.intervals or {figure: resampled[figure].to_leader[place] for figure in FIGURES}
    return ToLeader(
        error_rate=found.means["error_rate"],
        error_rate_interval=intervals["error_rate"],
        nll=found.means["nll"],
        nll_interval=intervals["nll"],
        p_value=found.p_value,
        corrected_p_value=corrected,
        method=found.method,
    )


def _own_answers(store: SweepStore, candidate: Candidate) -> Answers:
    """The results of the sweep's own run, which is what the search picked from."""
    if not candidate.confirmed:
        return candidate.validation
    return Answers.of(store.validation_labels(), [store.validation_probabilities(candidate.record.trial)])


def _selected(picked: Sequence[Answers], draws: int) -> Selected:
    nll, wrong = (np.stack([_runs(one, figure)[0] for one in picked]) for figure in ("nll", "error_rate"))
    return selection_corrected(nll, wrong, draws)


def _detectable(found: Sequence[Candidate], second: _Differences) -> float | None:
    """The smallest true difference in accuracy between the first two that is found in four of five cases.

    None if they differ on too few images for any difference to be found.
    """
    if second.intervals is None:
        first, other = (one.validation.wrong[0] for one in found[:2])
        return detectable_difference(len(first), float((first != other).mean()))
    interval = second.intervals["error_rate"]
    return (interval.high - interval.low) / 2 * DETECTABLE_OF_HALF_WIDTH or None


@dataclass(frozen=True, kw_only=True)
class Duel:
    """The second recipe minus the first; positive is worse. The p-value is not corrected for the number of duels."""

    n: int
    first_accuracy: float
    second_accuracy: float
    error_rate: float
    interval: Interval
    p_value: float
    method: Method


def duel(first: Answers, second: Answers) -> Duel:
    """McNemar's exact test between single runs, a Student test over images and seeds if either has several."""
    if first.n != second.n:
        raise ValueError(f"{first.n} and {second.n} predictions are not for the same images")
    ours, theirs = (one.wrong.astype(np.float64) for one in (first, second))
    method: Method = "mcnemar" if len(ours) == len(theirs) == 1 else "seeds"
    if method == "mcnemar":
        interval = paired_bootstrap(np.concatenate([ours, theirs]))[0].to_leader[1]
        p_value = mcnemar_p_value(second.wrong[0], first.wrong[0])
    else:
        difference = seed_mean_difference(theirs, ours)
        interval, p_value = difference.interval, difference.p_value
    return Duel(
        n=first.n,
        first_accuracy=first.accuracy.mean,
        second_accuracy=second.accuracy.mean,
        error_rate=float(theirs.mean() - ours.mean()),
        interval=interval,
        p_value=p_value,
        method=method,
    )
