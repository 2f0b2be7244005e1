import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from digits_core.data.digits import Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.recipe import Recipe
from digits_core.records import Assignment, Bundle
from digits_core.runs.durable import Content
from digits_core.runs.trial_folder import PREDICTIONS, STATE, Progress, TrialWriter
from digits_core.training.copies import DeviceSplit, Diverged
from sweeps.running.objective import Attempt, Company, States
from tests.helpers.training import train

CPU = torch.device("cpu")
RECIPE = Recipe().with_overrides({"training.epochs": 4, "model.width": 4, "model.hidden_units": 16})


class Alone:
    """A company of one trial."""

    def __init__(self, asked: Assignment, data: DeviceSplit, states: States = (None, None)) -> None:
        self.company = Company([asked], data, CPU, {asked.trial: states})
        (self.run,) = self.company.runs

    @property
    def epoch(self) -> int:
        return self.run.epoch

    def advance(self) -> Progress:
        (progress,) = self.company.advance()
        return progress


def start(recipe: Recipe, split: Split, state: Bundle | None = None) -> Alone:
    return Alone(Assignment(trial=7, recipe=recipe), DeviceSplit.from_split(split, CPU), (state, None))


def advanced(run: Alone, folder: TrialWriter, epochs: int) -> Progress:
    """Train for some epochs and keep what a driver keeps. Returns the last progress, with the best epoch's files."""
    best: dict[str, Content] = {}
    for _ in range(epochs):
        progress = run.advance()
        best.update(progress.best)
        if progress.state is not None:
            folder.write_state(progress.state)
    return replace(progress, best=best)


def predictions(progress: Progress) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = np.load(io.BytesIO(progress.best[PREDICTIONS]))
    return array


@pytest.fixture
def folder(tmp_path: Path) -> TrialWriter:
    return TrialWriter(tmp_path / "00007")


def test_after_every_epoch_the_driver_has_what_counts(tiny_split: Split, folder: TrialWriter) -> None:
    run = start(RECIPE, tiny_split)
    best: dict[str, Content] = {}
    for epoch in range(1, 5):
        progress = run.advance()
        best.update(progress.best)
        record = progress.record
        assert (record.curve[-1].epoch, record.status) == (epoch, "finished" if epoch == 4 else "stopped")
        assert record.validation is not None
        assert record.validation.nll == min(row.validation_nll for row in record.curve)
    expected = train(RECIPE, tiny_split, CPU)
    assert np.array_equal(predictions(replace(progress, best=best)), expected.best.validation_probabilities)
    folder.complete(record, best)
    assert set(folder.weights(progress.record)) == set(expected.best.weights)


def test_a_trial_that_diverges_fails_after_the_epochs_before_it(tiny_split: Split, folder: TrialWriter) -> None:
    recipe = RECIPE.with_overrides({"optimizer.name": "sgd", "optimizer.learning_rate": 100.0, "training.epochs": 50})
    run, record = start(recipe, tiny_split), None
    while record is None or record.status == "stopped":
        record = advanced(run, folder, 1).record
    assert record.status == "failed"
    assert record.failure.startswith("Diverged: the training loss is")
    assert len(record.curve) < 50


def test_a_recipe_that_cannot_start_is_refused(tiny_split: Split) -> None:
    with pytest.raises(UsageError, match="larger than the 200 training images"):
        start(RECIPE.with_overrides({"training.batch_size": 5000}), tiny_split)


@pytest.mark.usefixtures("every_state")
def test_an_interrupted_trial_resumes_and_reaches_the_same_bits(tiny_split: Split, folder: TrialWriter) -> None:
    cut = start(RECIPE, tiny_split)
    advanced(cut, folder, 2)
    again = start(RECIPE, tiny_split, folder.read_state())
    assert (again.epoch, again.run.started_at) == (2, cut.run.started_at)
    restored = again.advance()  # the driver may have died before it acted on this epoch
    assert (len(restored.record.curve), restored.record.status) == (2, "stopped")
    advanced(again, folder, 1)
    again = start(RECIPE, tiny_split, folder.read_state())
    assert again.epoch == 3
    last = advanced(again, folder, 2)
    assert last.record.status == "finished"
    expected = train(RECIPE, tiny_split, CPU)
    assert np.array_equal(predictions(last), expected.best.validation_probabilities)
    assert [row.train_loss for row in last.record.curve] == [row.train_loss for row in expected.curve]


@pytest.mark.usefixtures("every_state")
def test_the_first_progress_after_a_resumption_brings_the_best_epoch(tiny_split: Split, folder: TrialWriter) -> None:
    advanced(start(RECIPE, tiny_split), folder, 1)
    state = folder.read_state()
    assert state is not None
    state.facts["best"]["validation"]["nll"] = 0.0  # no later epoch is better
    again = start(RECIPE, tiny_split, state)
    assert np.array_equal(predictions(again.advance()), state.arrays["probabilities"])
    assert not again.advance().best  # once is enough


@pytest.mark.usefixtures("every_state")
def test_a_trial_whose_driver_died_before_its_record_is_not_trained_further(
    tiny_split: Split, folder: TrialWriter
) -> None:
    data, asked = DeviceSplit.from_split(tiny_split, CPU), Assignment(trial=7, recipe=RECIPE, last_epoch=2)
    first = advanced(Alone(asked, data), folder, 2).record
    again = advanced(Alone(asked, data, (folder.read_state(), None)), folder, 1).record
    assert again.curve == first.curve
    assert (again.status, again.keeps_state) == ("finished", True)


@pytest.mark.usefixtures("every_state")
def test_a_state_that_does_not_fit_is_not_used(tiny_split: Split, folder: TrialWriter) -> None:
    advanced(start(RECIPE, tiny_split), folder, 1)
    assert start(RECIPE, tiny_split, folder.read_state()).epoch == 1
    assert start(RECIPE.with_overrides({"model.width": 5}), tiny_split, folder.read_state()).epoch == 0
    assert start(RECIPE.with_overrides({"training.seed": 5}), tiny_split, folder.read_state()).epoch == 0
    path = folder.folder / STATE
    path.write_bytes(path.read_bytes()[:-100])
    assert folder.read_state() is None


@pytest.mark.usefixtures("every_state")
def test_a_child_continues_from_its_parent_s_state_but_not_from_its_best_epoch(
    tiny_split: Split, folder: TrialWriter
) -> None:
    advanced(start(RECIPE, tiny_split), folder, 2)
    data, asked = DeviceSplit.from_split(tiny_split, CPU), Assignment(trial=8, recipe=RECIPE, parent=7)
    child = Alone(asked, data, (None, folder.read_state()))
    record = child.advance().record
    assert (record.inherited_epochs, len(record.curve), record.best_epoch) == (2, 3, 3)
    with pytest.raises(EnvironmentFailure, match="the state of trial 7, from which this one continues, is missing"):
        Alone(asked, data)


def test_the_state_is_not_kept_after_every_short_epoch(tiny_split: Split) -> None:
    run = start(RECIPE, tiny_split)
    run.company.states_kept_at += 60  # the first epoch of a process imports more than it trains
    assert run.advance().state is None
    run.company.states_kept_at -= 61.0
    assert run.advance().state is not None


def test_a_company_brings_the_progress_of_each_of_its_trials(tiny_split: Split) -> None:
    data = DeviceSplit.from_split(tiny_split, CPU)
    asked = [
        Assignment(trial=n, recipe=RECIPE.with_overrides({"training.seed": n}), company=(3, 4, 5)) for n in (3, 4, 5)
    ]
    company = Company(asked, data, CPU)
    first = company.advance()
    assert [progress.record.trial for progress in first] == [3, 4, 5]
    assert {progress.record.execution for progress in first} == {"eager, 3 networks as one"}
    assert {progress.record.company for progress in first} == {(3, 4, 5)}
    assert {progress.record.status for progress in first} == {"stopped"}
    for progress in first:
        alone = train(progress.record.recipe, tiny_split, CPU)
        assert progress.record.curve[0].train_loss == pytest.approx(alone.curve[0].train_loss, rel=1e-5)
    company.runs[1].trained.copies[0].failure = Diverged("it went wrong")
    second = company.advance()
    assert [(progress.record.trial, progress.record.status) for progress in second] == [
        (3, "stopped"), (4, "failed"), (5, "stopped"),
    ]  # fmt: skip
    assert second[1].record.failure == "Diverged: it went wrong"
    third, last = company.advance(), company.advance()
    assert [progress.record.trial for progress in third] == [3, 5]  # the other one is over
    assert {progress.record.status for progress in last} == {"finished"}
    assert company.is_over


def test_what_breaks_a_company_s_network_ends_all_of_its_trials(
    tiny_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr("digits_core.training.engine.augmented", broken)
    data = DeviceSplit.from_split(tiny_split, CPU)
    attempt = Attempt([Assignment(trial=n, recipe=RECIPE, company=(0, 1)) for n in (0, 1)], data, CPU)
    assert [(one.record.trial, one.record.failure) for one in attempt.advance()] == [
        (0, "ValueError: no such thing"), (1, "ValueError: no such thing"),
    ]  # fmt: skip
