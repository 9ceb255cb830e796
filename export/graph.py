"""Work on an fp32 graph before it is quantised: folded constants, fused operators. Knows ONNX, no weights' meaning.

The fused graph holds operators of onnxruntime's own (com.microsoft) and is only ever the parent of a quantised
file: the fp32 file that ships stays in standard operators, which every runtime opens.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.optimizer import fold_constants
from onnxscript.rewriter.ort_fusions import optimize_for_ort

LIMIT = 1 << 34  # of a constant's elements: fold whatever its size


def fuse(fp32: Path, out: Path) -> None:
    """Write `out`: attention, layer norms and GELU as single operators, and every weight as a plain constant.

    Three products of one input become one. Weights that several layers share, as in ALBERT, come out of torch's
    exporter behind a Transpose that it leaves to the runtime, and a quantiser passes over what is no constant:
    folding them is what makes such a graph quantisable. The caller checks the result against torch.
    """
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    model, _ = optimize_for_ort(ir.load(fp32))
    fold_constants(model, onnx_shape_inference=False, input_size_limit=LIMIT, output_size_limit=LIMIT)
    RemoveUnusedNodesPass()(model)
    proto = ir.to_proto(model)
    _unpack_attention(proto.graph)
    onnx.save(proto, str(out))


def _unpack_attention(graph: onnx.GraphProto) -> None:
    """Attention with its packed input product, which no quantiser reaches, to MatMul, Add, Split and
    MultiHeadAttention. In place; constants get names that start with "qkv"."""
    nodes: list[onnx.NodeProto] = []
    weights = {item.name: item for item in graph.initializer}
    for node in graph.node:
        if node.op_type != "Attention" or len(node.input) < 3 or node.input[1] not in weights:
            nodes.append(node)
            continue
        name = node.name or node.output[0]
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        width = weights[node.input[1]].dims[1]
        sizes = settings.pop("qkv_hidden_sizes", [width // 3] * 3)
        split = numpy_helper.from_array(np.array(sizes, dtype=np.int64), f"qkv_sizes_{name}")
        graph.initializer.append(split)
        product, biased = f"{name}_qkv", f"{name}_qkv_biased"
        parts = [f"{name}_{part}" for part in ("query", "key", "value")]
        bias = node.input[5] if len(node.input) > 5 else ""
        mask = node.input[3] if len(node.input) > 3 else ""
        nodes += [
            helper.make_node("MatMul", node.input[:2], [product], name=product),
            helper.make_node("Add", [product, node.input[2]], [biased], name=biased),
            helper.make_node("Split", [biased, split.name], parts, name=f"{name}_split", axis=-1),
            helper.make_node(
                "MultiHeadAttention",
                [*parts, "", mask, bias],
                list(node.output[:1]),
                name=f"{name}_heads",
                domain="com.microsoft",
                **settings,
            ),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
