"""Ranks candidates and says which differences between them are real. Loads neither torch nor ray.

Rows are ranked by validation NLL, recipes that were confirmed on fresh seeds first. A row is tied with the leader if
the test of its error rate against the leader's, corrected for the number of rows, has a p-value of 5 % or more: see
digits_core.judging.paired. Where the sealed test set was opened for all runs of a comparison, or for all confirmed
recipes, these rows are tested there as well, with the same correction; nothing is ranked by it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digits_core.errors import UsageError
from digits_core.judging.answers import Answers
from digits_core.judging.candidates import Candidate, candidates
from digits_core.judging.paired import FIGURES, Figure, Folds, ToLeader, by_image, compared, detectable
from digits_core.judging.resampling import DRAWS, Matrix, Picking, Selected
from digits_core.records import RunKind
from digits_core.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the leaderboard."""

    rank: int  # 1 is the leader
    ranks: tuple[int, int]  # 95 % interval, from the bootstrap
    candidate: Candidate
    to_leader: ToLeader | None  # on validation; None for the leader
    on_test: ToLeader | None = None  # on the sealed test set; None for the leader, and where it was not opened for all

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

    @property
    def unequal(self) -> tuple[Row, ...]:
        """The rows that were trained for another number of epochs, because the leader's was changed after the search.

        How many mistakes they make does not say which recipe is better.
        """
        leads = self.rows[0].candidate
        if leads.searched_epochs is None:
            return ()
        epochs = leads.runs[0].recipe.training.epochs
        return tuple(row for row in self.rows if row.candidate.runs[0].recipe.training.epochs != epochs)


def leaderboard(run: Run, draws: int = DRAWS) -> Leaderboard:
    """Rank and test a run's candidates. Raises UsageError if none of its trials counts."""
    header, found = run.header, candidates(run)
    if not found:
        raise UsageError(f"{header.name!r} has no validated trial to rank; `digits show {header.name}` says why")
    answers, n = [one.validation for one in found], header.validation_n
    folds = Folds(train_n=header.train_n, held_out_n=n // header.fold_count) if header.fold_count else None
    picked = [_own_answers(run, one) for one in found] if header.kind == RunKind.SWEEP and len(found) > 1 else []
    picking = Picking(*(_first_runs(picked, figure) for figure in FIGURES)) if picked and n > 1 else None
    judged = compared(answers, draws, ahead=sum(one.confirmed for one in found), folds=folds, picking=picking)
    tested = _tested(found)
    on_test = [one.to_leader for one in compared(tested, draws)] if tested else []
    selected = picking.result() if picking else None
    second = judged[1].to_leader if len(judged) > 1 else None
    return Leaderboard(
        run=header.name,
        n=n,
        part="out of fold" if folds else "validation",
        test_openings=len(run.ledger),
        rows=tuple(
            Row(rank=place, ranks=one.ranks, candidate=candidate, to_leader=one.to_leader, on_test=test)
            for place, (candidate, one, test) in enumerate(itertools.zip_longest(found, judged, on_test), start=1)
        ),
        selected=selected,
        picked_from=len(picked),
        picked_trial=found[selected.picked].record.trial if selected else None,
        detectable=detectable(answers[0], answers[1], second) if second else None,
    )


def _tested(found: Sequence[Candidate]) -> list[Answers]:
    """The results on the sealed test set of recipes that have several runs, if it was opened for all of these."""
    over_seeds = [one for one in found if one.confirmed or one.home.header.kind != RunKind.SWEEP]
    answers = [one.test for one in over_seeds]
    return [one for one in answers if one is not None] if None not in answers else []


def _own_answers(run: Run, candidate: Candidate) -> Answers:
    """The results of the sweep's own run, which is what the search picked from."""
    if not candidate.confirmed:
        return candidate.validation
    return Answers.of(run.validation_labels, [run.validation_probabilities(candidate.record.trial)])


def _first_runs(picked: Sequence[Answers], figure: Figure) -> Matrix:
    return np.stack([by_image(one, figure)[0] for one in picked])
