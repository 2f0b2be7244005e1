"""ONNX files as other programs write them, made without torch."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from digits_core.delivery.onnx_model import Label

LABEL = Label(model="first/0", dataset="sklearn-digits", data_checksum="0" * 64, side=8, members=1)


def linear_classifier(
    side: int = 8, *, ends_with: str = "Softmax", classes: int = 10, metadata: Mapping[str, str] | None = None
) -> bytes:
    """An ONNX file, float32 (N, 1, side, side) -> (N, classes): one dense layer, then `ends_with`."""
    weights = np.random.default_rng(0).normal(0, 0.1, (side * side, classes)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
            helper.make_node(ends_with, ["logits"], ["y"]),
        ],
        "made elsewhere",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    return bytes(model.SerializeToString())


def with_data_outside(path: str) -> bytes:
    """An ONNX file whose weights are said to lie in another file."""
    model = onnx.load_model_from_string(linear_classifier())
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=path)
    return bytes(model.SerializeToString())
