import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, sealed_test_part
from digits_core.data.folds import fold_digits
from digits_core.errors import UsageError


@settings(max_examples=8)
@given(count=st.integers(min_value=2, max_value=20))
def test_every_image_is_held_out_exactly_once(digits: Digits, count: int) -> None:
    folds = fold_digits(digits, count)
    held_out = np.concatenate([split.validation_indices for split in folds.splits])
    assert np.array_equal(np.sort(held_out), folds.validation_indices)
    for split, positions in zip(folds.splits, folds.positions, strict=True):
        assert len(split.train) + len(split.validation) == len(folds.validation_indices)
        assert np.array_equal(digits.images[split.validation_indices], split.validation.images)
        assert np.array_equal(folds.validation.labels[positions], split.validation.labels)
    assert folds.train_count == min(len(split.train) for split in folds.splits)


def test_the_sealed_test_set_stays_out(digits: Digits) -> None:
    folds = fold_digits(digits, 3)
    _, sealed = sealed_test_part(digits)
    assert len(folds.validation_indices) == len(digits) - len(sealed) == 1438
    assert not set(folds.validation_indices) & set(sealed)


def test_folds_are_deterministic_and_their_id_has_their_number(digits: Digits) -> None:
    first, again, other = fold_digits(digits, 4), fold_digits(digits, 4), fold_digits(digits, 5)
    assert first.split_id == again.split_id == f"4-folds-{digits.split_id}"
    assert np.array_equal(first.positions[0], again.positions[0])
    assert other.split_id != first.split_id


def test_more_folds_than_images_of_a_digit_are_refused(digits: Digits) -> None:
    with pytest.raises(
        UsageError,
        match=r"--folds 200 is too many: sklearn-digits has only 139 images of its rarest digit, 8; use at most 139",
    ):
        fold_digits(digits, 200)


@pytest.mark.mnist
def test_a_pool_is_split_into_folds_as_a_whole() -> None:
    folds = fold_digits(load_digits("optdigits-pooled"), 4)
    assert len(folds.validation) == 5_620
    assert [len(split.validation) for split in folds.splits] == [1_405] * 4
    assert np.bincount(folds.validation.labels).tolist() == [554, 571, 557, 572, 568, 558, 558, 566, 554, 562]
