from dataclasses import replace

import numpy as np
import pytest
import torch

from digits_core.data import Split
from digits_core.engine import DeviceSplit, Diverged, Trainer, resolve_precision, seed_for, train
from digits_core.errors import UsageError
from digits_core.evaluate import load_weights, predict
from digits_core.metrics import score
from digits_core.models import build_model
from digits_core.recipe import Recipe, Scalar

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
    torch.manual_seed(2)  # what others do with the global stream does not matter
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
    while not first.finished:
        second.run_epoch()
        first.run_epoch()
    assert first.best is not None
    assert np.array_equal(first.best.validation_probabilities, alone.best.validation_probabilities)


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
    model = build_model(small().model, 8)
    load_weights(model, result.best.weights)
    data = DeviceSplit.from_split(tiny_split, CPU)
    assert np.array_equal(predict(model, data.validation.images), result.best.validation_probabilities)
    assert result.best.validation == score(tiny_split.validation.labels, result.best.validation_probabilities)


def test_predict_leaves_the_mode_as_it_was() -> None:
    model = build_model(Recipe().model, 8).train()
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


def test_zero_epochs_train_nothing(tiny_split: Split) -> None:
    with pytest.raises(UsageError, match=r"training\.epochs is 0"):
        train(small(training__epochs=0), tiny_split, CPU)


def test_precision_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digits_core.engine.has_native_bfloat16", lambda device: True)
    assert resolve_precision(small(training__precision="float32"), 28, CPU) == torch.float32
    assert resolve_precision(small(training__precision="bfloat16"), 8, CPU) == torch.bfloat16
    assert resolve_precision(small(), 28, CPU) == torch.bfloat16
    assert resolve_precision(small(), 8, CPU) == torch.float32
    assert resolve_precision(small(model__name="mlp"), 28, CPU) == torch.float32
    monkeypatch.setattr("digits_core.engine.has_native_bfloat16", lambda device: False)
    assert resolve_precision(small(), 28, CPU) == torch.float32


@pytest.mark.gpu
def test_cuda_learns(split: Split) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    result = train(Recipe().with_overrides({"training.epochs": 6}), split, torch.device("cuda"))
    assert result.best.validation.accuracy > 0.9
