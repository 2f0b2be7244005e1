from dataclasses import replace

import numpy as np
import pytest

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, sealed_test_part, split_digits
from digits_core.data.files import data_folder
from digits_core.errors import UsageError


def test_embedded_data_set(digits: Digits) -> None:
    assert digits.images.shape == (1797, 8, 8)
    assert digits.images.dtype == np.uint8
    assert len(np.unique(digits.images)) == 17  # 0..16, all levels distinct
    assert digits.images.max() == 255
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_split_covers_everything_once_and_is_stratified(digits: Digits) -> None:
    split = split_digits(digits)
    test, test_indices = sealed_test_part(digits)
    assert (len(split.train), len(split.validation), len(test)) == (1078, 360, 359)
    assert not set(split.validation_indices) & set(test_indices)
    assert np.array_equal(digits.images[split.validation_indices], split.validation.images)
    for part in (split.train, split.validation, test):
        share = np.bincount(part.labels, minlength=10) / len(part)
        assert np.abs(share - 0.1).max() < 0.01


def test_split_is_deterministic_and_its_id_depends_on_the_images(digits: Digits) -> None:
    assert split_digits(digits).split_id == split_digits(digits).split_id
    shuffled = replace(digits, images=digits.images[::-1].copy(), labels=digits.labels[::-1].copy())
    assert split_digits(shuffled).split_id != split_digits(digits).split_id
    assert shuffled.checksum != digits.checksum


def test_published_test_set_is_the_sealed_one(digits: Digits) -> None:
    published = replace(digits, published_test_count=297)
    test, indices = sealed_test_part(published)
    assert indices.tolist() == list(range(1500, 1797))
    assert np.array_equal(test.images, digits.images[1500:])
    assert split_digits(published).validation_indices.max() < 1500
    assert published.published_name(1500) == "test 0"
    assert published.published_name(7) == "train 7"
    assert digits.published_name(7) == "7"


def test_unknown_data_set_suggests_the_closest() -> None:
    with pytest.raises(UsageError, match="did you mean 'mnist'"):
        load_digits("mnits")


@pytest.mark.mnist
def test_real_mnist() -> None:
    mnist = load_digits("mnist")
    assert mnist.images.shape == (70_000, 28, 28)
    assert mnist.labels[:5].tolist() == [5, 0, 4, 1, 9]  # the well-known first five
    assert mnist.labels[60_000:60_005].tolist() == [7, 2, 1, 0, 4]
    assert mnist.images[0].sum() == 27_525
    split = split_digits(mnist)
    assert (len(split.train), len(split.validation)) == (55_000, 5_000)
    assert split.validation_indices.max() < 60_000


@pytest.mark.mnist
def test_sklearn_digits_are_the_test_half_of_optdigits(digits: Digits) -> None:
    optdigits, pooled = load_digits("optdigits"), load_digits("optdigits-pooled")
    assert (len(optdigits), optdigits.published_test_count) == (5_620, 1_797)
    assert np.array_equal(optdigits.images[3_823:], digits.images)
    assert np.array_equal(optdigits.labels[3_823:], digits.labels)
    assert pooled.published_test_count == 0
    assert len(sealed_test_part(pooled)[0]) == 1_124


@pytest.mark.mnist
def test_real_mnist_equals_what_torchvision_reads() -> None:
    from torchvision.datasets import MNIST

    mnist = load_digits("mnist")
    for train, part in ((True, slice(0, 60_000)), (False, slice(60_000, None))):
        theirs = MNIST(root=str(data_folder()), train=train, download=False)
        assert np.array_equal(mnist.images[part], theirs.data.numpy())
        assert np.array_equal(mnist.labels[part], theirs.targets.numpy())
