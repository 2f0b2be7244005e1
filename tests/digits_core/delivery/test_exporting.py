import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from huggingface_hub import ModelCard

from digits_core.data.digits import Digits
from digits_core.delivery.deployed import Deployed
from digits_core.delivery.onnx_model import open_onnx
from digits_core.delivery.reader import open_model
from digits_core.errors import UsageError
from digits_core.inference.classifier import open_classifier
from digits_core.inference.ensembling import build_ensemble
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from tests.helpers.command_line import run

NEEDS_COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is installed")


def export(store: Run, *arguments: object) -> tuple[int, str, str]:
    return run("export", *map(str, arguments), "--runs", str(store.folder.parent))


def exported(store: Run, folder: Path, *arguments: str) -> dict:
    code, out, err = export(store, *arguments, "--output", folder, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize("method", ["uniform", "greedy", "vote", "stack"])
def test_one_module_predicts_as_the_ensemble_does(sweep_store: Run, digits: Digits, method: str) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3, method=method, calibrate="temperature"))
    classifier = open_classifier(sweep_store.folder.parent, "ensemble")
    images = digits.take(digits.parts[1]).images
    expected = classifier.probabilities(images)
    assert np.abs(Deployed(classifier).answers(images) - expected).max() < 2e-3


def test_onnx_predicts_as_torch_does(sweep_store: Run, tmp_path: Path, digits: Digits) -> None:
    document = exported(sweep_store, tmp_path / "out", "--model", "tiny/0", "--license", "mit")
    assert document["parity"]["disagreements"] == 0
    assert document["parity"]["n"] == 359
    assert document["parity"]["largest_difference"] < 1e-4
    images = digits.take(digits.parts[1]).images
    session = onnxruntime.InferenceSession((tmp_path / "out" / "model.onnx").read_bytes())
    said = session.run(None, {"image": images[:, np.newaxis].astype(np.float32) / 255})[0]
    assert np.abs(said - sweep_store.validation_probabilities(0)).max() < 5e-3
    graph = onnx.load(tmp_path / "out" / "model.onnx")
    assert "/" not in str([node.metadata_props for node in graph.graph.node])  # no path of this machine
    assert {one.key: one.value for one in graph.metadata_props}["digits.model"] == "tiny/0"
    as_file, as_run = open_onnx(tmp_path / "out" / "model.onnx"), open_classifier(sweep_store.folder.parent, "tiny/0")
    assert np.abs(as_file.finite(images) - as_run.finite(images)).max() < 5e-3
    assert (as_file.dataset, as_file.data_checksum, as_file.side) == ("sklearn-digits", digits.checksum, 8)
    assert [opening.purpose for opening in sweep_store.ledger] == ["export of tiny/0 as onnx"]
    card = (tmp_path / "out" / "README.md").read_text()
    for word in ("tiny/0", "sklearn-digits", "seed 0", "Wilson", "0 of 359 predictions differ", "Limits"):
        assert word in card
    read = ModelCard(card)  # the hub library's own reader: raises for results that it does not understand
    (on_test,) = read.data.eval_results  # not on validation: that is our own cut, and no split of the hub's
    assert (on_test.metric_type, on_test.dataset_split) == ("accuracy", "test")
    assert on_test.metric_value == pytest.approx(1 - document["parity"]["error_count"] / 359, abs=1e-6)
    assert on_test.dataset_name == "sklearn-digits, sealed test set"
    example = card.partition("```python")[2].partition("```")[0].replace("model.onnx", str(tmp_path / "out/model.onnx"))
    names: dict = {}
    exec(example, names)  # noqa: S102 - what people copy from the card must run
    assert names["probabilities"].shape == (1, 10)
    assert read.data.license == "mit"
    assert read.data.library_name == "onnx"
    assert {"handwritten-digits", "onnx"} <= set(read.data.tags)


def test_preprocessing_inside_takes_any_size_and_polarity(sweep_store: Run, tmp_path: Path, digits: Digits) -> None:
    exported(sweep_store, tmp_path / "out", "--model", "tiny/0", "--preprocess")
    session = onnxruntime.InferenceSession((tmp_path / "out" / "model.onnx").read_bytes())
    image = digits.images[digits.parts[1][:50]]
    padded = np.pad(image, ((0, 0), (0, 0), (0, 0)))[:, np.newaxis]
    large = padded.repeat(4, 2).repeat(4, 3)
    small_said, large_said = (session.run(None, {"image": each})[0].argmax(1) for each in (padded, large))
    assert (small_said == large_said).mean() > 0.9
    framed = np.pad(padded, ((0, 0), (0, 0), (1, 1), (1, 1)))
    light, dark = (session.run(None, {"image": each})[0] for each in (framed, 255 - framed))
    assert np.abs(light - dark).max() < 1e-5


def test_int8_is_smaller_and_its_cost_is_reported(sweep_store: Run, tmp_path: Path) -> None:
    whole = exported(sweep_store, tmp_path / "a", "--model", "tiny/0")
    small = exported(sweep_store, tmp_path / "b", "--model", "tiny/0", "--int8")
    sizes = [document["files"][0]["bytes"] for document in (whole, small)]
    assert sizes[1] < 0.6 * sizes[0]
    assert small["parity"]["disagreements"] <= 18
    assert small["parity"]["torch_error_count"] == whole["parity"]["error_count"]
    operators = {node.op_type for node in onnx.load(tmp_path / "b" / "model.onnx").graph.node}
    assert "QLinearConv" in operators


def test_torchscript(sweep_store: Run, tmp_path: Path) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3, method="uniform"))
    document = exported(sweep_store, tmp_path / "a", "--ensemble", "--format", "torchscript")
    assert document["model"] == "tiny/ensemble"
    assert document["parity"]["disagreements"] == 0


@pytest.mark.parametrize("kind", ["onnx", "torchscript", pytest.param("c", marks=NEEDS_COMPILER)])
def test_test_time_augmentation_is_in_the_file(sweep_store: Run, tmp_path: Path, digits: Digits, kind: str) -> None:
    runs = sweep_store.folder.parent
    document = exported(sweep_store, tmp_path / "a", "--model", "tiny/0", "--tta", "--format", kind)
    assert document["parity"]["disagreements"] == 0
    assert "sees the image in up to 5 poses" in (tmp_path / "a" / "README.md").read_text()
    if kind == "onnx":
        model, images = open_onnx(tmp_path / "a" / "model.onnx"), digits.take(digits.parts[1]).images
        assert model.pose_count == 5
        assert np.abs(model.finite(images) - open_classifier(runs, "tiny/0", tta=True).finite(images)).max() < 5e-3
        assert np.abs(model.finite(images) - open_classifier(runs, "tiny/0").finite(images)).max() > 1e-3


def test_tta_cannot_be_added_to_a_file_or_taken_from_it(sweep_store: Run, tmp_path: Path) -> None:
    runs = sweep_store.folder.parent
    with_it, without = tmp_path / "with", tmp_path / "without"
    exported(sweep_store, with_it, "--model", "tiny/0", "--tta")
    exported(sweep_store, without, "--model", "tiny/0")
    with pytest.raises(UsageError, match="was exported without test-time augmentation: leave out --tta, or export the"):
        open_model(runs, str(without / "model.onnx"), tta=True)
    with pytest.raises(UsageError, match="was exported with test-time augmentation: leave out --no-tta, or export"):
        open_model(runs, str(with_it / "model.onnx"), tta=False)
    assert open_model(runs, str(with_it / "model.onnx"), tta=True).pose_count == 5


@NEEDS_COMPILER
@pytest.mark.parametrize("int8", [False, True])
def test_c_without_malloc_predicts_the_same(sweep_store: Run, tmp_path: Path, int8: bool) -> None:
    arguments = ["--int8"] if int8 else []
    document = exported(sweep_store, tmp_path / "a", "--model", "tiny/0", "--format", "c", *arguments)
    assert document["parity"]["disagreements"] <= (18 if int8 else 0)
    source = (tmp_path / "a" / "digits_model.c").read_text()
    assert "malloc" not in source
    flash = document["footprint"]["flash"]
    parameters = sweep_store.trial(0).read_record().parameter_count
    assert parameters * (1 if int8 else 4) <= flash < parameters * (1 if int8 else 4) + 20_000
    assert 0 < document["footprint"]["ram"] < 100_000
    if int8:  # once: it converts and compiles all over again
        code, _, err = export(sweep_store, "--model", "tiny/0", "--format", "c", *arguments, "--max-flash", "1k")
        assert code == 1
        assert "--max-flash allows 1.0 KB" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--format", "onx"), 2, "did you mean 'onnx'"),
        (("--format", "torchscript", "--int8"), 2, "--int8 is for onnx and c"),
        (("--format", "c", "--preprocess"), 2, "--preprocess is for onnx"),
        (("--max-flash", "64k"), 2, "--max-flash is for --format c"),
        (("--format", "c", "--max-flash", "much"), 2, "a size such as 64k"),
        (("--model", "tiny/0", "--ensemble"), 2, "write --model tiny --ensemble"),
        (("--model", "tiny/4"), 1, "the weights of trial 4 are missing"),
        (("--ensemble",), 2, "has an ensemble yet"),
        (("--license", "my own: #"), 2, "--license takes a name such as apache-2.0"),
        (("--model", "tiny/0", "--output", "/proc/x"), 1, "cannot write"),
    ],
)
def test_bad_input(sweep_store: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    found, _, err = export(sweep_store, *arguments)
    assert found == code
    assert message in err
