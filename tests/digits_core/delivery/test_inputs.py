from pathlib import Path

import pytest
from PIL import Image

from digits_core.delivery.inputs import inputs_of
from digits_core.errors import UsageError
from digits_core.handwriting.decode import read_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("3/a10.png", "3/a2.png", "7/deep/b.JPG", "notes.txt", "7-ana.webp", "3/readme.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_a_folder_of_classes_gives_labels(folder: Path) -> None:
    found = inputs_of([str(folder)], labels_from_name=False).pictures
    assert [(one.path.relative_to(folder).as_posix(), one.label) for one in found] == [
        ("3/a2.png", 3), ("3/a10.png", 3), ("7-ana.webp", None), ("7/deep/b.JPG", 7),
    ]  # fmt: skip
    assert [one.label for one in inputs_of([str(folder / "3")], labels_from_name=False).pictures] == [3, 3]


def test_patterns_and_names(folder: Path) -> None:
    found = inputs_of([f"{folder}/3/*.png", f"{folder}/3/a2.png"], labels_from_name=False).pictures
    assert [one.path.name for one in found] == ["a2.png", "a10.png"]
    (one,) = inputs_of([f"{folder}/7-*"], labels_from_name=True).pictures
    assert one.label == 7
    (missing,) = inputs_of([f"{folder}/none.png"], labels_from_name=False).pictures  # reported with the others' results
    assert missing.label is None


@pytest.mark.parametrize(
    ("argument", "message"),
    [("{}/none/*.png", "no file matches"), ("{}/empty", "there is no picture"), ("{}/3/*.png", "does not begin with")],
)
def test_arguments_that_match_nothing_are_refused(folder: Path, argument: str, message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        inputs_of([argument.format(folder)], labels_from_name=True)


def test_what_is_left_out_is_named_and_folders_that_disagree_are_refused(folder: Path) -> None:
    found = inputs_of([str(folder)], labels_from_name=False)
    assert [one.path for one in found.left_out] == [f"{folder}/3/readme.md", f"{folder}/notes.txt"]
    (folder / "3" / "5").mkdir()
    (folder / "3" / "5" / "c.png").touch()
    with pytest.raises(UsageError, match=r"3/5/c.png: its folders disagree: 3 \(folder 3\) or 5 \(folder 5\); rename"):
        inputs_of([str(folder)], labels_from_name=False)


def test_every_page_of_a_tiff_is_a_picture(tmp_path: Path) -> None:
    pages = [Image.new("L", (40, 40), shade) for shade in (0, 100, 200)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    found = inputs_of([str(tmp_path / "scan.tif")], labels_from_name=False).pictures
    assert [one.page for one in found] == [0, 1, 2]
    assert [int(read_picture(one.path, one.page).mean()) for one in found] == [0, 100, 200]
    assert [one.name.removeprefix(str(tmp_path)) for one in found] == [
        "/scan.tif", "/scan.tif (page 2)", "/scan.tif (page 3)",
    ]  # fmt: skip


def test_a_writer_s_number_against_a_file_s_own_digit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "writer" / "3").mkdir(parents=True)
    (tmp_path / "writer" / "3" / "7-a.png").touch()
    with pytest.raises(UsageError, match=r"writer/3/7-a.png: it is 3 by its folder and 7 by its name"):
        inputs_of([str(tmp_path)], labels_from_name=True)
