import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_core.errors import UsageError
from sweeps.space.spaces import Choice, Float, Int, Space, When, default_space
from sweeps.space.toml_file import document_of, read_space, space_of, toml_of

OWN = """
[optimizer.name]
choices = ["sgd", "adam"]

[optimizer.learning_rate]
low = 1e-4
high = 1
log = true

[optimizer.momentum]
low = 0
high = 0.99
when = {"optimizer.name" = ["sgd"]}

["training.batch_size"]
low = 16
high = 64

[model.batch_norm]
choices = [true, false]
when = {optimizer = {name = "adam"}}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text)
    return path


def test_a_file_is_read_in_its_order_with_the_types_of_the_fields(tmp_path: Path) -> None:
    space = read_space(written(tmp_path, OWN))
    assert space == {
        "optimizer.name": Choice(options=("sgd", "adam")),
        "optimizer.learning_rate": Float(low=1e-4, high=1.0, log=True),
        "optimizer.momentum": Float(low=0.0, high=0.99, when=When(field="optimizer.name", values=("sgd",))),
        "training.batch_size": Int(low=16, high=64),
        "model.batch_norm": Choice(options=(True, False), when=When(field="optimizer.name", values=("adam",))),
    }
    assert next(iter(space)) == "optimizer.name"
    assert isinstance(space["optimizer.learning_rate"].high, float)  # type: ignore[union-attr]


@pytest.mark.parametrize(("device", "side"), [("cpu", 8), ("cuda", 28)])
def test_the_printed_default_space_is_the_default_space(device: str, side: int, tmp_path: Path) -> None:
    _, space = default_space(device, side)
    assert read_space(written(tmp_path, toml_of(space))) == space
    assert list(read_space(written(tmp_path, toml_of(space)))) == list(space)


NUMBERS = st.floats(1e-6, 0.5, allow_nan=False)


@given(st.tuples(NUMBERS, NUMBERS).map(sorted), st.lists(st.integers(1, 512), min_size=1, unique=True), st.booleans())
def test_every_space_survives_a_file(ends: list[float], sizes: list[int], log: bool) -> None:
    space: Space = {
        "training.batch_size": Choice(options=tuple(sizes)),
        "model.dropout": Float(
            low=ends[0], high=ends[1], log=log, when=When(field="training.batch_size", values=(sizes[0],))
        ),
    }
    document = tomllib.loads(toml_of(space))
    flat = {f"{part}.{name}": value for part, members in document.items() for name, value in members.items()}
    assert space_of(flat) == space_of(document_of(space)) == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model.nmae]\nchoices = ['cnn']", r"unknown recipe field 'model.nmae'; did you mean 'model.name'"),
        ("[model.dropout]\nlow = 0.5\nhigh = 0.1", r"model.dropout: the range 0.5 .. 0.1 is empty"),
        ("[model.dropout]\nlow = 0\nhigh = 0.1\nlog = true", r"a logarithmic range must start above zero, not at 0.0"),
        ("[optimizer.learning_rate]\nlow = -1\nhigh = 1\nlog = true", r"must start above zero, not at -1"),
        ("[model.dropout]\nchoices = [0.1]\nwhen = {'model.name' = ['cnn']}", "depends on model.name, which is not"),
        ("[model.dropout]\nchoices = [0.1]\nwhen = {}", "a condition must name one field"),
        ("[model.dropout]\nchoices = [0.1]\nwhen = 'cnn'", "write a condition as when ="),
        ("[model.name]\nchoices = []", "model.name has no values to choose from"),
        ("[model.name]\nchoices = ['cmm']", "unknown architecture 'cmm'"),
        ("[model.name]\nchoices = [1]", "model.name takes values of type str, got 1"),
        ("[model.name]\nlow = 1\nhigh = 2", "model.name needs choices"),
        ("[model.width]\nlow = 1", "model.width needs low and high, or choices"),
        ("[model.width]\nlow = 1.5\nhigh = 2", "model.width takes values of type int, got 1.5"),
        ("[model.width]\nlow = 1\nhigh = 2\nlog = 1", "log must be true or false, not 1"),
        ("[model.width]\nchoices = [1]\nhigh = 2", "choices must be a list of values, without low, high or log"),
        ("[model.width]\nchocies = [1]", "model.width has 'chocies', which is not one of choices, low"),
        ("[training.seed]\nlow = 1\nhigh = 2", "training.seed cannot be searched: every trial has its own seed"),
        ("[training.epochs]\nlow = 1\nhigh = 2", "training.epochs cannot be searched: --max-epochs sets it"),
        ("model = 3", "unknown recipe field 'model'"),
        ("[model]\nname = 3", "model.name must be a table with low and high, or with choices; got 3"),
        ("[model.dropout]\nlow = 0\nhigh = 1" + "0" * 400, "model.dropout takes values of type float, got 1000"),
        ("[model.dropout]\nlow = 0\nhigh = 1" + "0" * 5000, "is not TOML: Exceeds the limit"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("[model.name]\nchoices = ['cnn', 'cnn']", "model.name lists a choice twice"),
        (
            "[model.name]\nchoices = ['lenet']\n[model.width]\nchoices = [8]\nwhen = {'model.name' = ['cnn']}",
            "model.width is never drawn: model.name must be cnn, but can be lenet",
        ),
        ("", "has no fields to search; `digits space` prints the default space"),
        ("[", "is not TOML"),
    ],
)
def test_bad_spaces_are_refused_with_the_field(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read_space(written(tmp_path, text))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text("[training]\nbatch_size = { choices = [32, 64] }\n", encoding="utf-8-sig")
    assert list(read_space(path)) == ["training.batch_size"]


def test_the_error_for_a_missing_file_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*`digits space > .*space.toml` writes one to start from"):
        read_space(tmp_path / "space.toml")
