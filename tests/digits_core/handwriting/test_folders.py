from collections.abc import Iterator
from pathlib import Path

import pytest

from digits_core.handwriting.folders import AmbiguousLabel, label_of, list_folder


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("7/a.png", 7), ("seven/123.png", 7), ("Sieben/5.png", 7), ("class_7/20240103_x.png", 7), ("digit-0/a.png", 0),
        ("Klasse 3/a.png", 3), ("7/writer/2/img.png", 7), ("writer/2/7/img.png", 7), ("train/7/a.png", 7),
        ("ana/7/a.png", 7), ("7/seven/a.png", 7), ("7-ana.png", 7), ("7.png", 7), ("7_20240103.png", 7),
        ("72.png", None), ("20240103_x.png", None), ("set_1/a.png", None), ("10/a.png", None), ("page3/a.png", None),
        ("a7.png", None), ("x/a.png", None), ("\u0667/a.png", None), ("12/7.png", None), ("07/1.png", 7),
        ("class_07/1.png", 7), (" 7/1.png", 7), ("\uff17/1.png", 7), ("fu\u0308nf/1.png", 5), ("img7/1.png", None),
        ("FÜNF/1.png", 5), ("sevens/1.png", 1), ("3/7-ana.png", 3),
    ],
)  # fmt: skip
def test_the_label_that_names_give(path: str, label: int | None) -> None:
    *folders, name = path.split("/")
    assert label_of(folders, name) == label


@pytest.mark.parametrize("path", ["3/7/a.png", "seven/class_3/a.png", "1/2/3/a.png"])
def test_folders_that_disagree_are_ambiguous(path: str) -> None:
    *folders, name = path.split("/")
    with pytest.raises(AmbiguousLabel, match=r"its folders disagree: \d \(folder .*\) or \d \(folder .*\); rename"):
        label_of(folders, name)


def test_what_is_not_read_is_named_and_links_are_followed(tmp_path: Path) -> None:
    mine, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    for name in ("7/a.png", "7/b.TIF", "7/notes.txt", "8/c.heic", "__MACOSX/7/._a.png", ".ipynb_checkpoints/7.png"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).touch()
    (elsewhere / "9").mkdir(parents=True)
    (elsewhere / "9" / "d.png").touch()
    (elsewhere / "e.png").touch()
    (mine / "9").symlink_to(elsewhere / "9")  # a folder
    (mine / "7" / "e.png").symlink_to(elsewhere / "e.png")  # a file
    (mine / "7" / "loop").symlink_to(mine)
    (mine / "7" / "again.png").symlink_to(mine / "7" / "a.png")
    (mine / "7" / "gone.png").symlink_to(tmp_path / "none.png")
    found = list_folder(mine)
    assert found.pictures == ("7/a.png", "7/b.TIF", "7/e.png", "9/d.png")
    assert {one.path: one.why for one in found.unreadable} == {
        "7/gone.png": "it is a link that leads nowhere",
        "8/c.heic": "this kind of picture is not read; convert it to PNG or JPEG",
    }
    assert {one.path: one.why for one in found.others} == {
        ".ipynb_checkpoints": "it is hidden",
        "__MACOSX": "it is hidden",
        "7/again.png": "it is the same file as 7/a.png",
        "7/loop": "it leads to a folder that is read already",
        "7/notes.txt": "it is not a picture",
    }


def test_a_writer_s_number_is_not_taken_for_a_digit() -> None:
    with pytest.raises(AmbiguousLabel, match="it is 3 by its folder and 7 by its name; rename one of them"):
        label_of(["writer", "3"], "7-a.png")


def test_of_a_file_that_is_reached_twice_the_path_with_a_label_counts(tmp_path: Path) -> None:
    for name in ("all", "seven", "3"):
        (tmp_path / name).mkdir()
    (tmp_path / "all" / "1.png").touch()
    (tmp_path / "seven" / "1.png").symlink_to(tmp_path / "all" / "1.png")
    (tmp_path / "3" / "a.png").touch()
    (tmp_path / "seven" / "b.png").symlink_to(tmp_path / "3" / "a.png")
    found = list_folder(tmp_path)
    assert found.pictures == ("3/a.png", "seven/1.png")
    assert [(one.path, one.why) for one in found.unreadable] == [
        ("seven/b.png", "it is the same file as 3/a.png, in another class")
    ]


def test_folders_that_link_to_each_other_are_read_once(tmp_path: Path) -> None:
    for one in range(9):
        (tmp_path / str(one)).mkdir()
    for one in range(9):
        for other in range(9):
            if one != other:
                (tmp_path / str(one) / f"to {other}").symlink_to(tmp_path / str(other))
    (tmp_path / "8" / "a.png").touch()
    assert len(list_folder(tmp_path).pictures) == 1


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("3", "4"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    listed = Path.iterdir

    def without_4(folder: Path) -> Iterator[Path]:
        if folder.name == "4":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", without_4)
    listing = list_folder(tmp_path)
    assert listing.pictures == ("3/a.png",)
    assert [(one.path, one.why) for one in listing.unreadable] == [("4", "it cannot be opened: Permission denied")]
