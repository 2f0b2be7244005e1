"""`digits export`: a classifier as files in other formats, each checked on every test image before it is written."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from digits_core.data.datasets import load_digits, public_name
from digits_core.data.digits import LabelledImages
from digits_core.delivery import c_source, onnx_file, onnx_model
from digits_core.delivery.card import Subject, model_card
from digits_core.delivery.deployed import Deployed, as_input, in_chunks
from digits_core.delivery.exports import CARD, Export, ExportConfig, Footprint, Parity
from digits_core.errors import EnvironmentFailure
from digits_core.inference.classifier import Classifier
from digits_core.inference.sealed import open_test_images
from digits_core.judging.stats import mcnemar_p_value
from digits_core.metrics import Score
from digits_core.runs.durable import as_utf8, write_atomically

CLOSE = 1e-3  # allowed difference of probabilities between two formats of a model: rounding, other summation orders
TIMED_COUNT = 1_000  # images for the side-by-side timing
Probabilities = npt.NDArray[np.float32]  # (N, 10)


def export(classifier: Classifier, config: ExportConfig, folder: Path, say: Callable[[str], None]) -> Export:
    """Convert, check, measure, write. Raises EnvironmentFailure if the check fails or the model exceeds --max-flash."""
    if config.format == "c":
        c_source.compiler_of()  # fail before minutes are spent
    name = classifier.name
    test = open_test_images(classifier.run, classifier.records, f"export of {name} as {config.format}")
    say(f"opened the sealed test set of {classifier.run.outer.name}, as the ledger records")
    model = Deployed(classifier, takes_bytes=config.takes_bytes).eval()
    say(f"converting {name} to {config.format}{', int8' if config.int8 else ''}")
    contents, answer = _converted(classifier, model, config)
    footprint = None
    if config.format == "c":
        footprint = c_source.footprint(contents["digits_model.c"].decode())
        _check_flash(footprint, config)
    say(f"checking it on {len(test):,} test images")
    parity = _parity(test, model.answers(test.images), answer(test.images))
    if not config.int8 and (parity.disagreements or parity.largest_difference > CLOSE):
        raise EnvironmentFailure(
            f"the {config.format} file's predictions differ from torch's on {parity.disagreements} of {parity.n:,} test"
            f" images (probabilities by at most {parity.largest_difference:.2g}); nothing was written"
        )
    seconds = _side_by_side(model, answer, test) if config.format != "c" else None
    result = Export(
        model=name, config=config, folder=folder, files=(), parity=parity, seconds=seconds, footprint=footprint
    )
    contents[CARD] = as_utf8(model_card(_subject(classifier), result, config.licence))
    files = _written(folder, contents)
    return Export(**{**vars(result), "files": files})


Converted = tuple[dict[str, bytes], Callable[[npt.NDArray[np.uint8]], Probabilities]]
"""The files by name, and a function that predicts with them."""


def _converted(classifier: Classifier, model: Deployed, config: ExportConfig) -> Converted:
    if config.format == "torchscript":
        return _as_torchscript(model)
    batch = 1 if config.format == "c" else None
    graph = onnx_file.to_onnx(model, batch=batch)
    if config.int8:
        digits = load_digits(classifier.dataset)
        graph = onnx_file.quantised(graph, digits.images[digits.parts[0]], batch=batch)
    if config.format == "onnx":
        graph = onnx_file.labelled(graph, _label(classifier))
        ready = onnx_model.session(graph)
        return {onnx_model.FILE_NAME: graph}, lambda images: onnx_model.probabilities(
            ready, images, takes_bytes=config.takes_bytes
        )
    source, side = c_source.to_c(graph), classifier.side
    files = {"digits_model.c": source.encode(), "digits_model.h": c_source.header(side).encode()}
    return files, lambda images: c_source.answers(source, side, images)


def _subject(classifier: Classifier) -> Subject:
    return Subject(
        name=classifier.name,
        header=classifier.header,
        records=classifier.records,
        weights=tuple(classifier.combine.weights.tolist()),
        validation=_validation(classifier),
        pose_count=classifier.pose_count,
    )


def _validation(classifier: Classifier) -> Score | None:
    """Its score on the validation set, if it was measured as it is used: with or without test-time augmentation."""
    together = classifier.ensemble
    if (together is not None and together.uses_poses) != (classifier.pose_count > 1):
        return None
    return together.chosen.validation if together else classifier.records[0].validation


def _label(classifier: Classifier) -> onnx_model.Label:
    return onnx_model.Label(
        model=classifier.name,
        dataset=public_name(classifier.dataset),
        data_checksum=classifier.header.data_checksum,
        side=classifier.side,
        members=len(classifier.records),
        poses=classifier.pose_count,
    )


def _as_torchscript(model: Deployed) -> Converted:
    import io
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch recommends torch.export, whose files other programs cannot read
        traced = torch.jit.freeze(
            torch.jit.trace(model, as_input(np.zeros((2, model.side, model.side), np.uint8), model.takes_bytes))  # type: ignore[no-untyped-call]
        )
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
        loaded = torch.jit.load(io.BytesIO(buffer.getvalue()))  # type: ignore[no-untyped-call]

    return {"model.torchscript.pt": buffer.getvalue()}, lambda images: in_chunks(loaded, images, model.takes_bytes)


def _check_flash(footprint: Footprint, config: ExportConfig) -> None:
    if config.max_flash is not None and footprint.flash > config.max_flash:
        fix = "take a smaller --model" if config.int8 else "add --int8, or take a smaller --model"
        raise EnvironmentFailure(
            f"the model needs {footprint.flash / 1024:.1f} KB of flash, but --max-flash allows"
            f" {config.max_flash / 1024:.1f} KB: {fix} (`digits sweep --objective nll,params` finds good small ones);"
            " nothing was written"
        )


def _parity(test: LabelledImages, expected: Probabilities, said: Probabilities) -> Parity:
    if said.shape != expected.shape or not np.isfinite(said).all():
        raise EnvironmentFailure("the exported model does not output probabilities; nothing was written")
    wrong, torch_wrong = said.argmax(axis=1) != test.labels, expected.argmax(axis=1) != test.labels
    return Parity(
        n=len(test),
        disagreements=int((said.argmax(axis=1) != expected.argmax(axis=1)).sum()),
        largest_difference=float(np.abs(said - expected).max()),
        error_count=int(wrong.sum()),
        torch_error_count=int(torch_wrong.sum()),
        p_value=mcnemar_p_value(wrong, torch_wrong),
    )


def _side_by_side(
    model: Deployed, answer: Callable[[npt.NDArray[np.uint8]], Probabilities], test: LabelledImages
) -> tuple[float, float]:
    """Seconds for the same images, of the file and of torch: the best of three runs each, alternating."""
    images = test.images[:TIMED_COUNT]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for each, kept in zip((answer, model.answers), times, strict=True):
            begun = time.perf_counter()
            each(images)
            kept.append(time.perf_counter() - begun)
    return min(times[0]), min(times[1])


def _written(folder: Path, contents: dict[str, bytes]) -> tuple[Path, ...]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot write {folder}: {error.strerror}; write it elsewhere with --output"
        ) from error
    return tuple(folder / name for name in contents)
