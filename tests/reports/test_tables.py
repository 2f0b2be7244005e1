import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from digits_core.data import Digits, Split
from digits_core.errors import UsageError
from digits_core.store import SweepStore
from reports.tables import collect
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


def test_unopened_sweep_is_judged_on_validation(sweep_store: SweepStore) -> None:
    data = collect(sweep_store)
    (winner,) = data.answered.featured
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
        assert len(data.answered.featured[0].mistakes)
        assert data.sheet.uri == ""
        assert data.dataset is None


def test_a_report_never_downloads(sweep_store: SweepStore, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("digits_core.files._download", fail)
    header = replace(sweep_store.header, dataset="mnist")
    (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(header)))
    data = collect(sweep_store)
    assert data.images_missing == "the data set 'mnist' is not in the data folder of this machine"
    assert data.answered.pictures[0].name.endswith("of the whole data set")


def test_sweep_without_a_validated_trial_is_refused(tmp_path: Path, digits: Digits, split: Split) -> None:
    store = SweepStore.create(tmp_path, make_header(digits, split), split)
    with pytest.raises(UsageError, match="no validated trial to report"):
        collect(store)
