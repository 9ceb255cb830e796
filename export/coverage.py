"""How much of a graph's weights are really 8-bit, tower by tower. Knows ONNX graphs, no recipes."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from export.to_onnx import INPUTS

EIGHT_BIT = (TensorProto.INT8, TensorProto.UINT8)
MIN_WEIGHTS = 64  # smaller constants are shapes, scales and axes


@dataclass(frozen=True)
class Coverage:
    """Numbers of 8-bit and of float weights in each tower, weights of two or more dimensions."""

    text_int8: int
    text_float: int
    picture_int8: int
    picture_float: int
    head_int8: int
    head_float: int

    def share(self, tower: str = "") -> float:
        """8-bit weights / all weights, of "text", "picture" or "head", or of the whole graph; in [0, 1]."""
        towers = (tower,) if tower else ("text", "picture", "head")
        small: int = sum(getattr(self, f"{name}_int8") for name in towers)
        large: int = sum(getattr(self, f"{name}_float") for name in towers)
        return small / max(1, small + large)


def measure(model: Path) -> Coverage:
    """Count the weights of a graph. A weight belongs to the tower of the first node that joins it with data:
    picture nodes depend on `pixels` alone, text nodes on `input_ids` or `attention_mask` alone."""
    graph = onnx.load(str(model)).graph
    consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    depends: dict[str, frozenset[str]] = {name: frozenset({name}) for name in INPUTS}
    for node in graph.node:  # ONNX graphs are sorted: inputs come before their use
        reached: frozenset[str] = frozenset().union(*(depends.get(name, frozenset()) for name in node.input))
        for name in node.input:
            consumers[name].append(node)
        for name in node.output:
            depends[name] = reached
    counts = {f"{tower}_{kind}": 0 for tower in ("text", "picture", "head") for kind in ("int8", "float")}
    for weight in graph.initializer:
        size = math.prod(weight.dims)
        if len(weight.dims) < 2 or size < MIN_WEIGHTS or weight.data_type == TensorProto.INT64:
            continue
        tower = _tower(weight.name, consumers, depends)
        counts[f"{tower}_{'int8' if weight.data_type in EIGHT_BIT else 'float'}"] += size
    return Coverage(**counts)


def _tower(name: str, consumers: dict[str, list[onnx.NodeProto]], depends: dict[str, frozenset[str]]) -> str:
    queue = [name]
    while queue:
        for node in consumers[queue.pop()]:
            reached = depends[node.output[0]]
            if not reached:  # constants only, such as DequantizeLinear of a weight: look further down
                queue += node.output
            elif reached == {"pixels"}:
                return "picture"
            elif "pixels" not in reached:
                return "text"
    return "head"
