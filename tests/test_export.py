"""Export: torch against ONNX, what int8 reached, which file ships, and that nothing hollow or wrong does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import Chain
from onnx import TensorProto, helper, numpy_helper

from distill.bundle import Bundle
from distill.checkpoint import Checkpoint
from distill.classifier import Classifier
from distill.errors import BundleError, ExportError, ParityError
from distill.preprocess import Batch
from distill.thresholds import Thresholds
from export import calibration, coverage, graph, isa, parity, pipeline, quantize
from export.coverage import Coverage, Reach
from export.pipeline import Order, export_run
from export.quantize import Scheme
from export.search import Candidate, choose
from export.runtime import open_session, run
from export.to_onnx import to_onnx


def random_batch(rows: int, tokens: int, size: int = 32) -> Batch:
    generator = np.random.default_rng(rows * 100 + tokens)
    mask = np.ones((rows, tokens), dtype=np.int64)
    mask[0, max(1, tokens // 2) :] = 0
    pixels = generator.integers(0, 256, (rows, size, size, 3)).astype(np.uint8)
    present = np.stack([np.ones(rows), np.arange(rows) % 2], axis=1).astype(np.float32)
    return Batch(generator.integers(5, 100, (rows, tokens)), mask, pixels, present)


@pytest.mark.parametrize(("rows", "tokens"), [(1, 1), (1, 7), (3, 2), (5, 32)])
def test_onnx_logits_match_torch_within_1e4(chain: Chain, checkpoint: Checkpoint, rows: int, tokens: int) -> None:
    batch = random_batch(rows, tokens)
    spec = checkpoint.classifier.spec.picture
    pixels = (batch.pixels / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    inputs = {name: torch.from_numpy(array) for name, array in batch.feed().items()}
    inputs["pixels"] = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        expected = checkpoint.classifier.network.eval()(**inputs)
    found = run(open_session(chain.fp32 / "model.onnx", 1), batch)
    assert np.abs(found - expected.numpy()).max() < 1e-4


def test_parity_finds_a_graph_that_answers_otherwise_and_nothing_is_written(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(classifier: Classifier, path: Path) -> None:
        to_onnx(classifier, path)
        model = onnx.load(str(path))
        bias = next(item for item in model.graph.initializer if item.name == "output.bias")
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.001), bias.name))
        onnx.save(model, str(path))

    monkeypatch.setattr(pipeline, "to_onnx", damaged)
    with pytest.raises(ParityError, match=r"differs from torch by 0\.001 .* nothing was written"):
        export_run(checkpoint, chain.splits, chain.recipe.export, Order("fp32", "x86-avx2", tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_parity_does_not_take_nan_for_agreement(
    chain: Chain, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "run", lambda session, batch: np.full((len(batch.pixels), 6), np.nan, np.float32))
    with pytest.raises(ParityError, match="differs from torch by nan"):
        parity.check(
            checkpoint.classifier, chain.fp32 / "model.onnx", chain.splits.dev, 1e-4, checkpoint.thresholds
        )


def test_int8_stays_close_to_its_parent_and_is_smaller(chain: Chain, bundle: Bundle) -> None:
    parent = Bundle.open(chain.fp32)
    assert bundle.figures["size_bytes"] < 0.9 * parent.figures["size_bytes"]
    assert bundle.figures["drift"]["max_probability_difference"] < 0.05
    batch = random_batch(4, 9)
    small, large = (run(open_session(b.model, 1), batch) for b in (bundle, parent))
    assert 0 < np.abs(small - large).max() < 0.3


def test_both_convolution_choices_are_tried_and_reported(bundle: Bundle) -> None:
    assert {row["convolutions"] for row in bundle.figures["tried"]} == {"float", "int8"}
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")
    assert card.count("| shipped |") == 1
    assert card.count("| tried |") == 1


def graph_operators(path: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in onnx.load(str(path)).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def calibration() -> list[Batch]:
    return [random_batch(1, 6), random_batch(1, 9)]


@pytest.mark.parametrize("target", isa.TARGETS)
def test_every_matrix_product_and_with_int8_every_convolution_is_quantised(
    chain: Chain, tmp_path: Path, target: isa.Target
) -> None:
    fp32 = chain.fp32 / "model.onnx"
    before = graph_operators(fp32)
    constant_products = len([n for n in weights_of(fp32) if n in ("MatMul", "Gemm")])
    reached = quantize.quantize(fp32, tmp_path / "q.onnx", target, calibration(), convolutions=True)
    after = graph_operators(tmp_path / "q.onnx")
    assert after["MatMulInteger"] >= constant_products
    assert after["Conv"] == before["Conv"]  # QDQ form: onnxruntime fuses them into QLinearConv
    assert reached.share() > 0.99
    assert [path.name for path in tmp_path.iterdir()] == ["q.onnx"]


def weights_of(path: Path) -> list[str]:
    graph = onnx.load(str(path)).graph
    constants = {item.name for item in graph.initializer}
    return [node.op_type for node in graph.node if any(name in constants for name in node.input)]


def test_without_vnni_weights_keep_one_bit_free(chain: Chain, tmp_path: Path) -> None:
    """u8 x s8 pairs are added in 16 bits there: 2 * 255 * 64 fits, 2 * 255 * 127 does not."""
    largest = {}
    for target in ("x86-avx2", "x86-vnni"):
        out = tmp_path / f"{target}.onnx"
        quantize.quantize(chain.fp32 / "model.onnx", out, target, calibration(), convolutions=True)  # type: ignore[arg-type]
        tables = [
            numpy_helper.to_array(i)
            for i in onnx.load(str(out)).graph.initializer
            if i.data_type == TensorProto.INT8
        ]
        largest[target] = max(int(np.abs(t.astype(int)).max()) for t in tables if t.ndim >= 2)
    assert largest["x86-avx2"] <= 64
    assert largest["x86-vnni"] > 64


def test_onnxruntime_really_runs_the_convolutions_in_int8(chain: Chain, tmp_path: Path) -> None:
    quantize.quantize(
        chain.fp32 / "model.onnx", tmp_path / "q.onnx", isa.detect(), calibration(), convolutions=True
    )
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "q.onnx"), options, providers=["CPUExecutionProvider"])
    after = graph_operators(tmp_path / "optimised.onnx")
    assert after.get("QLinearConv", 0) >= 0.9 * (
        after.get("QLinearConv", 0) + after.get("Conv", 0) + after.get("FusedConv", 0)
    )


def test_an_albert_graph_that_onnxruntime_leaves_in_float_is_refused(chain: Chain, tmp_path: Path) -> None:
    """The known trap: no error, no smaller, no faster."""
    teacher = Checkpoint.load(chain.teacher)
    to_onnx(teacher.classifier, tmp_path / "albert.onnx")
    reached = quantize.quantize(tmp_path / "albert.onnx", tmp_path / "q.onnx", "x86-avx2", [], convolutions=False)
    int8, floats = (
        graph_operators(tmp_path / "q.onnx").get("MatMulInteger", 0),
        graph_operators(tmp_path / "q.onnx"),
    )
    if reached.share("text") < 0.9:
        with pytest.raises(ExportError, match="of the text tower's weights became int8"):
            quantize.refuse_if_hollow(reached, 0.9)
    else:  # if a later onnxruntime reaches them, the gate must agree with the graph
        assert int8 > floats.get("MatMul", 0) / 2


def test_coverage_counts_the_weights_of_a_hand_made_graph(tmp_path: Path) -> None:
    def weight(name: str, rows: int, kind: type) -> onnx.TensorProto:
        return numpy_helper.from_array(np.ones((rows, 16), dtype=kind), name)

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["text"]),
        helper.make_node("DequantizeLinear", ["small", "scale"], ["dequantised"]),
        helper.make_node("MatMul", ["pixels", "dequantised"], ["picture"]),
        helper.make_node("Add", ["text", "picture"], ["joint"]),
        helper.make_node("MatMul", ["joint", "head"], ["logits"]),
    ]
    initializers = [
        weight("table", 10, np.float32),
        weight("small", 16, np.int8),
        weight("head", 16, np.float32),
        numpy_helper.from_array(np.float32(1.0), "scale"),
    ]
    graph = helper.make_graph(nodes, "hand", [], [], initializers)
    onnx.save(helper.make_model(graph), str(tmp_path / "hand.onnx"))
    reached = coverage.measure(tmp_path / "hand.onnx")
    assert reached == Coverage(0, 160, 256, 0, 0, 256)
    assert (reached.share("text"), reached.share("picture"), reached.share()) == (0.0, 1.0, 256 / 672)
    with pytest.raises(ExportError, match="only 0% of the text tower's weights became int8"):
        quantize.refuse_if_hollow(reached, 0.9)


def candidate(name: str, drop: float, ratio: float) -> Candidate:
    nothing: Any = None
    return Candidate("dynamic", name, Path(name), nothing, nothing, 1, drop, ratio)


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([("float", 0.001, 0.7), ("int8", 0.005, 0.5)], "int8"),  # faster, within the allowed drop
        ([("float", 0.001, 0.7), ("int8", 0.02, 0.5)], "float"),  # faster, but costs too much
        ([("float", 0.001, 0.70), ("int8", 0.005, 0.69)], "float"),  # as fast: the more exact one
        ([("float", 0.03, 0.7), ("int8", 0.02, 0.5)], "int8"),  # none within it: the one that loses least
    ],
)
def test_the_file_that_ships_is_the_fastest_that_keeps_its_quality(
    candidates: list[tuple[str, float, float]], chosen: str
) -> None:
    assert choose([candidate(*item) for item in candidates], 0.01)[0].convolutions == chosen


@pytest.mark.parametrize(
    ("flags", "machine", "expected"),
    [
        ("fpu avx2 fma", "x86_64", "x86-avx2"),
        ("avx2 avx512f avx512_vnni", "x86_64", "x86-vnni"),
        ("avx2 avx_vnni", "AMD64", "x86-vnni"),
        ("avx2 avx512f avx512bw", "x86_64", "x86-avx2"),
        ("", "aarch64", "arm64"),
    ],
)
def test_the_target_follows_from_the_processors_flags(
    flags: str, machine: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\n")
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert isa.detect(cpuinfo) == expected
    assert isa.cpu_name(cpuinfo) == "Some CPU"


def test_a_bundle_for_vnni_is_said_to_be_wrong_where_there_is_none(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from export import runtime

    said: list[str] = []
    monkeypatch.setattr(runtime, "warn", said.append)
    monkeypatch.setattr(runtime, "detect", lambda: "x86-avx2")
    runtime.Predictor(replace(bundle, target="x86-vnni"))
    assert "overflow here and the answers are wrong" in said[0]
    runtime.Predictor(replace(bundle, target="x86-avx2"))
    assert len(said) == 1


def test_export_keeps_off_folders_that_are_not_bundles(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(BundleError, match="holds something that is not a Bundle"):
        export_run(checkpoint, chain.splits, chain.recipe.export, Order("fp32", "x86-avx2", tmp_path / "out"))
    assert (tmp_path / "out" / "thesis.tex").read_text() == "precious"


def test_thresholds_are_fitted_on_the_outputs_of_the_very_file(chain: Chain, bundle: Bundle) -> None:
    from distill.thresholds import fit
    from export.runtime import Predictor

    targets = bundle.labels.encode([example.labels for example in chain.splits.dev])
    p = Predictor(bundle).probabilities(chain.splits.dev)
    again = fit(p, targets, chain.recipe.student.objective, "dev, 32 examples")
    assert again.values == pytest.approx(bundle.thresholds.values, abs=1e-5)
    assert bundle.thresholds.values != Bundle.open(chain.fp32).thresholds.values


def test_drift_of_a_hand_computed_case() -> None:
    parent = np.array([[0.4, 0.6], [0.5, 0.1]], dtype=np.float32)
    child = np.array([[0.5, 0.6], [0.5, 0.3]], dtype=np.float32)
    drift = parity.compare(
        parent,
        child,
        Thresholds((0.45, 0.2), "micro", "x"),
        Thresholds((0.55, 0.4), "micro", "x"),
    )
    assert (drift.flipped, drift.flipped_refitted, drift.decisions) == (2, 1, 4)
    assert drift.max_probability_difference == pytest.approx(0.2)
    assert drift.mean_probability_difference == pytest.approx(0.075)
