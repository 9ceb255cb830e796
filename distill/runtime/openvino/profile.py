"""Measures each tower's share of a model's time and multiply-accumulates, as OpenVINO tells of its own layers."""

from __future__ import annotations

import math
from typing import Any

from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.profile import OperatorMacs
from distill.runtime.onnx.towers import TOWERS, Tower
from distill.runtime.openvino.graph import fact, layer_towers
from distill.runtime.openvino.model import OpenVinoModel, batch_shapes

UNPROFILED, PROFILED = 3, 20  # calls: what the first ones set up is no tower's time
LOW_BIT = ("u8", "i8")
MATMULS, CONVOLUTION, ATTENTION = ("FullyConnected", "MatMul"), "Convolution", "ScaledDotProductAttention"


def tower_time_shares(model: OpenVinoModel, batch: ModelInputs) -> dict[Tower, float] | None:
    """Shares of time, together 1, of a second copy of the model that is made for it: taking a profile slows the one
    that is timed. None where it is too short to tell. Raises BundleError."""
    compiled = model.compile({"PERF_COUNT": True})
    request, towers, feed = compiled.create_infer_request(), layer_towers(compiled), batch.feed()

    def seconds_so_far(calls: int) -> dict[Tower, float]:
        spent = dict.fromkeys(TOWERS, 0.0)
        for layer in request.profiling_info:
            tower = towers.get(layer.node_name)
            if tower is not None:
                # What it reports is a mean over all calls, the slow first ones with the rest.
                spent[tower] += calls * layer.real_time.total_seconds()
        return spent

    for _ in range(UNPROFILED):
        request.infer(feed)
    before = seconds_so_far(UNPROFILED)
    for _ in range(PROFILED):
        request.infer(feed)
    after = seconds_so_far(UNPROFILED + PROFILED)
    spent = {tower: max(0.0, after[tower] - before[tower]) for tower in after}
    total = sum(spent.values())
    return {tower: seconds / total for tower, seconds in spent.items()} if total else None


def count_macs(model: OpenVinoModel, batch: ModelInputs) -> list[OperatorMacs]:
    """The multiply-accumulates of every matrix product, convolution and attention, as OpenVINO runs them on this
    machine for `batch`: what it falls back to float for counts as float. Raises BundleError."""
    compiled = model.compile({}, batch_shapes(batch))  # of fixed shapes, which the layers then say
    towers = layer_towers(compiled)
    return [
        OperatorMacs(towers[layer.get_friendly_name()] or "head", fact(layer, "runtimePrecision") in LOW_BIT, macs)
        for layer in compiled.get_runtime_model().get_ordered_ops()
        if (macs := _macs(layer))
    ]


def _macs(layer: Any) -> int:
    kind = fact(layer, "layerType")
    if kind not in (*MATMULS, CONVOLUTION, ATTENTION):
        return 0
    inputs: list[list[int]] = [list(port.get_shape()) for port in layer.inputs()]
    output: list[int] = list(layer.output(0).get_shape())
    if kind in MATMULS:
        return math.prod(output) * inputs[0][-1]
    if kind == CONVOLUTION:  # the weights of a grouped one have the groups in front
        return math.prod(output) * math.prod(inputs[1][len(inputs[1]) - len(output) + 1 :])
    return 2 * math.prod(output) * inputs[1][-2]  # query x key and weights x value, over whole sequences
