"""An ONNX file as a model: what digits exported, what others made, and what is neither."""

import os
from pathlib import Path

import numpy as np
import pytest

from digits_core.delivery.onnx_model import Label, onnx_path, open_onnx
from digits_core.errors import EnvironmentFailure, UsageError
from tests.helpers.onnx_files import LABEL, linear_classifier, with_data_outside

IMAGES = np.random.default_rng(1).integers(0, 256, (7, 8, 8), dtype=np.uint8)


def opened(tmp_path: Path, content: bytes) -> object:
    (tmp_path / "model.onnx").write_bytes(content)
    return open_onnx(tmp_path / "model.onnx")


def test_a_file_says_what_it_was_trained_on(tmp_path: Path) -> None:
    model = opened(tmp_path, linear_classifier(metadata=LABEL.as_metadata()))
    assert (model.dataset, model.data_checksum, model.side, model.member_count) == ("sklearn-digits", "0" * 64, 8, 1)
    assert model.name == f"first/0 ({tmp_path.name}/model.onnx)"
    said = model.finite(IMAGES)
    assert said.shape == (7, 10)
    assert said.sum(axis=1) == pytest.approx(1)
    with model.on_one_thread() as same:
        assert np.abs(same.finite(IMAGES) - said).max() < 1e-6
    assert model.finite(IMAGES[:0]).shape == (0, 10)


def test_a_file_made_elsewhere_is_taken_by_its_shape(tmp_path: Path) -> None:
    model = opened(tmp_path, linear_classifier(side=28))
    assert (model.side, model.data_checksum, model.member_count) == (28, None, 1)
    assert (model.name, model.dataset) == (f"model ({tmp_path.name}/model.onnx)", "unknown data")


def test_metadata_that_is_no_number_is_not_believed(tmp_path: Path) -> None:
    hostile = {**LABEL.as_metadata(), "digits.side": "9" * 5_000, "digits.members": "-1"}
    model = opened(tmp_path, linear_classifier(metadata=hostile))
    assert (model.side, model.member_count) == (8, 1)


def test_logits_are_not_probabilities(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match="does not output probabilities of ten digits"):
        opened(tmp_path, linear_classifier(ends_with="Identity")).finite(IMAGES)


def test_what_it_says_of_its_size_is_not_believed_against_its_shape(tmp_path: Path) -> None:
    model = opened(tmp_path, linear_classifier(metadata={**LABEL.as_metadata(), "digits.side": "28"}))
    assert model.side == 8


def test_what_fails_only_when_it_is_run_is_one_line(tmp_path: Path) -> None:
    model = opened(tmp_path, linear_classifier())
    with pytest.raises(EnvironmentFailure, match="cannot be run on its images: ") as raised:
        model.finite(np.zeros((3, 9, 9), np.uint8))
    assert "\n" not in str(raised.value)


def test_names_in_a_file_stay_on_one_line(tmp_path: Path) -> None:
    hostile = {"digits.model": "a\n- b\x1b[31m", "digits.dataset": "x" * 5_000}
    model = opened(tmp_path, linear_classifier(metadata=hostile))
    assert model.name.startswith("a - b")
    assert len(model.dataset) < 300


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "huge.onnx").touch()
    os.truncate(tmp_path / "huge.onnx", 2**40)
    for name, message in (("pipe.onnx", "is not a file"), ("huge.onnx", "is larger than 1,024 MB")):
        with pytest.raises(UsageError, match=message):
            open_onnx(tmp_path / name)
    with pytest.raises(EnvironmentFailure, match="cannot read ~nobody-at-all/x"):
        open_onnx(onnx_path("~nobody-at-all/x.onnx"))


@pytest.mark.parametrize("content", [b"", b"no onnx", linear_classifier()[:300], with_data_outside("/etc/hostname")])
def test_what_onnxruntime_cannot_run_is_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(EnvironmentFailure, match="is not an ONNX file that onnxruntime can run") as raised:
        opened(tmp_path, content)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (linear_classifier(classes=7), "does not take images"),
        (linear_classifier(side=400), "does not say how large its images are"),
    ],
)
def test_another_kind_of_model_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        opened(tmp_path, content)


def test_which_selectors_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "deep").mkdir(parents=True)
    for folder in (tmp_path / "out", tmp_path / "out/deep"):
        (folder / "model.onnx").touch()
    assert onnx_path("missing.ONNX") == Path("missing.ONNX")
    assert onnx_path("out/deep") == Path("out/deep/model.onnx")
    assert [onnx_path(name) for name in (None, "out", "first/17", "ensemble")] == [None] * 4  # a run may be called out
    with pytest.raises(EnvironmentFailure, match=r"cannot read missing\.onnx: No such file"):
        open_onnx(Path("missing.onnx"))


def test_a_label_is_text() -> None:
    assert Label(model="a", dataset="b", data_checksum="c", side=28, members=3).as_metadata()["digits.side"] == "28"
