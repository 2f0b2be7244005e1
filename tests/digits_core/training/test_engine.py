from dataclasses import replace

import numpy as np
import pytest
import torch

from digits_core.data.digits import Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.metrics import score
from digits_core.recipe import LOSSES, OPTIMIZERS, SCHEDULES, STILL, Recipe, Scalar
from digits_core.training.copies import DeviceSplit, Diverged, split_order
from digits_core.training.engine import Trainer, check_fit, resolve_precision, seed_for
from digits_core.training.evaluate import load_weights, predict
from digits_core.training.models import build_model
from tests.helpers.training import train

CPU = torch.device("cpu")
SMALL: dict[str, Scalar] = {"training.epochs": 3, "model.width": 8, "model.hidden_units": 32}


def small(**overrides: Scalar) -> Recipe:
    return Recipe().with_overrides(SMALL).with_overrides({k.replace("__", "."): v for k, v in overrides.items()})


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["cnn", "lenet", "mlp", "resnet"])
def test_same_seed_same_bits(tiny_split: Split, name: str, precision: str) -> None:
    recipe = small(model__name=name, training__precision=precision)
    torch.manual_seed(1)
    first = train(recipe, tiny_split, CPU)
    torch.manual_seed(2)  # the state of the global generator does not matter
    second = train(recipe, tiny_split, CPU)
    assert np.array_equal(first.best.validation_probabilities, second.best.validation_probabilities)
    for key, value in first.best.weights.items():
        assert np.array_equal(value, second.best.weights[key]), key


def test_another_seed_gives_another_model(tiny_split: Split) -> None:
    first, second = (train(small(training__seed=seed), tiny_split, CPU) for seed in (0, 1))
    assert not np.array_equal(first.best.validation_probabilities, second.best.validation_probabilities)


def test_two_interleaved_trainers_do_not_disturb_each_other(tiny_split: Split) -> None:
    data = DeviceSplit.from_split(tiny_split, CPU)
    alone = train(small(), tiny_split, CPU)
    first, second = Trainer(small(), data, CPU), Trainer(small(training__seed=5), data, CPU)
    while not first.copy.finished:
        second.run_epoch()
        first.run_epoch()
    assert first.copy.best is not None
    assert np.array_equal(first.copy.best.validation_probabilities, alone.best.validation_probabilities)


def test_of_two_equally_good_epochs_the_earlier_counts(tiny_split: Split) -> None:
    second_nll = train(small(), tiny_split, CPU).curve[1].validation_nll
    trainer = Trainer(small(), DeviceSplit.from_split(tiny_split, CPU), CPU)
    trainer.run_epoch()
    one = trainer.copy
    assert one.best is not None
    one.best = replace(one.best, validation=replace(one.best.validation, nll=second_nll))
    assert trainer.advance().validation_nll == second_nll
    assert one.best.epoch == 1


def test_global_random_state_is_left_alone(tiny_split: Split) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(small(), tiny_split, CPU)
    assert torch.equal(torch.rand(4), expected)


def test_streams_are_independent_and_stable() -> None:
    names = ("init", "order", "augmentation", "dropout")
    seeds = [seed_for(s, name, epoch) for s in range(3) for name in names for epoch in range(3)]
    assert len(set(seeds)) == len(seeds)
    assert seed_for(0, "init") == 7290039654019473914


def test_shared_images_are_not_copied_and_not_written_to(tiny_split: Split) -> None:
    before = tiny_split.train.images.copy()
    data = DeviceSplit.from_split(tiny_split, CPU)
    assert data.train.images.data_ptr() == tiny_split.train.images.ctypes.data
    train(small(), tiny_split, CPU)
    assert np.array_equal(tiny_split.train.images, before)


def test_best_epoch_is_the_lowest_validation_nll(tiny_split: Split) -> None:
    result = train(small(training__epochs=6, optimizer__learning_rate=0.02), tiny_split, CPU)
    nll = [row.validation_nll for row in result.curve]
    assert result.best.epoch == 1 + nll.index(min(nll))
    assert result.best.validation.nll == min(nll)
    assert [row.epoch for row in result.curve] == [1, 2, 3, 4, 5, 6]
    assert all(row.train_n == 200 and row.validation_n == 100 and row.busy_seconds > 0 for row in result.curve)


def test_stored_weights_give_the_stored_predictions(tiny_split: Split) -> None:
    result = train(small(training__precision="float32"), tiny_split, CPU)
    model = build_model(small(), 8)
    load_weights(model, result.best.weights)
    data = DeviceSplit.from_split(tiny_split, CPU)
    assert np.array_equal(predict(model, data.validation.images), result.best.validation_probabilities)
    assert result.best.validation == score(tiny_split.validation.labels, result.best.validation_probabilities)


def test_predict_leaves_the_mode_as_it_was() -> None:
    model = build_model(Recipe(), 8).train()
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    assert predict(model, images).shape == (3, 10)
    assert model.training


def test_it_learns(split: Split) -> None:
    result = train(Recipe().with_overrides({"training.epochs": 6, "training.batch_size": 32}), split, CPU)
    assert result.best.validation.accuracy > 0.93


def test_divergence_stops_at_once_and_names_the_epoch(tiny_split: Split) -> None:
    recipe = small(optimizer__name="sgd", optimizer__learning_rate=100.0, schedule__name="constant")
    with pytest.raises(Diverged, match=r"epoch \d"):
        train(replace(recipe, training=replace(recipe.training, epochs=50)), tiny_split, CPU)


def test_batch_larger_than_the_data_is_refused(tiny_split: Split) -> None:
    with pytest.raises(UsageError, match="201 is larger than the 200 training images"):
        train(small(training__batch_size=201), tiny_split, CPU)


def test_zero_epochs_train_nothing() -> None:
    with pytest.raises(UsageError, match=r"training\.epochs is 0"):
        check_fit(small(training__epochs=0), 8, 200)


def test_precision_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digits_core.training.engine.has_native_bfloat16", lambda device: True)
    assert resolve_precision(small(training__precision="float32"), 28, CPU) == torch.float32
    assert resolve_precision(small(training__precision="bfloat16"), 8, CPU) == torch.bfloat16
    assert resolve_precision(small(), 28, CPU) == torch.bfloat16
    assert resolve_precision(small(), 8, CPU) == torch.float32
    assert resolve_precision(small(input__side=28), 8, CPU) == torch.bfloat16
    assert resolve_precision(small(model__name="mlp"), 28, CPU) == torch.float32
    monkeypatch.setattr("digits_core.training.engine.has_native_bfloat16", lambda device: False)
    assert resolve_precision(small(), 28, CPU) == torch.float32


RICH: dict[str, Scalar] = {
    "input.side": 12,
    "input.normalization": "per-pixel",
    "loss.label_smoothing": 0.1,
    "augmentation.elastic_fraction": 0.05,
    "augmentation.erasing_probability": 0.5,
    "training.ema_decay": 0.9,
    "training.gradient_clip": 1.0,
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_is_reproducible_and_its_stored_weights_give_its_predictions(
    tiny_split: Split, optimizer: str
) -> None:
    recipe = small(optimizer__name=optimizer, training__precision="float32").with_overrides(RICH)
    first, second = train(recipe, tiny_split, CPU), train(recipe, tiny_split, CPU)
    assert np.array_equal(first.best.validation_probabilities, second.best.validation_probabilities)
    model = build_model(recipe, 8)
    load_weights(model, first.best.weights)
    data = DeviceSplit.from_split(tiny_split, CPU)
    assert np.array_equal(predict(model, data.validation.images), first.best.validation_probabilities)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_and_schedule_learns(tiny_split: Split, loss: str, schedule: str) -> None:
    recipe = small(
        loss__name=loss, schedule__name=schedule, training__epochs=10, training__batch_size=20
    ).with_overrides({"schedule.gamma": 0.9, "model.dropout": 0.0})
    assert train(recipe, tiny_split, CPU).best.validation.accuracy > 0.5  # after 100 steps; chance is 0.1


def test_a_weight_average_changes_what_is_kept_but_not_the_training(tiny_split: Split) -> None:
    plain, averaged = (train(small(training__ema_decay=decay), tiny_split, CPU) for decay in (0.0, 0.9))
    assert [row.train_loss for row in plain.curve] == [row.train_loss for row in averaged.curve]
    assert not np.array_equal(plain.best.validation_probabilities, averaged.best.validation_probabilities)
    assert set(plain.best.weights) == set(averaged.best.weights)


def test_the_mean_of_the_last_epochs_weights_is_kept(tiny_split: Split) -> None:
    recipe = small(training__epochs=4, training__average_epochs=2, training__keep="last")
    plain = Trainer(small(training__epochs=4, training__keep="last"), DeviceSplit.from_split(tiny_split, CPU), CPU)
    weights = []
    while not plain.copy.finished:
        plain.advance()
        weights.append({name: value.numpy().copy() for name, value in plain.model.state_dict().items()})
    averaged = train(recipe, tiny_split, CPU)
    assert [row.train_loss for row in averaged.curve] == [row.train_loss for row in plain.copy.curve]
    nlls, plain_nlls = ([row.validation_nll for row in curve] for curve in (averaged.curve, plain.copy.curve))
    assert nlls[:3] == plain_nlls[:3]  # the mean of one is itself
    assert nlls[3] != plain_nlls[3]
    for name, value in averaged.best.weights.items():
        if value.dtype == np.float32:
            assert np.allclose(value, (weights[2][name] + weights[3][name]) / 2, atol=1e-6), name


def test_the_last_epochs_can_be_trained_without_augmentation(tiny_split: Split) -> None:
    recipe = small(training__epochs=3, model__dropout=0.0)
    augmented, still, partly = (
        train(recipe.with_overrides({"augmentation.still_epochs": count}), tiny_split, CPU) for count in (0, 3, 1)
    )
    never = train(replace(recipe, augmentation=STILL), tiny_split, CPU)
    losses = [[row.train_loss for row in one.curve] for one in (augmented, still, partly, never)]
    assert losses[1] == losses[3]
    assert losses[2][:2] == losses[0][:2]
    assert losses[2][2] < losses[0][2]  # images as they are are easier


def test_patience_stops_after_that_many_epochs_without_a_new_best(tiny_split: Split) -> None:
    recipe = small(
        training__epochs=60, training__patience_epochs=2, optimizer__learning_rate=0.05, schedule__name="constant"
    )
    result = train(recipe, tiny_split, CPU)
    nlls = [row.validation_nll for row in result.curve]
    assert len(nlls) < 60
    assert len(nlls) == result.best.epoch + 2
    assert min(nlls) == nlls[result.best.epoch - 1]


def test_the_last_epoch_can_be_the_one_that_counts(tiny_split: Split) -> None:
    recipe = small(training__epochs=20, training__keep="last", optimizer__learning_rate=0.05, schedule__name="constant")
    result = train(recipe, tiny_split, CPU)
    assert result.best.epoch == 20
    assert result.best.validation.nll == result.curve[-1].validation_nll > min(r.validation_nll for r in result.curve)


def test_a_clipped_gradient_takes_a_small_step(tiny_split: Split) -> None:
    def distance(clip: float) -> float:
        recipe = small(
            training__epochs=1, training__gradient_clip=clip, optimizer__name="sgd", optimizer__momentum=0.0,
            optimizer__weight_decay=0.0, training__batch_size=200, schedule__name="constant",
            optimizer__learning_rate=1.0,
        )  # fmt: skip
        trainer = Trainer(recipe, DeviceSplit.from_split(tiny_split, CPU), CPU)
        before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        trainer.run_epoch()
        moved = zip(before, trainer.model.parameters(), strict=True)
        return float(torch.stack([(a - b.detach()).square().sum() for a, b in moved]).sum().sqrt())

    assert distance(0.01) == pytest.approx(0.01, rel=1e-3)
    assert distance(0.0) > 0.1


def test_out_of_gpu_memory_names_what_did_not_fit_and_a_fix(tiny_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    trainer = Trainer(small(), DeviceSplit.from_split(tiny_split, CPU), CPU)
    monkeypatch.setattr(trainer, "forward", full)
    with pytest.raises(EnvironmentFailure, match=r"training\.batch_size=64 .* try 32"):
        trainer.run_epoch()
    monkeypatch.setattr("digits_core.training.engine.fit_preprocessing", full)
    with pytest.raises(
        EnvironmentFailure, match=rf"this network of {trainer.parameter_count:,} parameters; stop other"
    ):
        Trainer(small(), trainer.copy.data, CPU)
    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.raises(EnvironmentFailure, match="too small for the data set; stop other programs that use much of it"):
        DeviceSplit.from_split(tiny_split, CPU)


@pytest.mark.gpu
def test_cuda_learns(split: Split) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    result = train(Recipe().with_overrides({"training.epochs": 6}), split, torch.device("cuda"))
    assert result.best.validation.accuracy > 0.9


@pytest.mark.gpu
def test_a_captured_step_learns_what_an_eager_one_does(split: Split) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = torch.device("cuda")
    nlls = {}
    for compiled, expected in (("auto", "CUDA graph"), ("off", "eager")):
        recipe = Recipe().with_overrides(
            {"training.epochs": 4, "training.compile": compiled, "training.precision": "float32", "model.dropout": 0.0}
        )
        trainer = Trainer(recipe, DeviceSplit.from_split(split, device), device)
        while not trainer.copy.finished:
            row = trainer.advance()
        nlls[compiled] = row.validation_nll
        assert trainer.execution == expected
    assert nlls["auto"] == pytest.approx(nlls["off"], rel=0.2)


@pytest.mark.gpu
def test_a_new_step_is_captured_where_the_augmentation_ends(split: Split) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    recipe = Recipe().with_overrides({"training.epochs": 4, "augmentation.still_epochs": 2, "model.dropout": 0.0})
    trainer = Trainer(recipe, DeviceSplit.from_split(split, torch.device("cuda")), torch.device("cuda"))
    losses = [trainer.advance().train_loss for _ in range(4)]
    assert trainer.execution == "CUDA graph"
    assert losses[2] < losses[1] / 1.5


@pytest.mark.parametrize(("compiled", "execution"), [("auto", "eager"), ("off", "eager"), ("on", "torch.compile")])
def test_execution_names_how_steps_are_run(tiny_split: Split, compiled: str, execution: str) -> None:
    trainer = Trainer(small(training__compile=compiled), DeviceSplit.from_split(tiny_split, CPU), CPU)
    assert trainer.execution == execution


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(10, 5, [5, 5]), (11, 5, [5, 6]), (12, 5, [5, 5, 2]), (3, 5, [3]), (3, 1, [1, 1, 1]), (1, 5, [1])],
)
def test_no_image_is_left_alone_in_the_last_batch(count: int, size: int, lengths: list[int]) -> None:
    batches = split_order(torch.arange(count), size)
    assert [len(batch) for batch in batches] == lengths
    assert torch.equal(torch.cat(batches), torch.arange(count))
