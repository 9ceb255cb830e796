"""Quantise with NNCF for OpenVINO: `distill export --int8 --runtime openvino`, and the peer of `distill bench`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distill.core.errors import ExportError
from distill.core.extras import require
from distill.core.machine.cpu import CpuTarget
from distill.core.output.quiet import quiet
from distill.core.output.terminal import note
from distill.core.settings.recipe import ExportConfig
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.towers import image_tower_nodes
from distill.runtime.openvino.graph import graph_of
from distill.runtime.openvino.model import OpenVinoModel
from distill.runtime.openvino.package import import_openvino, last_line
from distill.runtime.pipeline import LogitsFunction
from export.quantize.schemes import NncfScheme
from export.quantize.search import Candidate, SearchInputs, measure_candidates, rank_candidates, refuse_over_budget

# In order of what they cost: the next is tried only while all before it lose too much.
SCHEMES = (
    NncfScheme("fast", "int8"),
    NncfScheme("accurate", "int8"),
    NncfScheme("accurate", "float"),
)


def search_with_nncf(inputs: SearchInputs, config: ExportConfig) -> list[Candidate]:
    """Every file that was tried, the one to ship first. Raises ExportError when none is within the budget of F1."""
    candidates: list[Candidate] = []
    for number, scheme in enumerate(SCHEMES):
        if config.convolutions not in ("auto", scheme.convolutions):
            continue
        note(f"quantising for {inputs.target} with NNCF: {scheme}")
        file = inputs.fp32.with_name(f"nncf{number}.xml")
        settings = _settings(inputs.fp32, scheme, inputs.target)
        quantize_with_nncf(inputs.fp32, file, inputs.calibration, "--int8 --runtime openvino", settings)
        candidates += measure_candidates(inputs, {file: scheme}, open_with_openvino)
        if candidates[-1].f1_drop.value <= config.max_f1_drop:
            break
    refuse_over_budget(rank_candidates(candidates, config.max_f1_drop)[0], candidates, config.max_f1_drop, "int8")
    return rank_candidates(candidates, config.max_f1_drop)


def quantize_with_nncf(
    onnx: Path,
    out: Path,
    calibration: Sequence[ModelInputs],
    user: str,
    settings: Callable[[Any], dict[str, Any]] = lambda _: {},
) -> None:
    """Write `out` (.xml, and a .bin beside it) from an fp32 ONNX file. `settings` makes more arguments of
    `nncf.quantize` from the package. Raises ExportError, and InstallError when a package is missing."""
    openvino = import_openvino(user, "peers")
    with quiet():
        nncf = require("nncf", user, "peers")
    errors = (nncf.ValidationError, nncf.InternalError, nncf.UnsupportedModelError)
    try:
        with quiet():
            quantised = nncf.quantize(
                openvino.Core().read_model(onnx),
                nncf.Dataset(calibration, lambda batch: batch.feed()),
                subset_size=len(calibration),
                model_type=nncf.ModelType.TRANSFORMER,  # which its documentation asks for where there is one
                **settings(nncf),
            )
            openvino.save_model(quantised, out, compress_to_fp16=False)  # as its documentation saves such a model
    except (*errors, RuntimeError, ValueError, LookupError) as error:
        raise ExportError(
            f"{onnx}: NNCF {nncf.__version__} cannot quantise it ({last_line(error)}); leave out {user}"
        ) from error


def open_with_openvino(file: Path, threads: int) -> LogitsFunction:
    """What runs a file, parent or candidate, in OpenVINO. Raises BundleError."""
    return OpenVinoModel(file, threads).run


def _settings(onnx: Path, scheme: NncfScheme, target: CpuTarget) -> Callable[[Any], dict[str, Any]]:
    def settings(nncf: Any) -> dict[str, Any]:
        # Without VNNI, products are added up in 16 bits: weights of 7 bits cannot overflow there.
        fix = nncf.OverflowFix.ENABLE if target == "x86-avx2" else nncf.OverflowFix.DISABLE
        chosen = {
            "fast_bias_correction": scheme.bias_correction == "fast",
            "advanced_parameters": nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        }
        if scheme.convolutions == "float":
            graph = graph_of(import_openvino().Core().read_model(onnx))
            names = [node.name for node in image_tower_nodes(graph) if node.op_type.endswith("Convolution")]
            chosen["ignored_scope"] = nncf.IgnoredScope(names=names, validate=False)
        return chosen

    return settings
