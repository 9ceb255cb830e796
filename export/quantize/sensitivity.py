"""Which nodes of a quantised graph lose most. Knows two graphs and batches, quantises nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from distill.preprocess.inputs import Batch
from distill.runtime.onnx.towers import tensor_towers
from export.quantize.schemes import PRODUCTS, Scheme


def rank(fused: Path, quantised: Path, scheme: Scheme, batches: Sequence[Batch]) -> list[str]:
    """Names of the products and convolutions, the one that adds most error first.

    The error of a tensor is its squared distance from fp32's over fp32's own square, over all batches; what a node
    adds is the error of its output less that of its input. A node that was already kept in float is left out.
    """
    graph = onnx.load(str(fused), load_external_data=False).graph
    constants = {item.name for item in graph.initializer}
    towers = tensor_towers(graph)
    nodes = [
        node
        for node in graph.node
        if node.op_type in (*PRODUCTS, "Conv")
        and node.input[1] in constants
        and node.name not in scheme.kept
        and towers[node.output[0]] is not None
    ]
    wanted = sorted({name for node in nodes for name in (node.input[0], node.output[0])})
    with tempfile.TemporaryDirectory(prefix="distill-sensitivity-") as folder:
        pair = [_watched(model, wanted, Path(folder) / f"{i}.onnx") for i, model in enumerate((fused, quantised))]
    known = [name for name in wanted if all(name in names for _, names in pair)]
    lost, size = dict.fromkeys(known, 0.0), dict.fromkeys(known, 0.0)
    for batch in batches:
        exact, rough = (_values(session, known, batch) for session, _ in pair)
        for name in known:
            lost[name] += float(((exact[name] - rough[name]) ** 2).sum())
            size[name] += float((exact[name] ** 2).sum())
    error = {name: lost[name] / max(size[name], 1e-12) for name in known}
    added = {node.name: error.get(node.output[0], 0.0) - error.get(node.input[0], 0.0) for node in nodes}
    return sorted(added, key=lambda name: -added[name])


def _watched(model: Path, wanted: Sequence[str], out: Path) -> tuple[onnxruntime.InferenceSession, set[str]]:
    """A session that also gives those of the wanted tensors that the graph has."""
    proto = onnx.load(str(model))
    there = {name for node in proto.graph.node for name in node.output} & set(wanted)
    given = {item.name for item in proto.graph.output}
    for name in sorted(there - given):
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    onnx.save(proto, str(out))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(out), options, providers=["CPUExecutionProvider"]), there


def _values(
    session: onnxruntime.InferenceSession, names: Sequence[str], batch: Batch
) -> dict[str, NDArray[np.float32]]:
    return dict(zip(names, session.run(list(names), batch.feed()), strict=True))
