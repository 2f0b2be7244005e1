import numpy as np
import pytest

from digits_core.data.corruptions import CORRUPTIONS, corrupted
from digits_core.data.digits import Digits
from digits_core.errors import UsageError


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_changes_images_and_is_repeatable(digits: Digits, kind: str) -> None:
    for images in (digits.images[:20], digits.images[:20].repeat(4, 1).repeat(4, 2)[:, 2:30, 2:30]):
        made = corrupted(images, kind)
        assert made.shape == images.shape
        assert made.dtype == np.uint8
        assert np.array_equal(made, corrupted(images, kind))
        assert np.array_equal(made[:5], corrupted(images[:5], kind))
        assert np.abs(made.astype(int) - images).mean() > 1


def test_corruptions_do_what_their_names_say() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 8:20, 12:16] = 255
    assert corrupted(image, "brightness")[0, 0, 0] > 50
    assert corrupted(image, "stripe")[0, 0, 14] == 255
    small = corrupted(image, "scale")
    assert 0.2 < (small > 127).sum() / (image > 127).sum() < 0.65
    moved = corrupted(image, "translate")
    rows, columns = (np.argwhere(moved[0] > 127).mean(axis=0) - np.argwhere(image[0] > 127).mean(axis=0)).tolist()
    assert 1.5 < abs(rows) < 5
    assert 1.5 < abs(columns) < 5
    assert len(CORRUPTIONS) == 15


def test_an_unknown_kind_suggests_the_closest() -> None:
    with pytest.raises(UsageError, match="did you mean 'rotate'"):
        corrupted(np.zeros((1, 8, 8), np.uint8), "rotat")
