import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from digits_core.data.digits import Digits, Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.ensembling import build_ensemble
from digits_core.metrics import score
from digits_core.records import RunRecord
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.ledger import UNREADABLE
from digits_core.runs.run import Run, check_name, runs_in
from digits_core.runs.writer import RunWriter, check_new
from digits_core.stored import from_json
from tests.helpers.runs import HOSTILE, make_header, reread, spoil


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-x", "a\nb", "a" * 81, HOSTILE, "a\0", "C:x", "é"])
def test_names_that_could_leave_the_runs_folder_are_refused(name: str, tmp_path: Path) -> None:
    for use in (check_name, lambda n: check_new(tmp_path, n), lambda n: Run.open(tmp_path, n)):
        with pytest.raises(UsageError, match="cannot be a run's name"):
            use(name)
    assert list(tmp_path.iterdir()) == []


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True))
def test_ordinary_names_stay_inside(name: str) -> None:
    assert (Path("/runs") / check_name(name)).parent == Path("/runs")


def test_records_survive_the_trip_to_disk(sweep_store: Run) -> None:
    records = sweep_store.records
    assert [record.trial for record in records] == [0, 1, 2, 3, 4]
    assert [record.status for record in records] == ["finished"] * 3 + ["stopped", "failed"]
    for record in records:
        stored = json.dumps(record.to_dict()).encode()
        assert from_json(RunRecord, stored, besides=("recipe_id",)) == record


def test_ranking_is_by_validation_nll_and_leaves_out_trials_without_a_score(sweep_store: Run) -> None:
    ranked = sweep_store.ranked
    nll = [record.validation.nll for record in ranked if record.validation]
    assert len(ranked) == 4
    assert nll == sorted(nll)


def test_a_trial_without_a_record_is_not_listed(sweep_store: Run) -> None:
    (sweep_store.trial(0).folder / "record.json").unlink()
    assert [record.trial for record in sweep_store.records] == [1, 2, 3, 4]


def test_damaged_files_are_named(sweep_store: Run) -> None:
    weights = sweep_store.trial(0).folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(
        EnvironmentFailure,
        match=r"weights\.safetensors .*; restore it .*, or move the folder .*00000",
    ):
        sweep_store.trial(0).weights(sweep_store.record(0))
    (sweep_store.folder / "validation_labels.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(EnvironmentFailure, match=r"validation_labels\.npy"):
        _ = reread(sweep_store).validation_labels
    (sweep_store.folder / "sweep.json").write_text("{")
    with pytest.raises(EnvironmentFailure, match=r"sweep\.json"):
        _ = reread(sweep_store).header


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "null", '{"trial": 1}', '{"created_at": "monday"}'])
@pytest.mark.parametrize("name", ["sweep.json", "summary.json", "ensemble.json", "trials/00000/record.json"])
def test_truncated_or_foreign_json_gives_a_one_line_error(sweep_store: Run, name: str, content: str) -> None:
    (sweep_store.folder / name).write_text(content)
    readers = {
        "sweep.json": lambda: reread(sweep_store).header,
        "summary.json": lambda: sweep_store.summary,
        "ensemble.json": lambda: sweep_store.ensemble,
        "trials/00000/record.json": lambda: sweep_store.records,
    }
    with pytest.raises(EnvironmentFailure, match=r"cannot use .*json") as caught:
        readers[name]()
    assert "\n" not in str(caught.value)
    assert [run.name for run in runs_in(sweep_store.folder.parent)] == ["tiny"]


def test_a_damaged_sweep_is_reported_and_no_other_opened_instead(
    sweep_store: Run, digits: Digits, split: Split
) -> None:
    runs = sweep_store.folder.parent
    later = RunWriter.create(runs, make_header(digits, split, "later", created_at=2_000_000.0), split)
    (later.folder / "sweep.json").write_text("{")
    for name in (None, "later"):
        opened = Run.open(runs, name)
        assert opened.folder == later.folder
        with pytest.raises(EnvironmentFailure, match=r"later/sweep\.json .* move .*later elsewhere and run"):
            _ = opened.header


@pytest.mark.parametrize("damage", [np.zeros((359, 10)), np.zeros((360, 9)), np.full((360, 10), np.nan), np.zeros(3)])
def test_probabilities_of_a_wrong_shape_are_reported(sweep_store: Run, damage: np.ndarray) -> None:
    np.save(sweep_store.trial(1).folder / "validation.npy", damage.astype(np.float32))
    with pytest.raises(EnvironmentFailure, match=r"validation\.npy .*its checksum .*move the folder .*00001 elsewhere"):
        sweep_store.validation_probabilities(1)
    spoil(sweep_store.trial(1).folder / "record.json", files={})  # an older version's
    with pytest.raises(EnvironmentFailure, match=r"validation\.npy .*360 x 10 .*move the folder .*00001 elsewhere"):
        reread(sweep_store).validation_probabilities(1)
    assert reread(sweep_store).validation_probabilities(0).shape == (360, 10)


@pytest.mark.parametrize("line", ['{"number": 1}', "", "no JSON", "[]", '{"number": 1, "at": 1e999}', "\xff"])
def test_a_damaged_ledger_line_counts_as_an_opening(sweep_store: Run, line: str) -> None:
    RunWriter(sweep_store.folder).append_to_ledger("first", (1,))
    with (sweep_store.folder / "ledger.jsonl").open("a", encoding="latin-1") as stream:
        stream.write(line + "\n")
    RunWriter(sweep_store.folder).append_to_ledger("third", (1,))
    found = [(opening.number, opening.purpose, opening.trials) for opening in sweep_store.ledger]
    assert found == [(1, "first", (1,)), (2, UNREADABLE, ()), (3, "third", (1,))]


@pytest.mark.parametrize(
    "labels", [np.zeros(5, np.uint8), np.full(360, 77, np.uint8), np.zeros(360), np.zeros((360, 1), np.uint8)]
)
def test_bad_labels_are_reported_rather_than_the_trial(sweep_store: Run, labels: np.ndarray) -> None:
    np.save(sweep_store.folder / "validation_labels.npy", labels)
    with pytest.raises(EnvironmentFailure, match=r"cannot use .*tiny/validation_labels\.npy .*it should hold"):
        sweep_store.validation_probabilities(0)


def test_an_npz_archive_is_not_an_array(sweep_store: Run) -> None:
    path = sweep_store.trial(0).folder / "validation.npy"
    with path.open("wb") as stream:
        np.savez(stream, np.zeros((360, 10)))
    with pytest.raises(EnvironmentFailure, match=r"validation\.npy"):
        sweep_store.validation_probabilities(0)


def test_arrays_of_an_older_version_s_ensemble_are_found(sweep_store: Run) -> None:
    record = build_ensemble(sweep_store, EnsembleConfig(top=2))
    for part in ("validation", "test"):
        (array,) = sweep_store.folder.glob(f"ensemble_{part}-*.npy")
        array.rename(array.with_name(f"ensemble_{part}.npy"))
    spoil(sweep_store.folder / "ensemble.json", files={})
    assert score(sweep_store.test_labels, sweep_store.ensemble_test_probabilities) == record.chosen.test


@pytest.mark.parametrize("what", ["weights", "validation", "ensemble"])
def test_figures_that_were_changed_are_refused(sweep_store: Run, what: str) -> None:
    build_ensemble(reread(sweep_store), EnsembleConfig(top=2))
    folder = sweep_store.trial(0).folder
    if what == "weights":
        zeroed = {
            name: np.zeros_like(array) for name, array in sweep_store.trial(0).weights(sweep_store.record(0)).items()
        }
        save_file(zeroed, folder / "weights.safetensors")
    else:
        path = folder / "validation.npy"
        if what == "ensemble":
            (path,) = sweep_store.folder.glob("ensemble_test-*.npy")
        np.save(path, np.roll(np.load(path), 1, axis=1))
    uses = {
        "weights": lambda: sweep_store.trial(0).weights(sweep_store.record(0)),
        "validation": lambda: reread(sweep_store).validation_probabilities(0),
        "ensemble": lambda: reread(sweep_store).ensemble_test_probabilities,
    }
    with pytest.raises(EnvironmentFailure, match="its checksum differs"):
        uses[what]()


def test_a_run_of_a_newer_version_is_not_called_damaged(sweep_store: Run) -> None:
    spoil(sweep_store.trial(1).folder / "record.json", mood="good")
    with pytest.raises(EnvironmentFailure, match=r"a field 'mood', which .* newer version of digits: update digits"):
        _ = sweep_store.records
    spoil(sweep_store.folder / "sweep.json", versions={"digits": "99.0"}, seed={"words": 3})
    with pytest.raises(EnvironmentFailure, match=r"from a newer version of digits \(99\.0; this is .*: update digits"):
        _ = sweep_store.header


@pytest.mark.parametrize(
    "indices", [np.zeros(360, int), np.arange(360.0), np.arange(359), np.arange(360) - 1, np.arange(360) + 2**60]
)
def test_positions_are_checked(sweep_store: Run, indices: np.ndarray) -> None:
    np.save(sweep_store.folder / "validation_indices.npy", indices)
    with pytest.raises(EnvironmentFailure, match="it should hold the positions of 360 images"):
        _ = sweep_store.validation_indices


SHAPES = ("(361,)", "(10**9,)", "(1000000000,)", f"({10**18},)", "(-1,)", f"({10**30},)", "('x',)", "(1.5,)", "7", "()")
KINDS = ("'|O'", "'a' * 99", "[]", "'<M8[s]'")
HEADERS = [
    *(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}" for shape in SHAPES),
    *(f"{{'descr': {kind}, 'fortran_order': False, 'shape': (1,), }}" for kind in KINDS),
    "{", "{}", "[]", "(" * 100,
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_lies_is_no_array(sweep_store: Run, header: str) -> None:
    path = sweep_store.folder / "validation_labels.npy"
    content = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content + bytes(360))
    with pytest.raises(EnvironmentFailure, match=r"validation_labels\.npy") as caught:
        _ = reread(sweep_store).validation_labels
    assert "\n" not in str(caught.value)


def test_a_failed_trial_is_never_ranked(sweep_store: Run) -> None:
    best = reread(sweep_store).ranked[0]
    RunWriter(sweep_store.folder).trial(best.trial).complete(
        replace(best, status="failed", error="the worker process died"), {}
    )
    assert best.trial not in [record.trial for record in reread(sweep_store).ranked]


def test_pickled_arrays_are_refused(sweep_store: Run) -> None:
    np.save(sweep_store.folder / "validation_labels.npy", np.array([{}], dtype=object))
    with pytest.raises(EnvironmentFailure, match="cannot use"):
        _ = sweep_store.validation_labels


def test_latest_sweep_is_the_one_created_last(tmp_path: Path, digits: Digits, tiny_split: Split) -> None:
    with pytest.raises(UsageError, match="there is no run"):
        Run.open(tmp_path)
    for name, created_at in (("b", 3.0), ("a", 7.0), ("c", 5.0)):
        RunWriter.create(tmp_path, make_header(digits, tiny_split, name, created_at), tiny_split)
    (tmp_path / "not-a-sweep").mkdir()
    assert [run.name for run in runs_in(tmp_path)] == ["b", "c", "a"]
    assert Run.open(tmp_path).folder.name == "a"
    with pytest.raises(UsageError, match="unknown run 'bb'; did you mean 'b'"):
        Run.open(tmp_path, "bb")


@pytest.mark.parametrize(
    "changes",
    [
        {"trial_count": "8"}, {"trial_count": -3}, {"created_at": "x"}, {"created_at": 1e300}, {"concurrency": 0},
        {"concurrency": True}, {"dataset": 5}, {"created_at": 10**400},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_with_wrong_types_gives_a_one_line_error(sweep_store: Run, changes: dict[str, object]) -> None:
    path = sweep_store.folder / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(EnvironmentFailure, match=r"cannot use .*sweep\.json"):
        _ = sweep_store.header
    assert [run.name for run in runs_in(sweep_store.folder.parent)] == ["tiny"]


def test_renaming_the_folder_renames_the_run(sweep_store: Run) -> None:
    renamed = sweep_store.folder.with_name("renamed")
    sweep_store.folder.rename(renamed)
    assert Run.open(renamed.parent, "renamed").header.name == "renamed"
