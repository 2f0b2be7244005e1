"""A split as a file: all that training needs, and nothing of the sealed labels."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from digits_core.data.digits import Digits, mixed
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.outside.predictions import aligned, read_predictions
from digits_core.outside.split import write_split

KEYS = {
    "train_images", "train_labels", "train_indices", "validation_images", "validation_labels", "validation_indices",
    "test_images", "test_indices", "name", "checksum", "split_id",
}  # fmt: skip


def test_a_split_is_written_as_a_run_has_it(tmp_path: Path, digits: Digits) -> None:
    counts = write_split(digits, tmp_path / "new" / "split.npz")
    assert counts == {"train": 1078, "validation": 360, "test": 359}
    with np.load(tmp_path / "new" / "split.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == KEYS
        for part, indices in zip(counts, digits.parts, strict=True):
            assert np.array_equal(arrays[f"{part}_indices"], indices)
            assert np.array_equal(arrays[f"{part}_images"], digits.images[indices])
            assert arrays[f"{part}_images"].dtype == np.uint8
            if part != "test":
                assert np.array_equal(arrays[f"{part}_labels"], digits.labels[indices])
        texts = [arrays[key][()] for key in ("name", "checksum", "split_id")]
    assert texts == ["sklearn-digits", digits.checksum, digits.split_id]


def test_the_test_labels_are_nowhere_in_the_file(tmp_path: Path, digits: Digits) -> None:
    write_split(digits, tmp_path / "split.npz")
    labels = digits.labels[digits.parts[2]]
    one_hot = np.eye(10)[labels]
    with zipfile.ZipFile(tmp_path / "split.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert set(members) == {f"{key}.npy" for key in KEYS}
    for name, content in members.items():
        for kind in (np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64):
            for form in (labels, labels[::-1], one_hot):
                assert form.astype(kind).tobytes() not in content, name
    other = labels.copy()
    other[:] = (labels + 1) % 10
    changed = digits.labels.copy()
    changed[digits.parts[2]] = other
    relabelled = Digits(name=digits.name, images=digits.images, labels=changed, provenance="")
    relabelled.__dict__["parts"] = digits.parts  # the same split
    write_split(relabelled, tmp_path / "relabelled.npz")
    with zipfile.ZipFile(tmp_path / "relabelled.npz") as archive:  # only the digests depend on them
        assert {name for name in members if archive.read(name) != members[name]} == {"checksum.npy", "split_id.npy"}


def test_a_mixture_is_numbered_as_one_set(tmp_path: Path, digits: Digits) -> None:
    own = Digits(name="own", images=digits.images[:9], labels=digits.labels[:9], provenance="")
    both = mixed("sklearn-digits+own", (digits, own))
    counts = write_split(both, tmp_path / "split.npz")
    assert counts == {"train": 1078 + 9, "validation": 360, "test": 359}  # too few to split: trained on
    with np.load(tmp_path / "split.npz") as arrays:
        assert arrays["train_indices"][-9:].tolist() == list(range(1797, 1806))
    with pytest.raises(
        UsageError, match=r"^own has 0 images of the digit 9, but splitting it needs at least 5 of each"
    ):
        write_split(own, tmp_path / "own.npz")
    assert not (tmp_path / "own.npz").exists()


def test_what_was_predicted_for_the_written_indices_comes_back_in_order(tmp_path: Path, digits: Digits) -> None:
    write_split(digits, tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as arrays:
        indices, labels = arrays["validation_indices"], arrays["validation_labels"]
    order = np.random.default_rng(0).permutation(len(indices))
    np.savez(tmp_path / "mine.npz", predictions=labels[order], labels=labels[order], indices=indices[order])
    (one,) = read_predictions(tmp_path / "mine.npz")
    put = aligned(one, digits.parts[1], digits.labels[digits.parts[1]].astype(np.int64), "the validation set")
    assert np.array_equal(put.predicted, digits.labels[digits.parts[1]])


def test_a_place_that_cannot_be_written(tmp_path: Path, digits: Digits) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(EnvironmentFailure, match=r"^cannot write .*/a/split\.npz: "):
        write_split(digits, tmp_path / "a" / "split.npz")
