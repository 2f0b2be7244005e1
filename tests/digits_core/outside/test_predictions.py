"""Predictions made outside digits: what is read, and the line that says what is wrong."""

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.metrics import check_probabilities
from digits_core.outside.predictions import aligned, read_labels_file, read_predictions
from digits_core.runs.durable import LARGEST_GAP

N = 12
LABELS = np.arange(N) % 10
POSITIONS = np.arange(N)[::-1] * 3 + 5
TEN = [f"p{digit}" for digit in range(10)]


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits)
    return powers / powers.sum(axis=-1, keepdims=True)


LOGITS = np.random.default_rng(0).normal(0, 2, (3, N, 10))
SEEDS = softmax(LOGITS)
ONE = SEEDS[0]
PREDICTED = ONE.argmax(axis=1)


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(ONE, columns=TEN).assign(**columns)


def line_of(path: Path, read: Callable[[Path], object] = read_predictions) -> str:
    """What the error says after the file's name; it is one line."""
    with pytest.raises(UsageError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


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


@pytest.mark.parametrize("ending", ["csv", "CSV", "parquet"])
@pytest.mark.parametrize("form", ["{}", "p{}", "prob_{}", "Class {}", "mlp-2 p{}", "pred_{}"])
def test_tables_of_probabilities(tmp_path: Path, ending: str, form: str) -> None:
    table = pd.DataFrame(ONE, columns=[form.format(digit) for digit in range(10)])
    table = table.assign(**{"Y True": LABELS, "ID ": POSITIONS, "time": 0.25})
    table = table[table.columns[::-1]]  # columns are found by their names
    path = tmp_path / f"a.{ending}"
    table.to_parquet(path) if ending == "parquet" else table.to_csv(path, index=False)
    (one,) = read_predictions(path)
    assert one.probabilities is not None
    assert np.array_equal(one.probabilities, ONE.astype(np.float32))
    assert one.labels is not None
    assert one.labels.tolist() == LABELS.tolist()
    assert one.indices is not None
    assert one.indices.tolist() == POSITIONS.tolist()


@pytest.mark.parametrize("form", ["semicolons", "tabs", "byte-order mark", "blank lines", "Windows"])
def test_csv_files_of_other_forms(tmp_path: Path, form: str) -> None:
    separator = {"semicolons": ";", "tabs": "\t"}.get(form, ",")
    text = pd.DataFrame({"Prediction": PREDICTED, "Index": POSITIONS}).to_csv(index=False, sep=separator)
    if form == "byte-order mark":
        text = "\ufeff" + text
    elif form == "blank lines":
        text = "\n" + text + "\n\n"
    elif form == "Windows":
        text = text.replace("\n", "\r\n")
    (tmp_path / "a.csv").write_bytes(text.encode())
    (one,) = read_predictions(tmp_path / "a.csv")
    assert one.predicted.tolist() == PREDICTED.tolist()
    assert one.indices is not None
    assert one.indices.tolist() == POSITIONS.tolist()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_long_table_is_grouped_by_model_and_seed(tmp_path: Path, ending: str) -> None:
    rows = [
        {"model": model, "seed": seed, "index": index, "prediction": (index + seed) % 10, "label": index % 10}
        for index in (4, 2, 9)
        for model, seed in (("NA", 3), ("cnn", 3), ("cnn", 5))
        if (model, index) != ("NA", 9)
    ]
    path = tmp_path / f"a.{ending}"
    table = pd.DataFrame(rows)
    table.to_parquet(path) if ending == "parquet" else table.to_csv(path, index=False)
    found = read_predictions(path)
    assert [(one.model, one.seed) for one in found] == [("NA", "3"), ("cnn", "3"), ("cnn", "5")]
    assert [one.indices.tolist() for one in found if one.indices is not None] == [[4, 2], [4, 2, 9], [4, 2, 9]]
    assert [one.predicted.tolist() for one in found] == [[7, 5], [7, 5, 2], [9, 7, 4]]
    assert [one.labels.tolist() for one in found if one.labels is not None] == [[4, 2], [4, 2, 9], [4, 2, 9]]


@pytest.mark.parametrize(
    ("form", "seeds"),
    [("prediction_{}", (0, 1, 2)), ("seed {}", (3, 20, 1)), ("predicted_seed{}", (7, 8, 9)), ("y_pred-{}", (1, 2, 3))],
)
def test_a_column_for_each_seed(tmp_path: Path, form: str, seeds: tuple[int, ...]) -> None:
    columns = {form.format(seed): one.argmax(axis=1) for seed, one in zip(seeds, SEEDS, strict=True)}
    pd.DataFrame(columns).assign(index=POSITIONS).to_csv(tmp_path / "a.csv", index=False)
    found = read_predictions(tmp_path / "a.csv")
    assert [one.seed for one in found] == [str(seed) for seed in seeds]
    assert [one.predicted.tolist() for one in found] == SEEDS.argmax(axis=2).tolist()


def test_a_column_for_each_seed_of_several_models(tmp_path: Path) -> None:
    text = "model,index,seed_3,seed_5\ncnn,0,1,2\nsvm,0,3,4\ncnn,8,5,6\n"
    (tmp_path / "a.csv").write_text(text)
    found = read_predictions(tmp_path / "a.csv")
    assert [(one.model, one.seed, one.predicted.tolist()) for one in found] == [
        ("cnn", "3", [1, 5]),
        ("cnn", "5", [2, 6]),
        ("svm", "3", [3]),
        ("svm", "5", [4]),
    ]


def test_ten_seeds_are_no_probabilities(tmp_path: Path) -> None:
    columns = {f"prediction_{seed}": (LABELS + seed) % 10 for seed in range(10)}
    pd.DataFrame(columns).to_csv(tmp_path / "a.csv", index=False)
    found = read_predictions(tmp_path / "a.csv")
    assert [one.seed for one in found] == [str(seed) for seed in range(10)]
    assert [one.predicted[0] for one in found] == list(range(10))


def test_columns_that_are_none_of_ours_are_left_out(tmp_path: Path) -> None:
    pixels = {f"pixel{number}": 0 for number in range(64)}
    pd.DataFrame({"prediction": PREDICTED}).assign(**pixels, name="x,y").to_csv(tmp_path / "a.csv", index=False)
    (one,) = read_predictions(tmp_path / "a.csv")
    assert one.predicted.tolist() == PREDICTED.tolist()


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


def test_parquet_with_an_index_of_its_own(tmp_path: Path) -> None:
    table = pd.DataFrame({"prediction": PREDICTED, "index": POSITIONS}).set_index("index")
    table.to_parquet(tmp_path / "a.parquet")
    (one,) = read_predictions(tmp_path / "a.parquet")
    assert one.indices is not None
    assert one.indices.tolist() == POSITIONS.tolist()
    table.rename_axis(None).to_parquet(tmp_path / "b.parquet")
    assert "begins with a column without a name, the index of pandas" in line_of(tmp_path / "b.parquet")
    table.assign(index=1).to_parquet(tmp_path / "d.parquet")
    assert "has more than one column 'index'; rename or remove all but one" in line_of(tmp_path / "d.parquet")
    folder = tmp_path / "seed=3"  # is no column
    folder.mkdir()
    pd.DataFrame({"prediction": PREDICTED}).to_parquet(folder / "c.parquet")
    assert [one.seed for one in read_predictions(folder / "c.parquet")] == [""]


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

PREDICTIONS = pd.DataFrame({"prediction": PREDICTED, "index": POSITIONS})
TABLES: dict[str, tuple[pd.DataFrame, str]] = {
    "Kaggle": (
        pd.DataFrame({"ImageId": LABELS + 1, "Label": PREDICTED}),
        "counts its images from 1 in 'ImageId', as Kaggle does; call that column index and count from 0; rename its"
        " column Label to prediction if it holds what a model predicted",
    ),
    "another language": (
        PREDICTIONS.set_axis(["Vorhersage", "Nummer"], axis=1),
        "has no predictions, but the columns 'Vorhersage', 'Nummer'; needed are ten columns of probabilities, p0 to p9,"
        " or one called prediction; beside them may stand index, label, seed and model",
    ),
    "labels only": (pd.DataFrame({"label": LABELS, "id": POSITIONS}), "; if 'label' holds predictions, rename it"),
    "many columns": (pd.DataFrame([range(20)], columns=list("abcdefghijklmnopqrst")), "'l' and 8 more; needed are"),
    "one column of all": (pd.DataFrame({"probabilities": ["[0.1, 0.9]"]}), "has no predictions, but the columns 'prob"),
    "9 columns": (frame().drop(columns="p9"), "has 9 numbered columns, 'p0' to 'p8'; of probabilities it needs ten"),
    "11 columns": (frame(p10=0.0), "has 11 numbered columns, 'p0' to 'p10'; of probabilities it needs ten, number"),
    "from 1": (frame().set_axis([f"c{n}" for n in range(1, 11)], axis=1), "has 10 numbered columns, 'c1' to 'c10'; of"),
    "9 beside predictions": (frame(pred=PREDICTED).drop(columns="p9"), "has 9 numbered columns, 'p0' to 'p8'; of"),
    "twice ten": (frame(**{f"logit{n}": 1.0 for n in range(10)}), "be probabilities: 'p0', 'p9', 'logit0', 'logit9'"),
    "one-hot": (frame(**{f"label_{n}": 0 for n in range(10)}), "look like one-hot labels; write one column label"),
    "text": (PREDICTIONS.astype(object).replace({"prediction": {PREDICTED[0]: "x"}}), "'prediction' holds 'x' in row"),
    "decimal commas": (frame(p3="0,25"), "its column 'p3' holds '0,25' in row 1; it must hold numbers, with decimal p"),
    "empty cell": (frame(p3=[0.1] * 4 + [None] * 8), "its column 'p3' holds an empty cell or NaN in row 5; fill it in"),
    "infinity": (frame(p3=[0.1, np.inf] * 6), "its column 'p3' holds infinity in row 2; fill it in or leave the"),
    "no seed": (PREDICTIONS.assign(seed=["1", ""] * 6), "its column 'seed' has an empty cell in row 2; fill it in"),
    "label and target": (PREDICTIONS.assign(label=1, target=1), "'label', 'target' both mean labels; keep one of them"),
    "seeds twice": (PREDICTIONS.assign(prediction_1=1), "has 'prediction_1', 'prediction'; keep one or the other"),
    "seeds and a seed": (pd.DataFrame({"pred_1": [1], "seed": 3}), "has 'pred_1', 'seed'; keep one or the other"),
    "seeds and ten": (frame(pred_1=1, pred_2=1), "has 'pred_1', 'pred_2', 'p0'; keep one or the other"),
    "two kinds of seeds": (pd.DataFrame({"pred_1": [1], "seed 2": 3}), "it is in doubt which seeds 'pred_1', 'seed 2'"),
    "fractions": (pd.DataFrame({"pred_1": [1.5, 2], "pred_2": 3}), "its predictions must be whole numbers, but 1.5 is"),
    "fractions of labels": (PREDICTIONS.assign(label=0.5), "its labels must be whole numbers, but 0.5 is among them"),
    "two runs in one": (pd.concat([PREDICTIONS, PREDICTIONS]), "has index 5 2 times for a; keep one row per image"),
    "two names alike": (
        pd.DataFrame({"model": ["x" * 90, "x" * 91], "prediction": 1}),
        f"has model '{'x' * 77}...' with seed '' more than once; name each by model and seed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_tables_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    table, message = TABLES[case]
    table.to_csv(tmp_path / "a.csv", index=False)
    assert message in line_of(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PREDICTIONS.to_csv(), "write it with index=False, or name it index if it holds positions in the data set"),
        (frame().to_csv(), "begins with a column without a name, the index of pandas"),
        ("Unnamed: 0,prediction\n0,3\n", "begins with a column without a name, the index of pandas"),
        ("prediction,label,prediction\n1,2,3\n", "has more than one column 'prediction'; rename or remove all but one"),
        (
            frame().to_csv(index=False, header=False),
            "has no names of columns in its first row, but numbers; needed are",
        ),
        ("7\n2\n1\n", "has no names of columns in its first row, but numbers"),
        ("index,prediction\n1,2\n3,4,5\n", "is not a CSV table (Error tokenizing data."),
        ("index,prediction\n1,2,3\n3,4,5\n", "is not a CSV table: a row has more cells than the first; write"),
        ("index,prediction\n1\n", "its column 'prediction' holds an empty cell or NaN in row 1"),
        ('a\n"\n', "is not a CSV table ("),
    ],
)
def test_csv_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert message in line_of(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"prediction": ["1", "2"]}), "; write it as numbers"),
        (
            pd.DataFrame({"prediction": [[1], [2]]}),
            "its column 'prediction' holds '[1]' in row 1; it must hold numbers",
        ),
        (pd.DataFrame({"prediction": pd.array([1, None], "Int64")}), "holds an empty cell or NaN in row 2"),
        (pd.DataFrame({"prediction": [1], "seed": [None]}), "its column 'seed' has an empty cell in row 1; fill it in"),
        (pd.DataFrame(index=range(3)), "has no columns; needed are ten columns of probabilities"),
        (pd.DataFrame({"prediction": []}), "has no rows"),
    ],
)
def test_parquet_files_that_cannot_be_used(tmp_path: Path, table: pd.DataFrame, message: str) -> None:
    table.to_parquet(tmp_path / "a.parquet")
    assert message in line_of(tmp_path / "a.parquet")


def test_parquet_that_unpacks_to_too_much(tmp_path: Path) -> None:
    rows = pa.nulls(2**28 + 1)  # which take no memory
    parquet.write_table(pa.table({"prediction": rows}), tmp_path / "a.parquet", row_group_size=2**20)
    assert (tmp_path / "a.parquet").stat().st_size < 2**20
    assert "unpacks to more than 2 GB" in line_of(tmp_path / "a.parquet")


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
