from dataclasses import replace

import numpy as np
import pytest
import torch

from digits_core.data.digits import Digits
from digits_core.data.folds import fold_digits
from digits_core.errors import UsageError
from digits_core.metrics import score
from digits_core.recipe import Recipe
from digits_core.recipes import named_recipe
from digits_core.training.copies import Copy, DeviceSplit
from digits_core.training.crew import Crew
from digits_core.training.cross_validation import Folded, fitted, folded, pooled, trained_by, upload
from digits_core.training.engine import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small(digits: Digits) -> Digits:
    return replace(digits, images=digits.images[:300], labels=digits.labels[:300])


def recipe(**overrides: object) -> Recipe:
    base = {"training.epochs": 2, "model.name": "mlp", "training.keep": "last"}
    return Recipe().with_overrides({**base, **{k.replace("__", "."): v for k, v in overrides.items()}})  # type: ignore[arg-type]


def test_out_of_fold_predictions_are_those_of_each_folds_own_training(small: Digits) -> None:
    folds = fold_digits(small, 3)
    plain = recipe(optimizer__name="sgd")  # adam divides by gradients that are rounding alone, as those of dead biases
    together = Folded(plain, upload(folds, CPU))  # type: ignore[arg-type]
    crew = Crew([together], CPU)
    while not together.finished:
        crew.run_epoch()
    assert together.best is not None
    assert len(together.curve) == 2
    for number, (split, positions) in enumerate(zip(folds.splits, folds.positions, strict=True)):
        trainer = Trainer(plain, DeviceSplit.from_split(split, CPU), CPU)
        alone = trainer.copy
        while not alone.finished:
            trainer.advance()
        assert alone.best is not None
        said = together.best.validation_probabilities[positions]
        assert np.allclose(said, alone.best.validation_probabilities, atol=1e-5)
        assert together.fold_scores[number].error_count == alone.best.validation.error_count
        for name, value in alone.best.weights.items():
            assert np.allclose(together.best.weights[f"fold{number}.{name}"], value, atol=1e-3), name
    assert together.best.validation == score(folds.validation.labels, together.best.validation_probabilities)
    last = together.curve[-1]
    assert last.validation_n == len(folds.validation)
    assert last.train_n == 2 * len(folds.validation)
    assert last.validation_error_count == together.best.validation.error_count
    assert last.validation_nll == pytest.approx(together.best.validation.nll, rel=1e-6)


def test_rows_are_pooled_by_the_images_behind_them(tiny_split: object) -> None:
    trainer = Trainer(recipe(), DeviceSplit.from_split(tiny_split, CPU), CPU)  # type: ignore[arg-type]
    row = trainer.advance()
    twice = pooled([row, replace(row, train_loss=row.train_loss + 3, train_n=2 * row.train_n)])
    assert twice.train_loss == pytest.approx(row.train_loss + 2)
    assert twice.train_n == 3 * row.train_n
    assert twice.seconds == 2 * row.seconds
    assert twice.validation_nll == pytest.approx(row.validation_nll)


def test_the_last_epoch_counts_in_a_fold() -> None:
    assert folded(recipe(training__keep="best")) == recipe()
    assert folded(recipe()) == recipe()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"schedule__name": "plateau"}, r"schedule.name=plateau would steer training by the images"),
        ({"training__patience_epochs": 3}, r"training.patience_epochs=3 would steer"),
    ],
)
def test_recipes_that_train_by_the_held_out_images_are_refused(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        folded(recipe(**overrides))


def test_a_batch_must_fit_the_smallest_fold(small: Digits) -> None:
    folds = fold_digits(small, 2)
    with pytest.raises(UsageError, match=f"larger than the {folds.train_count} training images"):
        fitted(recipe(training__batch_size=200), small.side, folds)


def test_a_trial_trains_one_network_or_one_per_fold(small: Digits, tiny_split: object) -> None:
    assert isinstance(trained_by(recipe(), upload(tiny_split, CPU)), Copy)  # type: ignore[arg-type]
    assert isinstance(trained_by(recipe(), upload(fold_digits(small, 2), CPU)), Folded)


@pytest.mark.mnist
def test_the_scaler_is_fitted_on_each_folds_own_training_images() -> None:
    from digits_core.data.datasets import load_digits

    folds = fold_digits(load_digits("optdigits-pooled"), 4)
    trained = Folded(folded(named_recipe("kfold-cnn").build()), upload(folds, CPU))  # type: ignore[arg-type]
    for split, inner in zip(folds.splits, Crew([trained], CPU).stacks, strict=True):
        expected = (split.train.images / 255.0).mean(axis=0)
        fitted = [value for name, value in inner.model.state_dict().items() if name.endswith("mean")]
        assert np.allclose(fitted[0].reshape(8, 8), expected, atol=1e-5)
