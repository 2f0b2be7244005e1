"""Event files, read back by TensorBoard's own reader."""

from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from digits_core.errors import EnvironmentFailure
from digits_core.inference.ensembling import build_ensemble
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.tracking.story import story
from digits_core.tracking.to_tensorboard import TensorBoard


def send(run: Run, folder: Path) -> list[bool]:
    tracker, entries = TensorBoard(folder), list(story(run))
    return [tracker.send(entry, entries[0]) for entry in entries]


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def test_curves_settings_and_figures_arrive_once(sweep_store: Run, tmp_path: Path) -> None:
    assert all(send(sweep_store, tmp_path / "tb"))
    assert not any(send(Run(sweep_store.folder), tmp_path / "tb"))
    record = sweep_store.ranked[0]
    found = read(tmp_path / "tb" / "tiny" / f"trial {record.trial}")
    curve = {event.step: event.tensor_proto.float_val[0] for event in found.Tensors("curve/validation nll")}
    assert curve == pytest.approx({row.epoch: row.validation_nll for row in record.curve}, rel=1e-6)
    (accuracy,) = found.Tensors("validation accuracy")
    assert accuracy.tensor_proto.float_val[0] == pytest.approx(record.validation.accuracy)
    content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    settings = metadata.parse_session_start_info_plugin_data(content).hparams
    assert settings["model.name"].string_value == record.recipe.model.name
    assert settings["optimizer.learning_rate"].number_value == record.recipe.optimizer.learning_rate
    assert settings["training.seed"].number_value == record.recipe.training.seed


def test_the_run_has_its_card_and_is_replaced_when_it_grows(sweep_store: Run, tmp_path: Path) -> None:
    send(sweep_store, tmp_path / "tb")
    (before,) = (tmp_path / "tb" / "tiny").glob("events.*")
    build_ensemble(sweep_store, EnsembleConfig(top=2))
    new = send(Run(sweep_store.folder), tmp_path / "tb")
    assert new.count(True) == 4  # the run, two members with test figures, the ensemble
    (after,) = (tmp_path / "tb" / "tiny").glob("events.*")
    assert after != before
    found = read(tmp_path / "tb" / "tiny")
    (card,) = found.Tensors("model card")
    assert b"## Evaluation" in card.tensor_proto.string_val[0]
    content = found.summary_metadata["_hparams_/experiment"].plugin_data.content
    offered = {one.name: one for one in metadata.parse_experiment_plugin_data(content).hparam_infos}
    names = {record.recipe.model.name for record in sweep_store.records}
    assert {value.string_value for value in offered["model.name"].domain_discrete.values} == names
    assert "training.seed" not in offered
    assert "optimizer.name" not in offered  # the same in all trials
    assert found.Tensors("test openings")[0].tensor_proto.float_val[0] == 1


def test_another_run_of_the_same_name_is_not_replaced(sweep_store: Run, tmp_path: Path) -> None:
    send(sweep_store, tmp_path / "tb")
    before = sorted((tmp_path / "tb").rglob("events.*"))
    first = next(iter(story(sweep_store)))
    other = replace(first, facts={**first.facts, "digits.run_started": "1.0"})
    with pytest.raises(EnvironmentFailure, match="has another run of that name; name another folder with --at"):
        TensorBoard(tmp_path / "tb").send(other, other)
    assert sorted((tmp_path / "tb").rglob("events.*")) == before


def test_a_folder_that_cannot_be_written_is_one_line(sweep_store: Run) -> None:
    with pytest.raises(EnvironmentFailure, match=r"cannot write /proc/none/tiny: .*; name another folder with --at"):
        send(sweep_store, Path("/proc/none"))
