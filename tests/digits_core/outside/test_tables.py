"""Tables of predictions that were made outside digits: which column is what, and what cannot be used."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from digits_core.outside.predictions import read_predictions
from tests.helpers.handed_in import LABELS, ONE, POSITIONS, PREDICTED, SEEDS, frame, line_of


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
