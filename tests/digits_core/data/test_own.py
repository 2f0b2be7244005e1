import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.hands import AUTHORS
from benchmarks.pages import PAGES, STYLES, page_and_twin
from digits_core.data.checks import check_data
from digits_core.data.datasets import (
    absolute,
    check_dataset,
    components_of,
    contested_images,
    load_digits,
    public_name,
    shares_images,
)
from digits_core.data.digits import Digits, sealed_test_part, split_digits
from digits_core.errors import UsageError

pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def pictures(tmp_path: Path, digits: Digits) -> Path:
    """A folder with one sub-folder per digit, each with six enlarged images, dark on light."""
    folder = tmp_path / "mine"
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True)
        for number, image in enumerate(digits.images[digits.labels == digit][:6]):
            large = Image.fromarray(255 - image).resize((80, 80), Image.Resampling.BICUBIC)
            large.save(folder / str(digit) / f"{number}.png")
    return folder


def test_a_folder_of_classes(pictures: Path, digits: Digits) -> None:
    loaded = load_digits(f"folder:{pictures}")
    assert loaded.images.shape == (60, 28, 28)
    assert np.bincount(loaded.labels).tolist() == [6] * 10
    assert loaded.checksum == load_digits(f"folder:{pictures}").checksum  # the second load comes from the cache
    assert [len(part) for part in loaded.parts] == [36, 12, 12]
    assert np.unique(np.concatenate(loaded.parts)).size == 60


def test_others_are_told_the_name_of_your_data_and_not_where_it_lies() -> None:
    assert public_name("mnist") == "mnist"
    assert public_name("folder:/home/ana/mine") == "folder:mine"
    assert public_name("mnist+csv:/home/ana/train.csv#0..1") == "mnist+csv:train.csv#0..1"


def test_the_cache_is_keyed_by_content_and_verified(pictures: Path, data_folder: Path) -> None:
    first = load_digits(f"folder:{pictures}")
    (cached,) = (data_folder / "own").iterdir()
    cached.write_bytes(cached.read_bytes()[:-40])
    assert load_digits(f"folder:{pictures}").checksum == first.checksum
    (pictures / "3" / "0.png").write_bytes((pictures / "4" / "0.png").read_bytes())
    assert load_digits(f"folder:{pictures}").checksum != first.checksum


def test_file_names_that_start_with_the_digit(pictures: Path) -> None:
    flat = pictures.parent / "flat"
    flat.mkdir()
    for path in pictures.rglob("*.png"):
        path.rename(flat / f"{path.parent.name}-{path.name}")
    assert np.bincount(load_digits(f"folder:{flat}").labels).tolist() == [6] * 10


def test_unusable_pictures_are_listed(pictures: Path, tmp_path: Path) -> None:
    Image.new("L", (50, 50), 255).save(pictures / "1" / "white.png")
    (pictures / "2" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (pictures / "note.png").write_bytes((pictures / "1" / "0.png").read_bytes())
    os.symlink(tmp_path / "none.png", pictures / "3" / "link.png")
    pages = [Image.open(pictures / "1" / "0.png"), Image.open(pictures / "1" / "1.png")]
    pages[0].save(pictures / "6" / "two.tif", save_all=True, append_images=pages[1:])
    (pictures / "7" / "notes.txt").write_text("not read")
    Image.new("1", (20_000, 20_000)).save(pictures / "5" / "bomb.png")
    with pytest.raises(UsageError, match=r"6 of the 66 pictures in .* cannot be used"):
        load_digits(f"folder:{pictures}")
    check = check_data(f"folder:{pictures}")
    assert {one.path: one.why.split(" ")[0] for one in check.refused} == {
        "1/white.png": "no", "2/cut.jpg": "not", "note.png": "neither", "3/link.png": "it", "5/bomb.png": "20,000",
        "6/two.tif": "it",
    }  # fmt: skip
    assert check.image_count == 60
    assert check.problems == ("6 of its files cannot be used",)
    assert [one.path for one in check.left_out] == ["7/notes.txt"]
    assert check.examples == ("0/0.png -> 0", "1/0.png -> 1", "2/0.png -> 2")


def test_a_name_that_no_run_could_keep_is_refused_at_once(pictures: Path) -> None:
    odd = pictures.rename(pictures.parent / os.fsdecode(b"m\xff"))
    with pytest.raises(UsageError, match=r"is no text .UTF-8., so a run could not keep it; rename it or link to it"):
        check_dataset(f"folder:{odd}")


def test_a_page_of_digits_is_no_image_of_a_class(pictures: Path) -> None:
    whole, _, _ = page_and_twin(PAGES[0], STYLES[0], AUTHORS[0], seed=11)
    Image.fromarray(whole).save(pictures / "3" / "page.png")
    with pytest.raises(UsageError, match=r"3/page\.png: it shows 12 digits; a data set needs one digit per file"):
        load_digits(f"folder:{pictures}")


def test_a_test_folder_stays_the_test_set(pictures: Path, tmp_path: Path) -> None:
    for digit in range(10):
        for part, names in (("train", "01234"), ("test", "5")):
            (tmp_path / "tree" / part / str(digit)).mkdir(parents=True)
            for name in names:
                target = tmp_path / "tree" / part / str(digit) / f"{name}.png"
                target.write_bytes((pictures / str(digit) / f"{name}.png").read_bytes())
    loaded = load_digits(f"folder:{tmp_path / 'tree'}")
    assert loaded.published_test_count == 10
    assert check_data(f"folder:{tmp_path / 'tree'}").test_count == 10
    test, indices = sealed_test_part(loaded)
    assert indices.tolist() == list(range(50, 60))
    assert np.bincount(test.labels).tolist() == [1] * 10
    assert np.bincount(split_digits(loaded).validation.labels).min() >= 1
    only_test = load_digits(f"folder:{tmp_path / 'tree' / 'test'}")
    assert (len(only_test), only_test.published_test_count) == (10, 0)


@pytest.mark.parametrize(("name", "label"), [("seven", 7), ("class_7", 7), ("07", 7), ("set7", None)])
def test_class_folders_by_other_names(pictures: Path, name: str, label: int | None) -> None:
    (pictures / "7").rename(pictures / name)
    for number, path in enumerate(sorted((pictures / name).iterdir())):
        path.rename(path.with_name(f"2024010{number}_x.png"))
    check = check_data(f"folder:{pictures}")
    assert check.counts[7] == (6 if label == 7 else 0)
    assert len(check.refused) == (0 if label == 7 else 6)


def test_a_data_set_too_small_to_split_can_only_be_mixed(pictures: Path, tmp_path: Path) -> None:
    for path in sorted((pictures / "8").iterdir())[:3]:
        path.unlink()
    name = f"folder:{pictures}"
    with pytest.raises(UsageError, match="has 3 images of the digit 8, but splitting it needs at least 5"):
        split_digits(load_digits(name))
    np.savez(tmp_path / "even.npz", images=np.zeros((100, 28, 28), np.uint8), labels=np.arange(100) % 10)
    loaded = load_digits(f"npz:{tmp_path / 'even.npz'}+{name}")
    train, validation, test = loaded.parts
    assert set(range(100, 157)) <= set(train.tolist())
    assert len(validation) + len(test) == 40
    assert "fewer than 5 images of 8 (3)" in check_data(name).problems[0]


def test_impossible_mixtures_are_refused(pictures: Path) -> None:
    name = f"folder:{pictures}"
    with pytest.raises(UsageError, match="mixes images of 8x8 and 28x28"):
        load_digits(f"sklearn-digits+{name}")
    with pytest.raises(UsageError, match="twice"):
        load_digits(f"{name}+{name}")


@pytest.mark.mnist
def test_mnist_keeps_its_sealed_test_set_in_a_mixture(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real data folder
    mnist, mine = load_digits("mnist"), load_digits(f"folder:{pictures}")
    both = load_digits(f"mnist+folder:{pictures}")
    for part, of_mnist, of_mine in zip(both.parts, mnist.parts, mine.parts, strict=True):
        assert np.array_equal(part, np.concatenate([of_mnist, of_mine + 70_000]))
    assert both.split_id not in (mnist.split_id, mine.split_id)
    assert contested_images(f"mnist+folder:{pictures}") == contested_images("mnist")
    assert check_data("mnist").twice == 0


@pytest.mark.parametrize(
    ("name", "components"),
    [
        ("mnist", ("mnist",)),
        ("mnist+folder:a+b", ("mnist", "folder:a+b")),
        ("folder:a+csv:b+mnist", ("folder:a", "csv:b", "mnist")),
        ("optdigits-pooled+npz:x", ("optdigits-pooled", "npz:x")),
    ],
)
def test_a_plus_in_a_path_belongs_to_the_path(name: str, components: tuple[str, ...]) -> None:
    assert components_of(name) == components


def test_shared_images_are_detected() -> None:
    assert shares_images("optdigits", "sklearn-digits")
    assert not shares_images("mnist", "mnist+folder:x")
    assert absolute("mnist+folder:x") == f"mnist+folder:{Path('x').absolute()}"
    with pytest.raises(UsageError, match="did you mean 'mnist'"):
        check_dataset("mnits+folder:x")


def test_copies_and_contradictions_are_counted(tmp_path: Path, digits: Digits) -> None:
    images, labels = digits.images[:100].copy(), digits.labels[:100].copy()
    images[1], labels[1] = images[0], labels[0]
    images[2], labels[2] = images[0], (labels[0] + 1) % 10
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    check = check_data(f"npz:{tmp_path / 'a.npz'}")
    assert (check.twice, check.contradictions) == (2, 1)
    assert check.shared == {"sklearn-digits": 98}  # two of the 100 were changed
    assert check.problems == ("1 images occur under different labels",)
