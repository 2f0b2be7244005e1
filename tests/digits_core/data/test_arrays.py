import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from digits_core.data.arrays import images_of_table
from digits_core.data.checks import check_data
from digits_core.data.datasets import absolute, load_digits
from digits_core.data.digits import Digits
from digits_core.errors import UsageError


def write_csv(path: Path, digits: Digits, header: str | None = None) -> None:
    rows = np.column_stack([digits.labels[:100], digits.images[:100].reshape(100, -1)])
    names = "label," + ",".join(f"pixel{number}" for number in range(64))
    np.savetxt(path, rows, fmt="%d", delimiter=",", header=header if header is not None else names, comments="")


def test_a_csv_in_kaggles_layout(tmp_path: Path, digits: Digits) -> None:
    write_csv(tmp_path / "train.csv", digits)
    loaded = load_digits(f"csv:{tmp_path / 'train.csv'}")
    assert np.array_equal(loaded.images, digits.images[:100])
    assert np.array_equal(loaded.labels, digits.labels[:100])


def test_numbered_columns_may_be_in_any_order(tmp_path: Path, digits: Digits) -> None:
    pixels = digits.images[:100].reshape(100, -1)
    for names in (
        [f"p{number}" for number in range(64)],
        [f"{row}x{column}" for row in range(1, 9) for column in range(1, 9)],
    ):
        table = pd.DataFrame(pixels, columns=names)[sorted(names)].assign(label=digits.labels[:100])
        table.to_csv(tmp_path / "a.csv", index=False)
        assert np.array_equal(load_digits(f"csv:{tmp_path / 'a.csv'}").images, digits.images[:100])


def test_columns_named_column_first_stay_as_they_stand(tmp_path: Path, digits: Digits) -> None:
    names = [f"{column}x{row}" for row in range(1, 9) for column in range(1, 9)]
    table = pd.DataFrame(digits.images[:100].reshape(100, -1), columns=names).assign(label=digits.labels[:100])
    table.to_csv(tmp_path / "a.csv", index=False)
    assert np.array_equal(load_digits(f"csv:{tmp_path / 'a.csv'}").images, digits.images[:100])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(Id=range(len(table))), "column 'Id' is neither a pixel nor a label; remove it"),
        (lambda table: table.iloc[:0], "it has no rows"),
        (lambda table: table.assign(pixel3=1e300), "the pixels of .* range from 0 to 1e.300"),
    ],
)
def test_odd_tables_are_named(tmp_path: Path, digits: Digits, change: object, message: str) -> None:
    table = pd.DataFrame(digits.images[:30].reshape(30, -1), columns=[f"pixel{number}" for number in range(64)])
    change(table).to_csv(tmp_path / "test.csv", index=False)  # type: ignore[operator]
    with pytest.raises(UsageError, match=message):
        images_of_table(str(tmp_path / "test.csv"))


def test_tabs_separate_too_and_surplus_cells_are_refused(tmp_path: Path, digits: Digits) -> None:
    write_csv(tmp_path / "a.csv", digits)
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text(text.replace(",", "\t"))
    assert np.array_equal(load_digits(f"csv:{tmp_path / 'a.csv'}").images, digits.images[:100])
    head, *rows = text.splitlines()
    (tmp_path / "b.csv").write_text("\n".join([head, *(f"{row},7" for row in rows)]))
    with pytest.raises(UsageError, match="some rows have more cells than the first"):
        load_digits(f"csv:{tmp_path / 'b.csv'}")


def test_a_table_without_labels(tmp_path: Path, digits: Digits) -> None:
    table = pd.DataFrame(digits.images[:30].reshape(30, -1), columns=[f"pixel{number}" for number in range(64)])
    table.to_csv(tmp_path / "test.csv", index=False)
    assert np.array_equal(images_of_table(str(tmp_path / "test.csv")), digits.images[:30])
    (table / 2.55).to_csv(tmp_path / "scaled.csv", index=False)
    with pytest.raises(UsageError, match=r"state what they are, as in .*scaled\.csv#0\.\."):
        images_of_table(str(tmp_path / "scaled.csv"))
    assert np.array_equal(images_of_table(f"{tmp_path / 'scaled.csv'}#0..100"), digits.images[:30])
    write_csv(tmp_path / "train.csv", digits)
    with pytest.raises(UsageError, match="has labels; to measure a model on it: digits transfer MODEL --on csv:"):
        images_of_table(str(tmp_path / "train.csv"))
    with pytest.raises(UsageError, match="there is no file"):
        images_of_table(str(tmp_path / "none.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a table of numbers"),
        ("pixel0,pixel1\n1,2\n", "has no column of labels: name one 'label'"),
        ("label,a,b,c,d\n1,0,0,x,0\n", "not a table of numbers"),
        ("label," + ",".join(f"p{n}" for n in range(60)) + "\n1" + ",0" * 60 + "\n", "60 pixels per image"),
        ("label," + ",".join(f"p{n}" for n in range(64)) + "\n11" + ",0" * 64 + "\n", "whole numbers from 0 to 9"),
        (
            "label," + ",".join(f"p{n}" for n in range(64)) + "\n1" + ",300" * 64 + "\n",
            r"from 300 to 300, which is neither 0 to 1 nor 0 to 255; state .*a\.csv#300\.\.300",
        ),
        (
            "label," + ",".join(f"p{n}" for n in range(64)) + "\n",
            "not a table of numbers",
        ),
    ],
)
def test_unusable_csv_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UsageError, match=message):
        load_digits(f"csv:{tmp_path / 'a.csv'}")


def test_npz_of_bytes_floats_and_dark_ink(tmp_path: Path, digits: Digits) -> None:
    images, labels = digits.images[:100], digits.labels[:100]
    for number, (kept, key) in enumerate(
        [(images, "images"), (images / 255, "x"), (255 - images[..., None], "images")]
    ):
        path = tmp_path / f"{number}.npz"
        np.savez(path, **{key: kept, "labels" if key == "images" else "y": labels})
        assert np.array_equal(load_digits(f"npz:{path}").images, images)


def test_npz_with_a_test_part_of_its_own(tmp_path: Path, digits: Digits) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x_train=digits.images[:400], y_train=digits.labels[:400], x_test=digits.images[400:500],
             y_test=digits.labels[400:500])  # fmt: skip
    assert load_digits(f"npz:{path}").parts[2].tolist() == list(range(400, 500))


def test_npz_is_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object), labels=np.array([1]))
    with pytest.raises(UsageError, match="pickled objects are never loaded"):
        load_digits(f"npz:{tmp_path / 'a.npz'}")
    (tmp_path / "b.npz").write_bytes(b"PK no zip")
    with pytest.raises(UsageError, match="not an NPZ file"):
        load_digits(f"npz:{tmp_path / 'b.npz'}")
    np.savez(tmp_path / "c.npz", pictures=np.zeros(3))
    with pytest.raises(UsageError, match="contains pictures; name its arrays 'images' and 'labels'"):
        load_digits(f"npz:{tmp_path / 'c.npz'}")


def test_scikit_learn_s_digits_as_they_come(tmp_path: Path, digits: Digits) -> None:
    from sklearn.datasets import load_digits as published

    found = published()
    np.savez(tmp_path / "a.npz", data=found.data, target=found.target)
    loaded = load_digits(f"npz:{tmp_path / 'a.npz'}")
    assert np.array_equal(loaded.images, digits.images)
    assert loaded.provenance == "1,797 images of an NPZ file, pixels from 0 to 16"
    assert check_data(f"npz:{tmp_path / 'a.npz'}").provenance == loaded.provenance


@pytest.mark.parametrize("high", [1.5, 40.0, 15.0, 100.0, 300.0, 65_535.0, -1.0])
def test_a_doubtful_range_is_refused_until_it_is_stated(tmp_path: Path, digits: Digits, high: float) -> None:
    low = -1.0 if high == -1.0 else 0.0
    high = abs(high)
    kept = low + digits.images[:100] / 255 * (high - low)
    np.savez(tmp_path / "a.npz", images=kept, labels=digits.labels[:100])
    with pytest.raises(UsageError, match=rf"range from {low:g} to {high:g}, .*#{low:g}\.\.{high:g}$"):
        load_digits(f"npz:{tmp_path / 'a.npz'}")
    stated = f"npz:{tmp_path / 'a.npz'}#{low:.0f}..{high:g}"
    assert np.array_equal(load_digits(stated).images, digits.images[:100])
    assert absolute(stated) == stated
    with pytest.raises(UsageError, match="beyond the range that was stated"):
        load_digits(f"npz:{tmp_path / 'a.npz'}#{low:g}..{high / 2:g}")


@pytest.mark.parametrize("stated", ["#5..5", "#9..1", "#1.2.3..4"])
def test_a_range_that_is_none_is_refused(tmp_path: Path, stated: str) -> None:
    with pytest.raises(UsageError, match=r"is not a range of pixels; write it as #0\.\.16"):
        load_digits(f"npz:{tmp_path / 'a.npz'}{stated}")


@pytest.mark.parametrize("names", [("X", "y"), ("x_train", "y_train"), ("image", "class"), ("data", "target")])
@pytest.mark.parametrize("form", ["plain", "column", "one-hot", "float"])
def test_the_usual_names_and_forms_of_labels(tmp_path: Path, digits: Digits, names: tuple[str, str], form: str) -> None:
    labels = digits.labels[:100]
    forms = {
        "plain": labels, "column": labels[:, np.newaxis], "one-hot": np.eye(10)[labels], "float": labels.astype(float),
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", **{names[0]: digits.images[:100, np.newaxis], names[1]: forms[form]})
    loaded = load_digits(f"npz:{tmp_path / 'a.npz'}")
    assert np.array_equal(loaded.labels, labels)
    assert np.array_equal(loaded.images, digits.images[:100])


def test_black_and_white_images(tmp_path: Path, digits: Digits) -> None:
    for kind in (bool, np.uint8, float):
        kept = (digits.images[:100] > 100).astype(kind)
        np.savez(tmp_path / "a.npz", images=kept, labels=digits.labels[:100])
        assert np.array_equal(load_digits(f"npz:{tmp_path / 'a.npz'}").images, kept.astype(np.uint8) * 255)


@pytest.mark.parametrize("form", ["semicolons", "no header", "label last", "floats", "byte-order mark", "parquet"])
def test_tables_of_other_forms(tmp_path: Path, digits: Digits, form: str) -> None:
    pixels = pd.DataFrame(digits.images[:100].reshape(100, -1)).rename(columns=lambda number: f"p{number}")
    labels = pd.Series(digits.labels[:100], name="class")
    path = tmp_path / ("a.parquet" if form == "parquet" else "a.csv")
    if form == "floats":
        pixels = pixels / 255
    table = pd.concat([pixels, labels] if form == "label last" else [labels, pixels], axis=1)
    if form == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(
            path,
            index=False,
            sep=";" if form == "semicolons" else ",",
            header=form != "no header",
            encoding="utf-8-sig" if form == "byte-order mark" else "utf-8",
        )
    loaded = load_digits(f"csv:{path}")
    assert np.array_equal(loaded.labels, digits.labels[:100])
    assert np.array_equal(loaded.images, digits.images[:100])


def test_parts_whose_counts_differ_or_that_are_scaled_differently(tmp_path: Path, digits: Digits) -> None:
    def parts(train: int = 150, tests: int = 50, scale: float = 1.0) -> dict[str, np.ndarray]:
        images, labels = digits.images, digits.labels
        return {
            "x_train": images[:150] / scale, "y_train": labels[:train],
            "x_test": images[150:200], "y_test": labels[150 : 150 + tests],
        }  # fmt: skip

    np.savez(tmp_path / "a.npz", **parts(145, 55))
    with pytest.raises(UsageError, match="150 images and 145 labels"):
        load_digits(f"npz:{tmp_path / 'a.npz'}")
    np.savez(tmp_path / "a.npz", **parts(scale=255.0), x_val=digits.images[:10])
    loaded = load_digits(f"npz:{tmp_path / 'a.npz'}")
    assert np.array_equal(loaded.images, digits.images[:200])
    assert loaded.provenance.endswith("(without x_val)")


@pytest.mark.parametrize(
    "arrays",
    [
        {"labels": np.array(3)},
        {"labels": np.zeros(100, "M8[s]")},
        {"labels": np.zeros(100, [("a", "i4")])},
        {"Images": np.zeros((100, 8, 8)), "labels": np.zeros(100, int)},
    ],
)
def test_arrays_of_other_kinds_are_refused_in_one_line(
    tmp_path: Path, digits: Digits, arrays: dict[str, np.ndarray]
) -> None:
    np.savez(tmp_path / "a.npz", **{"images": digits.images[:100], **arrays})
    with pytest.raises(UsageError, match=r"a\.npz"):
        load_digits(f"npz:{tmp_path / 'a.npz'}")


def test_a_header_of_numbers_and_empty_cells(tmp_path: Path, digits: Digits) -> None:
    table = pd.DataFrame(np.column_stack([digits.labels[:100], digits.images[:100].reshape(100, -1)]))
    table.to_csv(tmp_path / "a.csv", index=False)  # pandas counts columns that have no names
    assert np.array_equal(load_digits(f"csv:{tmp_path / 'a.csv'}").labels, digits.labels[:100])
    named = table.rename(columns=lambda number: f"p{number}" if number else "label")
    named.astype("Int64").to_parquet(tmp_path / "a.parquet")
    assert np.array_equal(load_digits(f"csv:{tmp_path / 'a.parquet'}").labels, digits.labels[:100])
    named.to_csv(tmp_path / "b.csv", index=False)
    with (tmp_path / "b.csv").open("a") as stream:
        stream.write("3" + "," * 64 + "\n")
    with pytest.raises(UsageError, match="has empty cells"):
        load_digits(f"csv:{tmp_path / 'b.csv'}")


def test_a_header_that_promises_more_than_follows(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 8, 8)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(64))
    with pytest.raises(UsageError, match=r"a\.npz is not an NPZ file of plain arrays; write it again with np\.savez$"):
        load_digits(f"npz:{tmp_path / 'a.npz'}")
