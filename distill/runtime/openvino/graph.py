"""OpenVINO's graphs as `distill.runtime.onnx.graph` describes them, so that towers are found in the same way."""

from __future__ import annotations

from typing import Any

from distill.runtime.onnx.graph import FLOAT, INT4, INT8, INT64, UINT4, UINT8, Graph, Initializer, Node
from distill.runtime.onnx.towers import Tower, tensor_towers

DATA_TYPES = {"f32": FLOAT, "u8": UINT8, "i8": INT8, "i64": INT64, "u4": UINT4, "i4": INT4}
OTHER = 0  # TensorProto.UNDEFINED


def graph_of(model: Any) -> Graph:
    """The graph of a model that was read: a node a layer, which writes one tensor of its own name."""
    nodes, constants = [], []
    for layer in model.get_ordered_ops():
        name, kind = layer.get_friendly_name(), layer.get_type_name()
        if kind == "Constant":
            shape = tuple(layer.output(0).get_shape())
            constants.append(Initializer(name, shape, DATA_TYPES.get(layer.get_element_type().to_string(), OTHER)))
        elif kind != "Parameter":
            nodes.append(_node(layer, name, kind))
    return Graph(tuple(nodes), tuple(constants))


def layer_towers(compiled: Any) -> dict[str, Tower | None]:
    """The tower of each layer that a compiled model really runs, by its name; None for one that depends on no
    input."""
    layers = compiled.get_runtime_model().get_ordered_ops()
    nodes = [_node(layer, layer.get_friendly_name(), fact(layer, "layerType")) for layer in layers]
    towers = tensor_towers(Graph(tuple(node for node in nodes if node.op_type not in ("Input", "Const")), ()))
    return {node.name: towers.get(node.name) for node in nodes}


def fact(layer: Any, name: str) -> str:
    """What OpenVINO says about a layer that it runs, such as its "runtimePrecision"."""
    info = layer.get_rt_info()
    return str(info[name].astype(str)) if name in info else ""


def _node(layer: Any, name: str, kind: str) -> Node:
    sources = tuple(port.get_source_output().get_node().get_friendly_name() for port in layer.inputs())
    return Node(name, "Shape" if kind == "ShapeOf" else kind, sources, (name,))
