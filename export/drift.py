"""Where an exported graph drifts from torch: the layer in which the difference grows most, for the error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from torch import Tensor, nn

from distill.model.classifier import Classifier
from distill.preprocess.inputs import ModelInputs

ROUNDING = 1e-6  # of a layer's largest output, and of no interest
RECOGNISED = 0.05  # of a layer's largest output: beyond it, a tensor of the graph is another layer's
TINY_VARIANCE = 1e-4


def describe_drift(classifier: Classifier, model: Path, batch: ModelInputs) -> str:
    """A clause that names the layer of the network, and the node of the graph, in which the difference grows most;
    "" where no layer is recognised in the graph. Export folds and fuses layers, so a layer's tensor is the one of
    its shape that is nearest to it."""
    try:
        tensors = _graph_tensors(model, batch)
    except Exception:  # noqa: BLE001  # onnxruntime raises errors of its own; the fault itself is reported anyway
        return ""
    before, largest = ROUNDING, (0.0, "")
    for layer, expected in _layer_outputs(classifier, batch).items():  # in the order in which they run
        scale = float(np.abs(expected).max()) or 1.0
        alike = [(node, actual) for node, actual in tensors if actual.shape == expected.shape]
        near = [(float(np.abs(actual - expected).max()) / scale, node) for node, actual in alike]
        recognised = [(drift, node) for drift, node in near if drift < RECOGNISED]  # not of nan
        if recognised:
            drift, node = min(recognised)
            clause = f"; it drifts most in {layer} (node {node}): by {drift:.1g} of its largest output"
            largest = max(largest, (drift / before, clause + _cause(classifier, layer)))
            before = max(before, drift)
    return largest[1]


def _cause(classifier: Classifier, layer: str) -> str:
    variance = getattr(classifier.network.get_submodule(layer), "running_var", None)
    if variance is None or float(variance.min()) > TINY_VARIANCE:
        return ""
    return f", a batch norm with a variance of {float(variance.min()):.1g}, which enlarges rounding"


def _layer_outputs(classifier: Classifier, batch: ModelInputs) -> dict[str, NDArray[Any]]:
    """The outputs of the network's layers by name, those that are float arrays."""
    outputs: dict[str, NDArray[Any]] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
                outputs[name] = output.float().numpy()

        return hook

    leaves = [(name, module) for name, module in classifier.network.named_modules() if not list(module.children())]
    handles = [module.register_forward_hook(keep(name)) for name, module in leaves]
    try:
        classifier.batch_logits(batch)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _graph_tensors(model: Path, batch: ModelInputs) -> list[tuple[str, NDArray[Any]]]:
    """(node, output) of every node of the graph with a float output."""
    graph = onnx.load(str(model))
    present = {output.name for output in graph.graph.output}
    names = [(node.name or node.op_type, name) for node in graph.graph.node for name in node.output if name]
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for _, name in names if name not in present)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    values = session.run([name for _, name in names], batch.feed())
    pairs = zip((node for node, _ in names), values, strict=True)
    return [(node, value) for node, value in pairs if getattr(value, "dtype", None) == np.float32 and value.size]
