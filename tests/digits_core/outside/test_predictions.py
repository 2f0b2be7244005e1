"""Predictions made outside digits: what is read, and the line that says what is wrong."""

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.metrics import check_probabilities
from digits_core.outside.predictions import aligned, read_labels_file, read_predictions
from digits_core.runs.durable import LARGEST_GAP
from tests.helpers.handed_in import LABELS, LOGITS, ONE, POSITIONS, PREDICTED, SEEDS, N, frame, line_of

# --- what is read ---


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_an_npz_of_probabilities(tmp_path: Path, kind: type) -> None:
    np.savez(tmp_path / "my net.npz", probabilities=ONE.astype(kind), labels=LABELS, ids=POSITIONS)
    (one,) = read_predictions(tmp_path / "my net.npz")
    assert (one.model, one.seed, one.source) == ("my net", "", tmp_path / "my net.npz")
    assert one.probabilities is not None
    assert one.probabilities.dtype == np.float32
    assert np.abs(one.probabilities - ONE).max() < 1e-3
    assert one.predicted.tolist() == PREDICTED.tolist()
    assert one.labels is not None
    assert one.labels.tolist() == LABELS.tolist()
    assert one.indices is not None
    assert one.indices.tolist() == POSITIONS.tolist()


def test_single_precision_stays_as_it_is_and_rounded_values_sum_to_one(tmp_path: Path) -> None:
    single = ONE.astype(np.float32)
    np.savez(tmp_path / "a.npz", probabilities=single)
    (one,) = read_predictions(tmp_path / "a.npz")
    assert one.probabilities is not None
    assert one.probabilities.tobytes() == single.tobytes()
    rounded = np.full((N, 10), 0.0995)  # sums to 0.995
    np.savez(tmp_path / "b.npz", probabilities=rounded)
    (two,) = read_predictions(tmp_path / "b.npz")
    assert two.probabilities is not None
    assert np.abs(two.probabilities.sum(axis=1) - 1).max() < 1e-6
    frame().round(3).to_csv(tmp_path / "c.csv", index=False)
    (three,) = read_predictions(tmp_path / "c.csv")
    assert three.probabilities is not None
    assert np.abs(three.probabilities.sum(axis=1) - 1).max() <= LARGEST_GAP
    check_probabilities(LABELS, three.probabilities)


def test_an_npz_of_several_seeds(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", probabilities=SEEDS, seed=[7, 8, 11], model="cnn 24")
    assert [(one.model, one.seed) for one in read_predictions(tmp_path / "a.npz")] == [
        ("cnn 24", "7"),
        ("cnn 24", "8"),
        ("cnn 24", "11"),
    ]
    np.savez(tmp_path / "b.npz", predictions=SEEDS.argmax(axis=2).astype(np.uint8))
    found = read_predictions(tmp_path / "b.npz")
    assert [one.seed for one in found] == ["0", "1", "2"]
    for one, probabilities in zip(found, SEEDS, strict=True):
        assert one.predicted.dtype == np.int64
        assert one.predicted.tolist() == probabilities.argmax(axis=1).tolist()
        assert one.probabilities is None
    np.savez(tmp_path / "c.npz", probabilities=ONE, predictions=PREDICTED.astype(float), seed=3.0, model=b"svm")
    (one,) = read_predictions(tmp_path / "c.npz")
    assert (one.model, one.seed) == ("svm", "3")


def test_of_a_tie_either_digit_may_be_predicted(tmp_path: Path) -> None:
    tied = np.tile([0.4, 0.1, 0.4, 0.1, 0, 0, 0, 0, 0, 0], (N, 1))
    np.savez(tmp_path / "a.npz", probabilities=tied, predictions=np.full(N, 2))
    (one,) = read_predictions(tmp_path / "a.npz")
    assert set(one.predicted) == {2}
    np.savez(tmp_path / "b.npz", probabilities=tied, predictions=np.full(N, 3))
    assert "12 of 12 predictions are not the likeliest digit by the probabilities, first in row 1" in line_of(
        tmp_path / "b.npz"
    )


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\x1b[31mred\nline", "a[31mred line"),
        ("\u202etxt", "txt"),
        ("\x01", "unnamed"),
        ("", "a"),
        ("x" * 81, "x" * 77 + "..."),
        ("<b>größe</b>", "<b>größe</b>"),
    ],
)
def test_names_of_models_are_safe_to_show(tmp_path: Path, given: str, shown: str) -> None:
    np.savez(tmp_path / "a.npz", predictions=PREDICTED, model=given)
    assert [one.model for one in read_predictions(tmp_path / "a.npz")] == [shown]


# --- files that are none ---


def cut_off(path: Path) -> None:
    np.savez(path, probabilities=ONE)
    path.write_bytes(path.read_bytes()[:-200])


def with_header(path: Path, shape: tuple[int, ...]) -> None:
    """An array whose header promises more than there is."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("probabilities.npy", header.getvalue() + bytes(80))


NO_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("a.npz", lambda path: None, "there is no file"),
    "below a file": ("a.csv/b.npz", lambda path: path.parent.write_text("x"), "there is no file"),
    "folder": ("a.npz", Path.mkdir, "is a folder; name a .npz, .csv or .parquet file in it"),
    "pipe": ("a.csv", os.mkfifo, "is not a regular file"),
    "empty": ("a.csv", Path.touch, "is empty; write it again"),
    "pickle": ("a.pkl", lambda path: path.write_text("x"), "is not a .npz, .csv or .parquet file; write one of these"),
    "npy": ("a.npy", lambda path: np.save(path, ONE), "is not a .npz, .csv or .parquet file"),
    "text as npz": (
        "a.npz",
        lambda path: path.write_text("x,y\n1,2\n"),
        "is not an NPZ file of plain arrays; write it",
    ),
    "cut-off npz": ("a.npz", cut_off, "is not an NPZ file of plain arrays; write it again with np.savez"),
    "objects": (
        "a.npz",
        lambda path: np.savez(path, predictions=np.array([1, None])),
        "is not an NPZ file of plain arrays (pickled objects are never loaded); write it again with np.savez",
    ),
    "huge header": ("a.npz", lambda path: with_header(path, (10**12, 10)), "is not an NPZ file of plain arrays; write"),
    "text as parquet": ("a.parquet", lambda path: path.write_text("x,y\n1,2\n"), "is not a whole Parquet file ("),
    "binary csv": ("a.csv", lambda path: path.write_bytes(b"PK\3\4\0\0\0\0\n\0\1"), "is not a CSV table; write one in"),
    "Latin-1": (
        "a.csv",
        lambda path: path.write_bytes(b"prediction,model\n1,gr\xf6\xdfe\n"),
        "is not UTF-8 text; save",
    ),
    "header only": ("a.csv", lambda path: path.write_text("index,prediction\n"), "has no rows"),
    "blank": ("a.csv", lambda path: path.write_text("\n \n"), "is not a CSV table; write one in UTF-8"),
}


@pytest.mark.parametrize("case", NO_FILES)
def test_files_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    name, make, message = NO_FILES[case]
    make(tmp_path / name)
    assert message in line_of(tmp_path / name)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(EnvironmentFailure, match=rf"^cannot read {re.escape(str(tmp_path))}/a\.csv: Too many levels"):
        read_predictions(tmp_path / "a.csv")


# --- arrays that are none ---

BROKEN = ONE.copy()
BROKEN[4, 2] = np.nan
SIGMOID = 1 / (1 + np.exp(-LOGITS[0]))
ARRAYS: dict[str, tuple[dict[str, object], str]] = {
    "nothing": ({}, "has no predictions, but the arrays nothing; name them np.savez(FILE, probabilities=...)"),
    "unnamed": ({"arr_0": ONE}, "has no predictions, but the arrays 'arr_0'; name them"),
    "labels only": ({"labels": LABELS}, "has no predictions, but the arrays 'labels'"),
    "twice": ({"labels": LABELS, "Label": LABELS, "pred": LABELS}, "'labels', 'Label' both mean labels; keep one"),
    "nan": ({"probabilities": BROKEN}, "its probabilities contain NaN or infinity"),
    "infinity": ({"predictions": [1, np.inf]}, "its predictions contain NaN or infinity"),
    "logits": ({"probabilities": LOGITS[0]}, "are negative in places; these look like logits: apply softmax first"),
    "positive logits": ({"probabilities": LOGITS[0] + 20}, "exceed 1 in places; these look like logits: apply softmax"),
    "logarithms": ({"probabilities": np.log(ONE)}, "look like their logarithms: apply exp first"),
    "percent": ({"probabilities": ONE * 100}, "sum to 100: they are percent; divide them by 100"),
    "sigmoid": ({"probabilities": SIGMOID}, "in row 1, not to one; they need a softmax, not a sigmoid"),
    "two decimals": ({"probabilities": np.full((N, 10), 0.097)}, "sum to 0.97 in row 1, not to one; write more dec"),
    "11 columns": ({"probabilities": np.full((N, 11), 1 / 11)}, "have shape (12, 11); write one row per image and ten"),
    "9 columns": ({"probabilities": np.full((N, 9), 1 / 9)}, "have shape (12, 9); write one row per image and ten"),
    "one dimension": ({"probabilities": ONE[0]}, "have shape (10,); write one row per image and ten columns"),
    "transposed": ({"probabilities": ONE.T}, "have shape (10, 12), images last; write probabilities.T"),
    "all transposed": ({"probabilities": SEEDS.swapaxes(1, 2)}, "images last; write probabilities.swapaxes(1, 2)"),
    "seeds second": ({"probabilities": SEEDS.swapaxes(0, 1)}, "have shape (12, 3, 10); write seeds first, (S, N, 10)"),
    "no images": ({"probabilities": np.zeros((0, 10))}, "its probabilities have shape (0, 10): there are none"),
    "text": ({"predictions": ["one", "two"]}, "its predictions are of type <U3, not numbers"),
    "raw bytes": ({"probabilities": ONE.astype("V8")}, "its probabilities are of type |V8, not numbers"),
    "columns of seeds": ({"predictions": PREDICTED[:, np.newaxis]}, "have shape (12, 1); write (N,), or seeds first"),
    "named wrongly": ({"predictions": ONE}, "its predictions have ten columns of fractions; call them probabilities"),
    "fractions": ({"predictions": PREDICTED + 0.5}, "its predictions must be whole numbers, but "),
    "from 1": ({"predictions": LABELS + 1}, "its predictions are counted from 1 (1 to 10); subtract 1"),
    "labels from 1": ({"predictions": PREDICTED, "labels": LABELS + 1}, "its labels are counted from 1 (1 to 10)"),
    "eleven": ({"predictions": [0, 11]}, "its predictions must be digits from 0 to 9, but 11 is among them"),
    "minus one": ({"predictions": [0, -1]}, "its predictions must be digits from 0 to 9, but -1 is among them"),
    "one-hot labels": (
        {"predictions": PREDICTED, "labels": np.eye(10)[LABELS]},
        "its labels have shape (12, 10), one-hot perhaps; write labels.argmax(axis=1)",
    ),
    "fewer labels": ({"predictions": PREDICTED, "labels": LABELS[:9]}, "predictions of 12 images, but 9 labels; each"),
    "fewer indices": ({"predictions": PREDICTED, "indices": POSITIONS[:9]}, "of 12 images, but 9 indices; each needs"),
    "negative index": ({"predictions": PREDICTED, "ids": POSITIONS - 6}, "its indices contain -1; count positions"),
    "index twice": ({"predictions": [1, 2, 3], "ids": [4, 5, 4]}, "has index 4 2 times for a; keep one row per image"),
    "indices in rows": ({"predictions": PREDICTED, "ids": np.eye(12)}, "its indices have shape (12, 12); write one"),
    "huge index": ({"predictions": PREDICTED, "ids": POSITIONS * 1e12}, "its indices contain 3.8e+13, which is too"),
    "other predictions": ({"probabilities": ONE, "predictions": (PREDICTED + 1) % 10}, "12 of 12 predictions are not"),
    "other shapes": (
        {"probabilities": ONE, "predictions": PREDICTED[:9]},
        "has probabilities of shape (1, 12, 10), but predictions of shape (1, 9), seeds first; leave",
    ),
    "one seed of three": ({"probabilities": SEEDS, "seed": 3}, "predictions from 3 seeds, but names 1; name each seed"),
    "same seeds": ({"probabilities": SEEDS, "seed": [1, 2, 1]}, "has model 'a' with seed '1' more than once"),
    "two models": ({"predictions": PREDICTED, "model": ["a", "b"]}, "names 2 models; write a file for each"),
    "model of numbers": ({"predictions": PREDICTED, "model": ONE}, "its array 'model' has shape (12, 10) and type"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    arrays, message = ARRAYS[case]
    np.savez(tmp_path / "a.npz", **{name: np.asarray(array) for name, array in arrays.items()})
    assert message in line_of(tmp_path / "a.npz")


# --- tables that are none ---


# --- labels ---


def test_labels_of_every_kind_of_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LABELS.astype(np.uint8))
    np.savez(tmp_path / "a.npz", labels=LABELS, indices=POSITIONS)
    pd.DataFrame({"Label": LABELS, "index": POSITIONS}).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"y_true": LABELS}).to_parquet(tmp_path / "a.parquet")
    for name, has_indices in (("a.npy", False), ("a.npz", True), ("a.csv", True), ("a.parquet", False)):
        labels, indices = read_labels_file(tmp_path / name)
        assert labels.dtype == np.int64
        assert labels.tolist() == LABELS.tolist()
        assert (indices.tolist() if indices is not None else None) == (POSITIONS.tolist() if has_indices else None)


LABEL_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "ending": ("a.txt", lambda path: path.write_text("1"), "is not a .npy, .npz, .csv or .parquet file; write one of"),
    "objects": (
        "a.npy",
        lambda path: np.save(path, np.array([1, None]), allow_pickle=True),
        "is not a whole .npy file of numbers; write it again with np.save",
    ),
    "cut off": ("a.npy", lambda path: path.write_bytes(b"\x93NUMPY\1\0"), "is not a whole .npy file of numbers"),
    "one-hot": ("a.npy", lambda path: np.save(path, np.eye(10)), "have shape (10, 10), one-hot perhaps; write lab"),
    "one-hot table": (
        "a.csv",
        lambda path: pd.DataFrame(np.eye(10)).add_prefix("label_").to_csv(path, index=False),
        "look like one-hot labels; write one column label, their argmax(axis=1)",
    ),
    "scalar": ("a.npy", lambda path: np.save(path, np.array(3)), "its labels have shape (); write one digit per image"),
    "other array": ("a.npz", lambda path: np.savez(path, y=LABELS), "has no array 'labels'; write it with np.savez"),
    "other column": ("a.csv", lambda path: path.write_text("a,b\n1,2\n"), "has no column of labels, but 'a', 'b'; ca"),
    "Kaggle": ("a.csv", lambda path: path.write_text("ImageId,Label\n1,2\n"), "counts its images from 1 in 'ImageId'"),
    "fewer": ("a.npz", lambda path: np.savez(path, label=LABELS, id=[1]), "has 12 labels, but 1 indices; each label"),
    "twice": ("a.npz", lambda path: np.savez(path, label=[1, 1], id=[4, 4]), "has index 4 2 times; keep one row per"),
    "from 1": ("a.npy", lambda path: np.save(path, LABELS + 1), "its labels are counted from 1 (1 to 10); subtract 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", LABEL_FILES)
def test_labels_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    name, make, message = LABEL_FILES[case]
    make(tmp_path / name)
    assert message in line_of(tmp_path / name, read_labels_file)


# --- brought into order ---

SORTED = np.sort(POSITIONS)
WHAT = "the validation set of mnist"


def handed(path: Path, **arrays: object) -> Path:
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return path


def test_predictions_are_put_in_the_order_of_the_set(tmp_path: Path) -> None:
    path = handed(tmp_path / "a.npz", probabilities=ONE, labels=LABELS, indices=POSITIONS)
    (one,) = read_predictions(path)
    put = aligned(one, SORTED, LABELS[::-1], WHAT)
    assert put.probabilities is not None
    assert np.array_equal(put.probabilities, ONE[::-1].astype(np.float32))
    assert put.predicted.tolist() == PREDICTED[::-1].tolist()
    assert put.labels is not None
    assert put.labels.tolist() == LABELS[::-1].tolist()
    assert put.indices is not None
    assert put.indices.tolist() == SORTED.tolist()
    shuffled = np.random.default_rng(1).permutation(N)
    again = aligned(one, POSITIONS[shuffled], LABELS[shuffled], WHAT)
    assert again.predicted.tolist() == PREDICTED[shuffled].tolist()


def test_without_indices_the_order_is_taken_as_it_is(tmp_path: Path) -> None:
    (one,) = read_predictions(handed(tmp_path / "a.npz", predictions=PREDICTED))
    put = aligned(one, SORTED, LABELS, WHAT)
    assert put.predicted.tolist() == PREDICTED.tolist()
    assert put.probabilities is None
    assert put.labels is not None
    assert put.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"predictions": PREDICTED[:9]},
            "a has 9 predictions, but the validation set of mnist has 12 images; predict each once",
        ),
        ({"predictions": PREDICTED[:9], "ids": POSITIONS[:9]}, "a has 9 predictions, but the validation set of mnist"),
        (
            {"predictions": PREDICTED, "ids": POSITIONS + 3},
            "a has 1 of 12 predictions of images that are not in the validation set of mnist, such as 41; leave them",
        ),
        ({"predictions": PREDICTED, "ids": POSITIONS + 1}, "such as 39; they count from 1: subtract 1"),
        (
            {"predictions": PREDICTED, "ids": np.arange(N)},
            "such as 0; hand in positions in the data set, or none if the order is that of the set",
        ),
        (
            {"predictions": PREDICTED, "labels": LABELS[::-1], "seed": 7},
            "a (seed 7) has other labels than the validation set of mnist, for 12 of 12 images; perhaps in another"
            " order: hand in indices",
        ),
        (
            {"predictions": PREDICTED, "labels": np.where(LABELS == 3, 5, LABELS), "ids": SORTED},
            "a has other labels than the validation set of mnist, for 1 of 12 images; check the indices",
        ),
    ],
)
def test_predictions_of_other_images(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    path = handed(tmp_path / "a.npz", **arrays)
    (one,) = read_predictions(path)
    with pytest.raises(UsageError) as caught:
        aligned(one, SORTED, LABELS, WHAT)
    assert str(caught.value).startswith(f"{path}: a")
    assert message in str(caught.value)
