"""ONNX files, read by distill's own reader and guard, and compared with what the onnx package says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from campaign.outcome import Wrong
from campaign.subject import Subject
from distill.core.errors import BundleError
from distill.runtime.onnx.graph import read_graph
from distill.runtime.onnx.guard import DOMAINS, check_onnx_file
from distill.runtime.onnx.metadata import read_metadata


def seeds(subject: Subject) -> list[bytes]:
    """Small models: harmless ones, and one for each thing that the guard refuses."""
    return [bytes(model.SerializeToString()) for model in (small_model(), *_hostile())]


def small_model() -> onnx.ModelProto:
    """A model of one product, with a constant in an attribute and two metadata."""
    weight = numpy_helper.from_array(np.ones((2, 2), dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["logits"], name="product")
    value = numpy_helper.from_array(np.zeros(1, dtype=np.int64), "c")
    more = helper.make_node("Constant", [], ["unused"], value=value)
    puts = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in ("x", "logits")]
    model = helper.make_model(helper.make_graph([node, more], "g", puts[:1], puts[1:], [weight]))
    helper.set_model_props(model, {"distill.labels": '"a"', "author": "é"})
    return model


def _hostile() -> Iterator[onnx.ModelProto]:
    outside = small_model()
    outside.graph.initializer[0].data_location = TensorProto.EXTERNAL
    outside.graph.initializer[0].external_data.add(key="location", value="../secret")
    yield outside
    foreign = small_model()
    foreign.graph.node[0].domain = "ai.evil"
    yield foreign
    compiled = small_model()
    compiled.graph.node[0].op_type = "EPContext"
    yield compiled
    branching = small_model()
    branch = helper.make_graph([], "b", [], [], [])
    branching.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    yield branching
    sparse = small_model()
    parts = [helper.make_tensor(name, kind, [1], [1]) for name, kind in (("v", 1), ("i", 7))]
    sparse.graph.sparse_initializer.append(helper.make_sparse_tensor(*parts, [4]))
    yield sparse
    functions = small_model()
    functions.functions.append(helper.make_function("ai.onnx", "F", ["x"], ["y"], [], []))
    yield functions


def opened(subject: Subject, folder: Path) -> Callable[[bytes], object]:
    """Guard and read a file; a file that the onnx package reads must say the same to both."""
    path = folder / "model.onnx"

    def run(content: bytes) -> None:
        path.write_bytes(content)
        try:
            check_onnx_file(path)
            allowed = True
        except BundleError:
            allowed = False
        if allowed and (model := _parsed(content)) is not None:
            danger = _danger(model)
            if danger:
                raise Wrong("the guard let something through", danger)
            if read_graph(path).node and [node.op_type for node in read_graph(path).node] != [
                node.op_type for node in model.graph.node
            ]:
                raise Wrong("the reader and onnx read other operators")
        read_metadata(path)
        read_graph(path)

    return run


def _parsed(content: bytes) -> onnx.ModelProto | None:
    try:
        model = onnx.ModelProto()
        model.ParseFromString(content)
    except (DecodeError, UnicodeDecodeError, ValueError):
        return None
    return model


def _danger(model: onnx.ModelProto) -> str | None:
    """What onnxruntime would follow; None for a model that only computes."""
    if model.functions or model.training_info:
        return "functions or training steps"
    if model.graph.sparse_initializer:
        return "sparse weights"
    tensors: list[Any] = list(model.graph.initializer)
    for node in model.graph.node:
        if node.domain.encode() not in DOMAINS:
            return f"an operator of {node.domain!r}"
        if node.op_type == "EPContext":
            return "a compiled model"
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                return "a graph inside an operator"
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                return "sparse weights in an attribute"
            tensors += [attribute.t, *attribute.tensors]
    if any(tensor.external_data or tensor.data_location == TensorProto.EXTERNAL for tensor in tensors):
        return "weights in another file"
    return None
