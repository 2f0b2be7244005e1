import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from digits_core.data.digits import Digits, Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.ensembling import build_ensemble
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from reports.rows.tables import collect
from tests.helpers.runs import make_header, opened_for, reread, spoil


def test_leaderboard_is_ranked_and_test_figures_exist_only_where_opened(sweep_store: Run) -> None:
    sweep_store = opened_for(sweep_store)
    data = collect(sweep_store)
    assert [row.rank for row in data.leaderboard] == [1, 2, 3, 4]
    assert [row.record.trial for row in data.leaderboard] == [r.trial for r in sweep_store.ranked]
    assert [row.test is not None for row in data.leaderboard] == [True, False, False, False]
    for row in data.leaderboard:
        assert row.validation.score == row.record.validation
        assert row.validation.interval.low < row.validation.score.accuracy < row.validation.interval.high
    assert [record.trial for record in data.failures] == [4]
    assert len(data.openings) == 1


def test_unopened_sweep_is_judged_on_validation(sweep_store: Run) -> None:
    data = collect(sweep_store)
    (leader,) = data.answered.featured
    assert leader.part == "validation"
    assert leader.result == data.leaderboard[0].validation
    assert data.ensemble_p_value is None


def test_changed_or_missing_data_costs_only_the_images(sweep_store: Run) -> None:
    for header in (
        replace(reread(sweep_store).header, data_checksum="0" * 64),
        replace(reread(sweep_store).header, dataset="gone"),
    ):
        (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(header)))
        data = collect(reread(sweep_store))
        assert data.images_missing
        assert len(data.answered.featured[0].mistakes)
        assert data.sheet.uri == ""
        assert data.dataset is None


def test_a_report_never_downloads(sweep_store: Run, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("digits_core.data.files._download", fail)
    header = replace(reread(sweep_store).header, dataset="mnist")
    (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(header)))
    data = collect(reread(sweep_store))
    assert data.images_missing == "the data set 'mnist' is not in the data folder on this machine"
    assert data.answered.pictures[0].name.endswith("of the whole data set")


def test_sweep_without_a_validated_trial_is_refused(tmp_path: Path, digits: Digits, split: Split) -> None:
    store = RunWriter.create(tmp_path, make_header(digits, split), split)
    with pytest.raises(UsageError, match="no validated trial to report"):
        collect(reread(store))


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (
            "trials/00001/record.json",
            {"parameter_count": "many"},
            r"got `str` - at `\$.parameter_count`",
        ),
        (
            "trials/00001/record.json",
            {"curve": [{"epoch": 1, "train_loss": "<i>"}]},
            r"Expected `float`, got `str` - at `\$.curve\[0\].train_loss`",
        ),
        ("trials/00001/record.json", {"label": 5}, r"Expected `str`, got `int` - at `\$.label`"),
        ("sweep.json", {"space": 5}, r"Expected `object`, got `int` - at `\$.space`"),
        ("sweep.json", {"versions": None}, r"Expected `object`, got `null` - at `\$.versions`"),
        (
            "ensemble.json",
            {"members": [{"trial": 1, "name": "a", "contribution": "x"}]},
            r"Expected `float`, got `str` - at `\$.members\[0\].contribution`",
        ),
        ("ensemble.json", {"against_single": {"rescued": [99999], "broken": [], "p_value": 1.0}}, "names images that"),
    ],
)
def test_damaged_files_are_named(sweep_store: Run, name: str, changes: dict[str, object], said: str) -> None:
    build_ensemble(reread(sweep_store), EnsembleConfig(top=3))
    spoil(sweep_store.folder / name, **changes)
    with pytest.raises(EnvironmentFailure, match=said) as caught:
        collect(reread(sweep_store))
    assert Path(name).name in str(caught.value)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"n": 0}, "of 0 images wrong"),
        ({"error_count": 5000}, "5000 of 360"),
        ({"error_count": 1}, "the stored predictions"),
    ],
)
def test_a_score_that_contradicts_the_predictions_is_refused(
    sweep_store: Run, figures: dict[str, int], said: str
) -> None:
    path = sweep_store.trial(1).folder / "record.json"
    values = json.loads(path.read_text())
    values["validation"] |= figures
    path.write_text(json.dumps(values))
    with pytest.raises(EnvironmentFailure, match=said):
        collect(sweep_store)


def test_images_outside_the_data_set_are_refused(sweep_store: Run) -> None:
    indices = sweep_store.validation_indices
    indices[5] = 10**9
    np.save(sweep_store.folder / "validation_indices.npy", indices)
    with pytest.raises(EnvironmentFailure, match="names images that the data set does not have"):
        collect(sweep_store)


def test_a_damaged_journal_does_not_stop_the_page(sweep_store: Run) -> None:
    (sweep_store.folder / "journal.jsonl").write_text("garbage\n")
    assert len(collect(sweep_store).search.history) == 4


def test_the_calibrated_ensemble_has_a_row_of_its_own(sweep_store: Run) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3, calibrate="temperature"))
    data = collect(sweep_store)
    assert data.ensemble is not None
    assert data.ensemble.calibrated is not None
    (used,) = [row for row in data.ensemble_rows if row.chosen]
    assert used.method == f"{data.ensemble.method}, calibrated"
    assert used.test.score == data.ensemble.calibrated.test
