"""Says which tower of the model, text, image or head, each node and weight of an exported graph belongs to.

torch's exporter names nodes as it likes, so towers are found by walking from the graph's inputs: what depends on
`pixels` alone belongs to the image tower, what depends on `input_ids` or `attention_mask` alone to the text tower,
and what depends on both to the head. `present`, by which a learned vector replaces a missing text or image, comes
after the encoders: with `pixels` it belongs to the head, without them it counts as the text tower's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

INPUTS = ("input_ids", "attention_mask", "pixels", "present")

Tower = Literal["text", "image", "head"]
TOWERS: tuple[Tower, ...] = ("text", "image", "head")


class NodeLike(Protocol):
    """An operator: an onnx.NodeProto or a distill.runtime.onnx.graph.Node."""

    @property
    def op_type(self) -> str:
        """The operator's type, such as "MatMul"."""

    @property
    def input(self) -> Sequence[str]:
        """The names of the tensors that it takes."""

    @property
    def output(self) -> Sequence[str]:
        """The names of the tensors that it returns."""


class ConstantLike(Protocol):
    """A constant: an onnx.TensorProto or a distill.runtime.onnx.graph.Initializer."""

    @property
    def name(self) -> str:
        """The tensor's name."""


AnyNode = TypeVar("AnyNode", bound=NodeLike, covariant=True)


class GraphLike(Protocol[AnyNode]):
    """A graph: an onnx.GraphProto or a distill.runtime.onnx.graph.Graph."""

    @property
    def node(self) -> Sequence[AnyNode]:
        """Sorted: every tensor is written before it is used."""

    @property
    def initializer(self) -> Sequence[ConstantLike]:
        """The constants."""


def tensor_towers(graph: GraphLike[NodeLike]) -> dict[str, Tower | None]:
    """The tower of every tensor by its name; None for one that depends on constants only."""
    inputs_of: dict[str, frozenset[str]] = {name: frozenset({name}) for name in INPUTS}
    for node in graph.node:
        inputs: frozenset[str] = frozenset()
        if node.op_type != "Shape":  # the batch size may be taken from any input: that joins no towers
            inputs = inputs.union(*(inputs_of.get(name, frozenset()) for name in node.input))
        for name in node.output:
            if name:  # "" is an optional output that is left out
                inputs_of[name] = inputs
    return {name: _tower(inputs) for name, inputs in inputs_of.items()}


def weight_towers(graph: GraphLike[NodeLike]) -> dict[str, Tower]:
    """The tower of every constant by its name: that of the first node that joins it with data, past nodes that
    only unpack it, such as DequantizeLinear."""
    towers = tensor_towers(graph)
    consumers: dict[str, list[NodeLike]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)

    def find(name: str) -> Tower:
        queue = [name]
        while queue:
            for node in consumers[queue.pop()]:
                tower = towers[node.output[0]]
                if tower is not None:
                    return tower
                queue += filter(None, node.output)
        return "head"

    return {constant.name: find(constant.name) for constant in graph.initializer}


def image_tower_nodes(graph: GraphLike[AnyNode]) -> list[AnyNode]:
    """The nodes of the image tower, in order."""
    towers = tensor_towers(graph)
    return [node for node in graph.node if towers[node.output[0]] == "image"]


def _tower(inputs: frozenset[str]) -> Tower | None:
    if not inputs:
        return None
    if inputs == {"pixels"}:
        return "image"
    return "head" if "pixels" in inputs else "text"
