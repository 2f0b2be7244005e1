"""`digits predict` through the command line, on pictures drawn by the tests."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.hands import AUTHORS
from benchmarks.pages import PAGES, STYLES, page_and_twin
from benchmarks.papers import SHEETS
from digits_core.data.digits import Digits
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from tests.helpers.command_line import run
from tests.helpers.pictures import draw

HOSTILE_NAME = "<img src=x onerror=alert(1)>.png"


def predict(store: Run, *arguments: object) -> tuple[int, str, str]:
    return run("predict", *map(str, arguments), "--runs", str(store.folder.parent))


def test_pictures_with_labels_give_an_accuracy(sweep_store: Run, tmp_path: Path) -> None:
    for digit in range(10):
        draw(tmp_path / f"mine/{digit}/a.png", digit, seed=digit)
    code, out, _ = predict(sweep_store, tmp_path / "mine", "--model", "tiny/0", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["model"] == "tiny/0"
    assert document["n"] == 10
    right = [image["digits"][0]["digit"] == image["label"] for image in document["images"]]
    assert document["accuracy"] == pytest.approx(np.mean(right))
    assert document["accuracy"] >= 0.5  # a tiny network trained for three epochs on 8x8 images
    assert np.trace(document["confusion"]) == sum(right)
    for image in document["images"]:
        (digit,) = image["digits"]
        assert sum(digit["probabilities"]) == pytest.approx(1, abs=1e-4)
        assert digit["digit"] == int(np.argmax(digit["probabilities"]))
        left, top, right_edge, bottom = digit["box"]
        assert 0 <= left < right_edge <= image["width"]
        assert 0 <= top < bottom <= image["height"]


def test_a_bad_file_is_one_line_and_the_others_are_still_read(sweep_store: Run, tmp_path: Path) -> None:
    draw(tmp_path / "good.png", 3)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:300])
    Image.new("L", (90, 90), 255).save(tmp_path / "white.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    names = ("empty.png", "text.jpg", "cut.png", "white.png", "bomb.png", "none.png")
    code, out, err = predict(sweep_store, tmp_path / "good.png", *(tmp_path / name for name in names))
    assert code == 1
    assert out.splitlines()[0].startswith(str(tmp_path / "good.png"))
    lines = err.splitlines()
    assert len(lines) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert line.startswith(f"error: {tmp_path / name}: ")
    document = json.loads(predict(sweep_store, tmp_path / "white.png", tmp_path / "good.png", "--json")[1])
    assert document["failed"] == 1
    assert document["images"][0]["digits"] == []
    assert "no digit found" in document["images"][0]["error"]
    assert len(document["images"][1]["digits"]) == 1


def test_odd_shapes_and_names_do_not_stop_the_others(sweep_store: Run, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    draw(folder / "good.png", 3)
    content = (folder / "good.png").read_bytes()
    Image.new("L", (60_000, 4), 200).save(folder / "strip.png")
    (folder / "line\nbreak.png").write_text("nothing")
    Path(os.fsdecode(os.fsencode(folder) + b"/broken-\xff.png")).write_bytes(content)
    marks = np.full((900, 900), 255, np.uint8)
    for row in range(0, 900, 12):
        for column in range(0, 900, 9):
            marks[row : row + 8, column : column + 4] = 0
    Image.fromarray(marks).save(folder / "marks.png")
    page = tmp_path / "p.html"
    code, out, err = predict(sweep_store, folder, "--model", "tiny/0", "--explain", "--output", page, "--json")
    document = json.loads(out)
    assert code == 1
    assert len(document["images"]) == 5
    assert len(err.splitlines()) == document["failed"] == 2  # the strip and the text
    assert "line\\nbreak.png" in err
    assert page.is_file()
    by_name = {Path(image["path"]).name: image for image in document["images"]}
    assert by_name["good.png"]["text"] == by_name[os.fsdecode(b"broken-\xff.png")]["text"] != ""


def test_a_model_without_weights_fails_at_once(sweep_store: Run, tmp_path: Path) -> None:
    RunWriter(sweep_store.folder).trial(1).drop_weights()
    draw(tmp_path / "a.png", 3)
    code, out, err = predict(sweep_store, tmp_path / "a.png", "--model", "tiny/1")
    assert code == 1
    assert out == ""
    assert err.startswith("error: tiny/1: the weights of trial 1 are missing")
    code, _, err = predict(sweep_store, tmp_path / "a.png", "--output", "x.html")
    assert code == 2
    assert "add --explain" in err


def test_the_page_explains_every_digit(sweep_store: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in" / HOSTILE_NAME, 5)
    draw(tmp_path / "in" / "4.png", 4, sheet=16)
    (tmp_path / "in" / "bad.png").write_text("nothing")
    page = tmp_path / "p.html"
    code, out, _ = predict(sweep_store, tmp_path / "in", "--explain", "--output", page, "--json")
    document = json.loads(out)
    assert code == 1
    assert document["page"] == str(page)
    text = page.read_text()
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text
    assert text.count("<rect ") == sum(len(image["digits"]) for image in document["images"]) == 2
    assert text.count('class="neighbour"') == 10
    assert "not a picture" in text
    assert "<script" not in text
    for address in ("http://", "https://"):
        assert address not in text


def test_pages_in_class_folders_are_read_but_not_judged(sweep_store: Run, tmp_path: Path) -> None:
    whole, twin, digits = page_and_twin(PAGES[0], STYLES[0], AUTHORS[0], seed=11)
    for name, pixels in (("3/page.png", whole), ("4/page.png", twin)):
        (tmp_path / "exam" / name).parent.mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "exam" / name)
    draw(tmp_path / "exam/5/one.png", 5)
    code, out, _ = predict(sweep_store, tmp_path / "exam", "--model", "tiny/0")
    assert code == 0
    text = " ".join(out.split())
    assert "left out: a frame" in text
    assert f"not judged: it shows {len(digits)} digits (--one-digit takes it for one)" in text
    assert "of 1 not judged 2 pictures with a label show several digits" in text
    document = json.loads(predict(sweep_store, tmp_path / "exam", "--model", "tiny/0", "--json")[1])
    assert (document["n"], document["not_judged"]) == (1, 2)
    pages = document["images"][:2]
    assert [len(page["digits"]) for page in pages] == [len(digits)] * 2
    assert [page["right"] for page in pages] == [None, None]
    (frame,) = pages[0]["left_out"]
    assert frame["kind"] == "frame"
    assert np.abs(np.array(frame["box"]) - (120, 110, 950, 800)).max() < 8
    whole_page = tmp_path / "page.html"
    predict(sweep_store, tmp_path / "exam", "--model", "tiny/0", "--explain", "--output", whole_page)
    assert "left out (grey): a frame" in whole_page.read_text()
    document = json.loads(predict(sweep_store, tmp_path / "exam", "--one-digit", "--model", "tiny/0", "--json")[1])
    assert (document["n"], document["not_judged"]) == (3, 0)
    assert [len(page["digits"]) for page in document["images"]] == [1, 1, 1]


def test_what_cannot_be_opened_is_neither_right_nor_wrong(sweep_store: Run, tmp_path: Path) -> None:
    draw(tmp_path / "mine/3/a.png", 3)
    (tmp_path / "mine/3/b.png").write_bytes(b"no picture")
    (tmp_path / "mine/3/c.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    code, out, err = predict(sweep_store, tmp_path / "mine", "--model", "tiny/0", "--json")
    document = json.loads(out)
    assert (code, document["n"], document["failed"]) == (1, 1, 2)
    assert err.splitlines()[-1].endswith("c.HEIC: this kind of picture is not read; convert it to PNG or JPEG")


def test_kaggles_test_set_is_read_into_its_submission(sweep_store: Run, tmp_path: Path, digits: Digits) -> None:
    table, submission = tmp_path / "test.csv", tmp_path / "new" / "submission.csv"
    names = ",".join(f"pixel{number}" for number in range(64))
    np.savetxt(table, digits.images[:200].reshape(200, -1), fmt="%d", delimiter=",", header=names, comments="")
    code, out, _ = predict(sweep_store, table, "--output", submission, "--model", "tiny/0", "--json")
    document = json.loads(out)
    assert (code, document["n"], sum(document["counts"].values())) == (0, 200, 200)
    header, *rows = submission.read_text().splitlines()
    assert header == "ImageId,Label"
    assert [row.split(",")[0] for row in rows] == [str(number) for number in range(1, 201)]
    right = np.array([int(row.split(",")[1]) for row in rows]) == digits.labels[:200]
    assert right.mean() > 0.6  # a tiny network trained for three epochs
    before = table.read_bytes()
    code, _, err = predict(sweep_store, table, "--output", table)
    assert (code, err) == (2, f"error: --output {table} is the table itself; name another file\n")
    assert table.read_bytes() == before
    code, _, err = predict(sweep_store, table)
    assert code == 2
    assert err == "error: a table is read alone, into a file: digits predict test.csv --output submission.csv\n"


def test_neighbours_are_training_images(sweep_store: Run, tmp_path: Path, digits: object) -> None:
    from digits_core.data.datasets import load_digits
    from digits_core.delivery.reader import Reader
    from digits_core.handwriting.reading import Picture
    from digits_core.inference.classifier import open_classifier
    from reports.rows.reading import reading_page

    draw(tmp_path / "a.png", 6)
    loaded = load_digits("sklearn-digits")
    reader = Reader(open_classifier(sweep_store.folder.parent, "tiny/0"))
    page = reading_page(list(reader.read_files([Picture(path=tmp_path / "a.png")])), "m", "d", loaded)
    near = page.pictures[0].digits[0].neighbours
    assert {one.index for one in near} <= set(loaded.parts[0].tolist())
    assert [one.distance for one in near] == sorted(one.distance for one in near)
    assert sum(one.label == 6 for one in near) >= 3


@pytest.mark.mnist
@pytest.mark.parametrize("count", [30, pytest.param(150, marks=pytest.mark.slow)])
def test_a_model_trained_on_mnist_reads_own_handwriting(mnist_runs: Path, tmp_path: Path, count: int) -> None:
    for number in range(count):
        digit, sheet = number * 7 % 10, number % len(SHEETS)
        draw(tmp_path / f"mine/{digit}-{number}.png", digit, sheet=sheet, author=number % len(AUTHORS), seed=number)
    runs = ("--runs", str(mnist_runs))
    code, out, _ = run("predict", str(tmp_path / "mine"), "--labels-from-name", *runs, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["n"] == count
    assert document["accuracy"] >= 0.96  # every sheet and author is among them
