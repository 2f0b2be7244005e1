from pathlib import Path

import pytest

from digits_core.delivery.inputs import pictures_of
from digits_core.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("3/a10.png", "3/a2.png", "7/deep/b.JPG", "notes.txt", "7-ana.webp", "3/readme.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_a_folder_of_classes_gives_labels(folder: Path) -> None:
    found = pictures_of([str(folder)], labels_from_name=False)
    assert [(one.path.relative_to(folder).as_posix(), one.label) for one in found] == [
        ("3/a2.png", 3), ("3/a10.png", 3), ("7-ana.webp", None), ("7/deep/b.JPG", 7),
    ]  # fmt: skip
    assert [one.label for one in pictures_of([str(folder / "3")], labels_from_name=False)] == [3, 3]


def test_patterns_and_names(folder: Path) -> None:
    found = pictures_of([f"{folder}/3/*.png", f"{folder}/3/a2.png"], labels_from_name=False)
    assert [one.path.name for one in found] == ["a2.png", "a10.png"]
    (one,) = pictures_of([f"{folder}/7-*"], labels_from_name=True)
    assert one.label == 7
    (missing,) = pictures_of([f"{folder}/none.png"], labels_from_name=False)  # reported with the other files' results
    assert missing.label is None


@pytest.mark.parametrize(
    ("argument", "message"),
    [("{}/none/*.png", "no file matches"), ("{}/empty", "there is no picture"), ("{}/3", "does not begin with")],
)
def test_arguments_that_match_nothing_are_refused(folder: Path, argument: str, message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        pictures_of([argument.format(folder)], labels_from_name=True)
