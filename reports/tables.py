"""A sweep's stored arrays -> the rows that the page shows. Plain values, no HTML, no figures."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.comparison import ComparedRow, compare_runs, published_as, reached
from digits_core.contestants import Contestant
from digits_core.data import DATASETS, Digits, load_digits
from digits_core.ensemble_records import EnsembleRecord
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.files import is_at_hand
from digits_core.leaderboard import Leaderboard, Row, leaderboard
from digits_core.metrics import Score, confusion_matrix, score, wrong_margin
from digits_core.objectives import pareto_front
from digits_core.records import Opening, RunRecord, SweepHeader, SweepSummary, rank
from digits_core.stats import Interval, accuracy_interval, mcnemar_p_value
from digits_core.store import SweepStore

WORST_IMAGE_COUNT = 24
STANDING_COUNT = 25  # rows of the standings; those that are tied with the leader are shown in any case


@dataclass(frozen=True, kw_only=True)
class Result:
    """A score with the interval of its accuracy."""

    score: Score
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """One trial with a validation score."""

    rank: int  # 1 has the lowest validation NLL
    record: RunRecord
    validation: Result
    test: Result | None  # only where the sealed test part was opened for it


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """One trial in the order in which trials ended."""

    trial: int
    status: str
    ended_seconds: float  # after the first trial's start
    nll: float
    incumbent_nll: float  # the lowest so far


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One wrongly classified image."""

    name: str  # its published name or number
    true_digit: int
    predicted_digit: int
    p_true: float
    p_predicted: float
    pixels: npt.NDArray[np.uint8] | None  # (H, W); None where the data set is not at hand


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How one model, or the ensemble, does on one part of the data."""

    title: str
    part: str  # "sealed test" or "validation"
    result: Result
    confusion: npt.NDArray[np.int64]  # (10, 10): true by row
    mistakes: tuple[Mistake, ...]  # worst first


@dataclass(frozen=True, kw_only=True)
class EnsembleRow:
    """One way to answer, beside the others."""

    method: str
    chosen: bool
    members: str
    validation: Result
    test: Result


@dataclass(frozen=True, kw_only=True)
class ComparedLine:
    """One recipe of a comparison, beside what its source published if it was trained the same way."""

    row: ComparedRow
    published: str
    reached: str | None  # see `digits_core.comparison.reached`


@dataclass(frozen=True, kw_only=True)
class Front:
    """Several objectives, and the trials between which they leave a choice."""

    objectives: tuple[str, ...]
    trials: tuple[int, ...]

    def __contains__(self, trial: int) -> bool:
        return trial in self.trials


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything on the page."""

    header: SweepHeader
    summary: SweepSummary | None
    openings: tuple[Opening, ...]
    leaderboard: tuple[LeaderboardRow, ...]
    board: Leaderboard | None  # which differences are real; None where nothing was searched
    failures: tuple[RunRecord, ...]
    history: tuple[HistoryPoint, ...]
    ensemble: EnsembleRecord | None
    ensemble_rows: tuple[EnsembleRow, ...]
    ensemble_p_value: float | None  # McNemar, ensemble against the best single model, test part
    judgements: tuple[Judgement, ...]  # the winner, then the ensemble if there is one
    compared: tuple[ComparedLine, ...]  # of a comparison
    front: Front | None  # None where there was one objective
    images_missing: str  # why no pictures are shown; empty where they are


def result_of(figures: Score) -> Result:
    """Add the interval to a score."""
    return Result(score=figures, interval=accuracy_interval(figures.error_count, figures.n))


def collect(store: SweepStore) -> ReportData:
    """Read a sweep and compute all rows. Raises UsageError where no trial has been validated."""
    header, records = store.header, store.records()
    ranked = rank(records)
    if not ranked:
        raise UsageError(
            f"sweep {header.name!r} has no validated trial to report ({len(records)} recorded,"
            f" {sum(r.status == 'failed' for r in records)} failed); run a new sweep"
        )
    ensemble = store.ensemble()
    board = leaderboard(store) if header.kind == "sweep" else None
    digits, images_missing = _images(header)
    leader = board.rows[0].contestant if board else None
    judgements = [_judge_winner(store, ranked[0], leader, digits)]
    if ensemble:
        judgements.append(_judge_ensemble(store, ensemble, digits))
    return ReportData(
        header=header,
        summary=store.summary(),
        openings=tuple(store.ledger()),
        leaderboard=tuple(
            LeaderboardRow(rank=rank, record=record, validation=result_of(record.validation), test=_test(store, record))
            for rank, record in enumerate(ranked, start=1)
            if record.validation
        ),
        board=board,
        failures=tuple(record for record in records if record.status == "failed"),
        history=history(records),
        ensemble=ensemble,
        ensemble_rows=_ensemble_rows(ensemble),
        ensemble_p_value=_ensemble_p_value(store, ensemble),
        judgements=tuple(judgements),
        compared=_compared(store) if header.kind == "comparison" else (),
        front=_front(header, records),
        images_missing=images_missing,
    )


def standings(board: Leaderboard) -> tuple[Row, ...]:
    """The rows that the page shows of them."""
    return tuple(row for row in board.rows if row.rank <= STANDING_COUNT or row.tied_with_leader)


def _front(header: SweepHeader, records: list[RunRecord]) -> Front | None:
    if len(header.objectives) == 1:
        return None
    trials = tuple(record.trial for record in pareto_front(records, header.objectives))
    return Front(objectives=header.objectives, trials=trials)


def _compared(store: SweepStore) -> tuple[ComparedLine, ...]:
    header = store.header
    return tuple(
        ComparedLine(
            row=row, published=named.published if named else "", reached=reached(row, named) if named else None
        )
        for row in compare_runs(store)
        for named in [published_as(row, header)]
    )


def history(records: list[RunRecord]) -> tuple[HistoryPoint, ...]:
    """The trials that count in the order in which they ended, each with the best so far."""
    counting = sorted((record for record in records if record.counts), key=lambda record: record.ended_at)
    start = min((record.started_at for record in counting), default=0.0)
    points: list[HistoryPoint] = []
    for record in counting:
        nll = record.nll
        points.append(
            HistoryPoint(
                trial=record.trial,
                status=record.status,
                ended_seconds=record.ended_at - start,
                nll=nll,
                incumbent_nll=min(nll, points[-1].incumbent_nll) if points else nll,
            )
        )
    return tuple(points)


def mistakes(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.floating],
    indices: npt.NDArray[np.int64],
    digits: Digits | None,
    limit: int = WORST_IMAGE_COUNT,
) -> tuple[Mistake, ...]:
    """The wrongly classified images, the most confident mistake first: by p(predicted) - p(true)."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst_first = wrong[np.argsort(-wrong_margin(labels, probabilities)[wrong], kind="stable")][:limit]
    return tuple(
        Mistake(
            name=digits.published_name(int(indices[i])) if digits else f"{indices[i]} of the whole data set",
            true_digit=int(labels[i]),
            predicted_digit=int(predicted[i]),
            p_true=float(probabilities[i, labels[i]]),
            p_predicted=float(probabilities[i, predicted[i]]),
            pixels=digits.images[indices[i]] if digits else None,
        )
        for i in worst_first
    )


def _images(header: SweepHeader) -> tuple[Digits | None, str]:
    """The data set if it is at hand (a report never downloads), else why not."""
    source = DATASETS.get(header.dataset)
    if source is None or not all(is_at_hand(file) for file in source.files):
        return None, f"the data set {header.dataset!r} is not in the data folder of this machine"
    try:
        digits = load_digits(header.dataset)
    except EnvironmentFailure as error:
        return None, str(error)
    if digits.checksum != header.data_checksum:
        return None, f"the data set {header.dataset!r} at hand is not the one this sweep was run on"
    return digits, ""


def _test(store: SweepStore, record: RunRecord) -> Result | None:
    probabilities = store.test_probabilities(record.trial)
    return None if probabilities is None else result_of(score(store.test_labels(), probabilities))


def _judge(
    title: str,
    part: str,
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.floating],
    indices: npt.NDArray[np.int64],
    digits: Digits | None,
) -> Judgement:
    return Judgement(
        title=title,
        part=part,
        result=result_of(score(labels, probabilities)),
        confusion=confusion_matrix(labels, probabilities.argmax(axis=1)),
        mistakes=mistakes(labels, probabilities, indices, digits),
    )


def _judge_winner(store: SweepStore, winner: RunRecord, leader: Contestant | None, digits: Digits | None) -> Judgement:
    title, run, record = winner.label or f"Winner (trial {winner.trial})", store, winner
    confirmed = store.confirmation() if leader is not None and leader.confirmed else None
    if leader is not None and confirmed is not None:
        run, record = confirmed, leader.runs[0]
        title = f"Leader (trial {leader.record.trial}), the first of {len(leader.runs)} fresh seeds"
    test = run.test_probabilities(record.trial)
    if test is not None:
        return _judge(title, "sealed test", run.test_labels(), test, run.test_indices(), digits)
    validation = run.validation_probabilities(record.trial)
    part = "out of fold" if run.header.fold_count else "validation"
    return _judge(title, part, run.validation_labels(), validation, run.validation_indices(), digits)


def _judge_ensemble(store: SweepStore, ensemble: EnsembleRecord, digits: Digits | None) -> Judgement:
    calibrated = ", calibrated" if ensemble.calibrated else ""
    title = f"Ensemble ({ensemble.method} vote of {len(ensemble.chosen.weights)}{calibrated})"
    test = store.ensemble_test_probabilities()
    return _judge(title, "sealed test", store.test_labels(), test, store.test_indices(), digits)


def _ensemble_rows(ensemble: EnsembleRecord | None) -> tuple[EnsembleRow, ...]:
    if ensemble is None:
        return ()
    return tuple(
        EnsembleRow(
            method=contender.method,
            chosen=contender.method == ensemble.method,
            members=", ".join(f"{ensemble.name_of(trial)} ({share})" for trial, share in contender.shares.items()),
            validation=result_of(contender.validation),
            test=result_of(contender.test),
        )
        for contender in ensemble.contenders
    )


def _ensemble_p_value(store: SweepStore, ensemble: EnsembleRecord | None) -> float | None:
    if ensemble is None:
        return None
    if ensemble.against_single is not None:
        return ensemble.against_single.p_value
    (single,) = ensemble.best_single.weights
    single_test = store.test_probabilities(single)
    if single_test is None:
        return None
    labels = store.test_labels()
    return mcnemar_p_value(
        store.ensemble_test_probabilities().argmax(axis=1) != labels, single_test.argmax(axis=1) != labels
    )
