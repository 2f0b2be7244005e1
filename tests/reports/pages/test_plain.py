from pathlib import Path

import numpy as np
import pytest

from digits_cli.printed.datasets import summary_document, summary_lines
from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, sealed_test_part, split_digits
from digits_core.errors import EnvironmentFailure, UsageError
from reports.pages.plain import write_dataset_page
from reports.rows.dataset import strip, summary_of
from tests.helpers.pages import Page


def test_counts_cover_training_and_validation_images(digits: Digits) -> None:
    summary, split = summary_of(load_digits("sklearn-digits")), split_digits(digits)
    assert summary.train_counts == tuple(np.bincount(split.train.labels))
    assert summary.validation_counts == tuple(np.bincount(split.validation.labels))
    assert summary.test_n == 359
    ones = split.train.images[split.train.labels == 1]
    assert summary.ink[1] == pytest.approx(ones.mean() / 255)


def test_no_sealed_image_is_among_the_examples(digits: Digits) -> None:
    sealed, _ = sealed_test_part(digits)
    shown = [
        row[:, start : start + 8]
        for row in summary_of(load_digits("sklearn-digits")).examples
        for start in range(0, row.shape[1], 9)
    ]
    assert len(shown) == 240
    hidden = {image.tobytes() for image in sealed.images}
    assert not any(np.ascontiguousarray(image).tobytes() in hidden for image in shown)


def test_a_strip_by_hand() -> None:
    images = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], dtype=np.uint8)
    assert strip(images).tolist() == [[1, 2, 0, 5, 6], [3, 4, 0, 7, 8]]


def test_the_page_needs_no_network_and_describes_its_images(tmp_path: Path) -> None:
    summary = summary_of(load_digits("sklearn-digits"))
    path = write_dataset_page(summary, tmp_path / "deep" / "page.html")
    text = path.read_text()
    page = Page(text)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == [f"Examples of {digit}" for digit in range(10)]
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert "http://" not in text
    assert "https://" not in text
    assert "359 sealed test images" in text
    document = summary_document(summary, path)
    assert sum(document["train_counts"]) == 1078
    assert "examples" not in document
    assert dict(summary_lines(summary, path))["sealed test"] == "359 images, not opened"


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    summary = summary_of(load_digits("sklearn-digits"))
    with pytest.raises(UsageError, match=r"must name an \.html file"):
        write_dataset_page(summary, tmp_path / "page.txt")
    with pytest.raises(EnvironmentFailure, match="cannot write"):
        write_dataset_page(summary, tmp_path / "file" / "page.html")
