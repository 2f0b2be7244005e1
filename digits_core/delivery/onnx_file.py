"""A classifier made into an ONNX file, in float32 or int8. onnx_model.py reads it again, without torch."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from digits_core.delivery.deployed import Deployed, as_input
from digits_core.delivery.onnx_model import INPUT, OUTPUT, Label

CALIBRATION_COUNT = 512  # training images that calibrate the int8 ranges
QUANTISED = [
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "Relu",
    "MaxPool",
    "GlobalAveragePool",
    "AveragePool",
    "Reshape",
    "Flatten",
]


def to_onnx(model: Deployed, *, batch: int | None = None) -> bytes:
    """The ONNX graph, for batches of any size, or of size `batch` only."""
    side = model.side
    example = as_input(np.zeros((batch or 2, side, side), np.uint8), model.takes_bytes)
    dynamic = None if batch else {"image": {0: torch.export.Dim("n"), **_any_size(model)}}
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model, (example,), path, input_names=[INPUT], output_names=[OUTPUT], dynamic_shapes=dynamic,
            dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
        graph = onnx.load(path)
    for node in [*graph.graph.node, graph]:  # drop the Python source locations that the exporter adds
        del node.metadata_props[:]
        node.doc_string = ""
    return bytes(graph.SerializeToString())


def _any_size(model: Deployed) -> dict[int, object]:
    return {2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)} if model.takes_bytes else {}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which reports every step."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def labelled(content: bytes, label: Label) -> bytes:
    """The graph with a label among its metadata, so that it can be used without its run."""
    graph = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(graph, label.as_metadata())
    return bytes(graph.SerializeToString())


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, images: npt.NDArray[np.uint8], batch: int) -> None:
        self.rest = iter([images[at : at + batch] for at in range(0, len(images), batch)])

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """The next batch, as the graph takes it; None at the end."""
        images = next(self.rest, None)
        return None if images is None else {INPUT: as_input(images, takes_bytes=False).numpy()}


def quantised(content: bytes, training_images: npt.NDArray[np.uint8], *, batch: int | None = None) -> bytes:
    """The graph quantised to int8, its ranges calibrated on training images, uint8 (N, side, side)."""
    images = training_images[np.linspace(0, len(training_images) - 1, CALIBRATION_COUNT).astype(int)]
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
        whole.write_bytes(content)
        quantize_static(
            whole, small, _Images(images, batch or 32), quant_format=QuantFormat.QOperator, per_channel=True,
            op_types_to_quantize=QUANTISED, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return small.read_bytes()
