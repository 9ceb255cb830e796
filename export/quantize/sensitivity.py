"""Find the nodes of a quantised graph that lose most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnxruntime import InferenceSession, SessionOptions

from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.towers import tensor_towers
from export.quantize.schemes import MATMUL_OPS


def most_sensitive_nodes(fused: Path, quantized: Path, batches: Sequence[ModelInputs]) -> list[str]:
    """Names of the products and convolutions, the one that adds most error first.

    The error of a tensor is its squared distance from fp32's over fp32's own square, over all batches; what a node
    adds is the error of its output less that of its input.
    """
    models = [onnx.load(str(path)) for path in (fused, quantized)]
    graph = models[0].graph
    constants = {item.name for item in graph.initializer}
    towers = tensor_towers(graph)
    nodes = [
        node
        for node in graph.node
        if node.op_type in (*MATMUL_OPS, "Conv")
        and node.input[1] in constants
        and towers[node.output[0]] is not None
    ]
    in_both = set.intersection(*({name for node in model.graph.node for name in node.output} for model in models))
    watched = sorted(in_both & {name for node in nodes for name in (node.input[0], node.output[0])})
    sessions = [_open_watched(model, watched) for model in models]
    distance, size = dict.fromkeys(watched, 0.0), dict.fromkeys(watched, 0.0)
    for batch in batches:
        exact, rounded = (session.run(watched, batch.feed()) for session in sessions)
        for name, value, approximation in zip(watched, exact, rounded, strict=True):
            distance[name] += float(((value - approximation) ** 2).sum())
            size[name] += float((value**2).sum())
    error = {name: distance[name] / max(size[name], 1e-12) for name in watched}
    added = {node.name: error.get(node.output[0], 0.0) - error.get(node.input[0], 0.0) for node in nodes}
    return sorted(added, key=lambda name: -added[name])


def _open_watched(model: onnx.ModelProto, tensors: Sequence[str]) -> InferenceSession:
    """A session that also gives inner tensors."""
    for name in sorted(set(tensors) - {item.name for item in model.graph.output}):
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = SessionOptions()
    options.log_severity_level = 3
    return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
