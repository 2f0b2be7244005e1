import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from digits_core.data import Digits, Split
from digits_core.errors import UsageError
from digits_core.metrics import score
from digits_core.store import SweepStore
from reports.tables import collect, history, mistakes
from sweeps.config import EnsembleConfig
from sweeps.ensembling import build_ensemble
from sweeps.finalists import score_winner_on_test
from tests.conftest import make_header


def test_leaderboard_is_ranked_and_test_figures_exist_only_where_opened(sweep_store: SweepStore) -> None:
    score_winner_on_test(sweep_store)
    data = collect(sweep_store)
    assert [row.rank for row in data.leaderboard] == [1, 2, 3, 4]
    assert [row.record.trial for row in data.leaderboard] == [r.trial for r in sweep_store.ranked()]
    assert [row.test is not None for row in data.leaderboard] == [True, False, False, False]
    for row in data.leaderboard:
        assert row.validation.score == row.record.validation
        assert row.validation.interval.low < row.validation.score.accuracy < row.validation.interval.high
    assert [record.trial for record in data.failures] == [4]
    assert len(data.openings) == 1


def test_confusion_and_mistakes_agree_with_the_stored_predictions(sweep_store: SweepStore, digits: Digits) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    winner, ensemble = collect(sweep_store).judgements
    assert (winner.part, ensemble.part) == ("sealed test", "sealed test")
    for judgement in (winner, ensemble):
        errors = judgement.result.score.error_count
        assert judgement.confusion.sum() == 359
        assert judgement.confusion.sum() - np.trace(judgement.confusion) == errors
        assert len(judgement.mistakes) == min(errors, 24)
        margins = [mistake.p_predicted - mistake.p_true for mistake in judgement.mistakes]
        assert margins == sorted(margins, reverse=True)
        for mistake in judgement.mistakes:
            index = int(mistake.name)
            assert digits.labels[index] == mistake.true_digit != mistake.predicted_digit
            assert np.array_equal(mistake.pixels, digits.images[index])
    probabilities = sweep_store.ensemble_test_probabilities()
    assert ensemble.result.score == score(sweep_store.test_labels(), probabilities)


def test_mistakes_by_hand(digits: Digits) -> None:
    probabilities = np.full((4, 10), 0.01)
    for row, (digit, p) in enumerate([(1, 0.91), (2, 0.91), (3, 0.5), (4, 0.91)]):
        probabilities[row, digit] = p
    probabilities[2, 7] = 0.42
    rows = mistakes(np.array([1, 0, 7, 9]), probabilities, np.array([10, 11, 12, 13]), digits)
    assert [(m.name, m.true_digit, m.predicted_digit) for m in rows] == [("11", 0, 2), ("13", 9, 4), ("12", 7, 3)]
    assert [round(m.p_predicted - m.p_true, 6) for m in rows] == [0.9, 0.9, 0.08]
    assert len(mistakes(np.array([1, 0, 7, 9]), probabilities, np.arange(4), digits, limit=1)) == 1


def test_history_knows_the_incumbent(sweep_store: SweepStore) -> None:
    records = sweep_store.records()
    points = history(records)
    assert [point.trial for point in points] == [0, 1, 2, 3]  # the failed one never validated
    nll = [point.nll for point in points]
    assert [point.incumbent_nll for point in points] == [min(nll[: i + 1]) for i in range(4)]
    assert all(point.ended_seconds > 0 for point in points)
    assert history([records[4]]) == ()


def test_unopened_sweep_is_judged_on_validation(sweep_store: SweepStore) -> None:
    data = collect(sweep_store)
    (winner,) = data.judgements
    assert winner.part == "validation"
    assert winner.result == data.leaderboard[0].validation
    assert data.ensemble_p_value is None


def test_changed_or_missing_data_costs_only_the_pictures(sweep_store: SweepStore) -> None:
    for header in (
        replace(sweep_store.header, data_checksum="0" * 64),
        replace(sweep_store.header, dataset="gone"),
    ):
        (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(header)))
        data = collect(sweep_store)
        assert data.images_missing
        assert data.judgements[0].mistakes
        assert all(mistake.pixels is None for mistake in data.judgements[0].mistakes)


def test_a_report_never_downloads(sweep_store: SweepStore, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("digits_core.files._download", fail)
    header = replace(sweep_store.header, dataset="mnist")
    (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(header)))
    data = collect(sweep_store)
    assert data.images_missing == "the data set 'mnist' is not in the data folder of this machine"
    assert data.judgements[0].mistakes[0].name.endswith("of the whole data set")


def test_sweep_without_a_validated_trial_is_refused(tmp_path: Path, digits: Digits, split: Split) -> None:
    store = SweepStore.create(tmp_path, make_header(digits, split), split)
    with pytest.raises(UsageError, match="no validated trial to report"):
        collect(store)
