"""Which part of the model each node of an exported graph belongs to. Knows graphs and their inputs, no runtime.

torch's exporter names nodes as it likes, so a tower is found by walking from the graph's inputs: what depends on
`pixels` alone is the image's, on `input_ids` or `attention_mask` alone the text's, on both the head's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

INPUTS = ("input_ids", "attention_mask", "pixels", "present")

Tower = Literal["text", "image", "head"]
TOWERS: tuple[Tower, ...] = ("text", "image", "head")

Depends = dict[str, frozenset[str]]


class NodeLike(Protocol):
    """What is asked of a node: onnx.NodeProto has it, and distill.onnx_graph.Node."""

    @property
    def op_type(self) -> str:
        """The operator."""

    @property
    def input(self) -> Sequence[str]:
        """The tensors that it takes."""

    @property
    def output(self) -> Sequence[str]:
        """The tensors that it gives."""


class Named(Protocol):
    """What is asked of a constant."""

    @property
    def name(self) -> str:
        """The tensor's name."""


AnyNode = TypeVar("AnyNode", bound=NodeLike, covariant=True)


class GraphLike(Protocol[AnyNode]):
    """What is asked of a graph: onnx.GraphProto has it, and distill.onnx_graph.Graph."""

    @property
    def node(self) -> Sequence[AnyNode]:
        """Sorted: inputs come before their use."""

    @property
    def initializer(self) -> Sequence[Named]:
        """The constants."""


def by_output(graph: GraphLike[NodeLike]) -> dict[str, Tower | None]:
    """The tower of every tensor; None for one that depends on constants only."""
    depends: Depends = {name: frozenset({name}) for name in INPUTS}
    for node in graph.node:
        reached: frozenset[str] = frozenset()
        if node.op_type != "Shape":  # how many examples there are, one input tells for all: that joins no towers
            reached = reached.union(*(depends.get(name, frozenset()) for name in node.input))
        for name in node.output:
            if name:  # "" is an output that is left out, and an input that is left out elsewhere
                depends[name] = reached
    return {name: _tower(reached) for name, reached in depends.items()}


def of_weights(graph: GraphLike[NodeLike]) -> dict[str, Tower]:
    """The tower of every constant: that of the first node that joins it with data, past those that only unpack
    it, such as DequantizeLinear."""
    towers = by_output(graph)
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

    return {item.name: find(item.name) for item in graph.initializer}


def image_nodes(graph: GraphLike[AnyNode]) -> list[AnyNode]:
    """The nodes of the image tower, in order."""
    towers = by_output(graph)
    return [node for node in graph.node if towers[node.output[0]] == "image"]


def _tower(reached: frozenset[str]) -> Tower | None:
    if not reached:
        return None
    if reached == {"pixels"}:
        return "image"
    return "head" if "pixels" in reached else "text"
