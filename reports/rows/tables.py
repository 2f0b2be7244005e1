"""A run's stored arrays -> the rows that its page shows. Plain values: no HTML, no figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from digits_core.data.datasets import digits_at_hand
from digits_core.errors import UsageError
from digits_core.judging.candidates import candidates
from digits_core.judging.leaderboard import Leaderboard, Row, leaderboard
from digits_core.judging.leaderboard_document import leaderboard_document
from digits_core.judging.objectives import pareto_front
from digits_core.judging.published import published_as, reached
from digits_core.judging.stats import mcnemar_p_value
from digits_core.records import Opening, RunHeader, RunKind, RunRecord, RunSummary
from digits_core.runs.ensemble_records import EnsembleRecord
from digits_core.runs.run import Run
from digits_core.runs.transfer_records import Transfer
from reports.rows.answers import Answered, answered
from reports.rows.dataset import DatasetSummary, summary_of
from reports.rows.importance import Importances, begun
from reports.rows.inside import InsideModel, read_inside
from reports.rows.pictures import NO_PICTURES, Sheet, sheet_of
from reports.rows.search import (
    CostPoint,
    Dimension,
    HistoryPoint,
    LaneBar,
    Rung,
    costs,
    dimensions,
    footing,
    history,
    lanes,
    rungs,
    search_clock,
    sessions_of,
)
from reports.rows.views import Result, result_of


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """One trial with a validation score."""

    rank: int  # 1 has the lowest validation NLL in this run; fresh seeds are ignored
    record: RunRecord
    validation: Result
    test: Result | None  # only if the sealed test set was opened for it
    standing: Row | None  # its leaderboard row, over fresh seeds if confirmed; None without a search


@dataclass(frozen=True, kw_only=True)
class EnsembleRow:
    """One contender: an ensemble method, or the best single model."""

    method: str
    chosen: bool
    members: str
    validation: Result
    test: Result


@dataclass(frozen=True, kw_only=True)
class ComparedLine:
    """One recipe of a comparison, with the published result if it was trained as in its source."""

    row: Row
    published: str
    reached: str | None  # see `digits_core.judging.published.reached`


@dataclass(frozen=True, kw_only=True)
class Front:
    """Several objectives, and the trials on their Pareto front."""

    objectives: tuple[str, ...]
    trials: tuple[int, ...]

    def __contains__(self, trial: int) -> bool:
        return trial in self.trials


@dataclass(frozen=True, kw_only=True)
class SearchRows:
    """How the search went; reports.rows.search explains the rows."""

    history: tuple[HistoryPoint, ...]
    lanes: tuple[LaneBar, ...]
    rungs: tuple[Rung, ...]
    dimensions: tuple[Dimension, ...]  # their values are in leaderboard order
    footing_epoch: int  # the last epoch that every trial reached
    footing_nlls: tuple[float, ...]  # lowest NLL up to that epoch, in leaderboard order: comparable across trials
    importances: Importances | str  # or the reason why there are none


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything on the page."""

    header: RunHeader
    folder: Path  # the run's
    summary: RunSummary | None
    openings: tuple[Opening, ...]
    leaderboard: tuple[LeaderboardRow, ...]
    board: Leaderboard  # with the significance of each difference from the leader
    board_document: dict[str, Any]  # what `digits leaderboard --json` prints
    failures: tuple[RunRecord, ...]
    exportable: tuple[int, ...]  # trials that `digits export` takes: they kept their weights, and are one network
    begun_search: Callable[[], SearchRows]  # what takes longest is computed beside the rest
    costs: tuple[CostPoint, ...]
    ensemble: EnsembleRecord | None
    ensemble_rows: tuple[EnsembleRow, ...]
    ensemble_p_value: float | None  # McNemar, ensemble against the best single model, test set
    answered: Answered
    sheet: Sheet
    compared: tuple[ComparedLine, ...]  # empty unless the run is a comparison
    front: Front | None  # None with a single objective
    dataset: DatasetSummary | None  # None if the data set is not available
    images_missing: str  # why no images are shown; empty if they are
    inside: InsideModel | None  # the leader's filters, maps and embeddings, if they were stored
    transfer: Transfer | None  # its models on other data sets, if `digits transfer` was run

    @cached_property
    def search(self) -> SearchRows:
        """How the search went."""
        return self.begun_search()

    @property
    def searched(self) -> bool:
        """Whether this run searched for recipes instead of being given them."""
        return self.header.kind == RunKind.SWEEP


def collect(run: Run) -> ReportData:
    """Read a run and compute all rows. Raises UsageError if no trial has been validated."""
    header, records, ranked = run.header, run.records, run.ranked
    if not ranked:
        raise UsageError(
            f"{header.name!r} has no validated trial to report ({len(records)} recorded,"
            f" {sum(r.status == 'failed' for r in records)} failed); run a new sweep"
        )
    search = _begin_search(run)
    ensemble = run.ensemble
    with threadpool_limits(1):  # the other processor has the importances to compute
        board = leaderboard(run)
    digits, images_missing = digits_at_hand(header.dataset, header.data_checksum)
    leader = board.rows[0].candidate
    found = answered(run, leader, ensemble, digits)
    rows = _leaderboard_rows(ranked, board, found.test_results, searched=header.kind == RunKind.SWEEP)
    return ReportData(
        header=header,
        folder=run.folder,
        summary=run.summary,
        openings=run.ledger,
        leaderboard=rows,
        board=board,
        board_document=leaderboard_document(run, board),
        failures=tuple(record for record in records if record.status == "failed"),
        exportable=() if header.fold_count else tuple(one.trial for one in ranked if run.trial(one.trial).has_weights),
        begun_search=search,
        costs=costs(records),
        ensemble=ensemble,
        ensemble_rows=_ensemble_rows(ensemble),
        ensemble_p_value=_ensemble_p_value(run, ensemble),
        answered=found,
        sheet=sheet_of(digits.images, [picture.index for picture in found.pictures]) if digits else NO_PICTURES,
        compared=_compared(board) if header.kind == RunKind.COMPARISON else (),
        front=_front(header, records),
        dataset=summary_of(digits, run.validation_indices) if digits else None,
        images_missing=images_missing,
        inside=read_inside(leader),
        transfer=run.transfer,
    )


def _leaderboard_rows(
    ranked: Sequence[RunRecord], board: Leaderboard, tested: Mapping[int, Result], *, searched: bool
) -> tuple[LeaderboardRow, ...]:
    """Every trial that counts: of a sweep in leaderboard order (confirmed recipes first), else by validation NLL."""
    standings = {row.candidate.record.trial: row for row in board.rows} if searched else {}
    ordered = [row.candidate.record for row in board.rows] if searched else ranked
    ranks = {record.trial: place for place, record in enumerate(ranked, start=1)}
    return tuple(
        LeaderboardRow(
            rank=ranks[record.trial],
            record=record,
            validation=result_of(record.validation),
            test=tested.get(record.trial),
            standing=standings.get(record.trial),
        )
        for record in ordered
        if record.validation
    )


def _begin_search(run: Run) -> Callable[[], SearchRows]:
    """Begin what takes long; the returned function waits for it."""
    records, searched = run.records, run.header.kind == RunKind.SWEEP
    ranked = [one.record for one in candidates(run)] if searched else list(run.ranked)  # as the page has them
    fields = dimensions(run.header, ranked) if searched else ()
    epoch, nlls = footing(ranked)
    clock, important = search_clock(sessions_of(run), records), begun(fields, nlls)
    return lambda: SearchRows(
        history=history(records, clock),
        lanes=lanes(records, clock),
        rungs=rungs(records),
        dimensions=fields,
        footing_epoch=epoch,
        footing_nlls=nlls,
        importances=important(),
    )


def _front(header: RunHeader, records: Sequence[RunRecord]) -> Front | None:
    if len(header.objectives) == 1:
        return None
    trials = tuple(record.trial for record in pareto_front(records, header.objectives))
    return Front(objectives=header.objectives, trials=trials)


def _compared(board: Leaderboard) -> tuple[ComparedLine, ...]:
    return tuple(
        ComparedLine(
            row=row,
            published=named.published if named else "",
            reached=reached(row.candidate, named) if named else None,
        )
        for row in board.rows
        for named in [published_as(row.candidate)]
    )


def _ensemble_rows(ensemble: EnsembleRecord | None) -> tuple[EnsembleRow, ...]:
    if ensemble is None:
        return ()
    used = ensemble.calibrated is None
    rows = [
        EnsembleRow(
            method=contender.method,
            chosen=used and contender.method == ensemble.method,
            members=", ".join(f"{ensemble.name_of(trial)} ({share})" for trial, share in contender.shares.items()),
            validation=result_of(contender.validation),
            test=result_of(contender.test),
        )
        for contender in ensemble.contenders
    ]
    if ensemble.calibrated is not None:
        chosen = next(row for row in rows if row.method == ensemble.method)
        validation, test = result_of(ensemble.calibrated.validation), result_of(ensemble.calibrated.test)
        title = f"{ensemble.method}, calibrated"
        rows.append(replace(chosen, method=title, chosen=True, validation=validation, test=test))
    return tuple(rows)


def _ensemble_p_value(run: Run, ensemble: EnsembleRecord | None) -> float | None:
    if ensemble is None:
        return None
    if ensemble.against_single is not None:
        return ensemble.against_single.p_value
    (single,) = ensemble.best_single.weights
    if not run.has_opened_test(single):
        return None
    labels = run.test_labels
    return mcnemar_p_value(
        run.ensemble_test_probabilities.argmax(axis=1) != labels,
        run.test_probabilities(single).argmax(axis=1) != labels,
    )
