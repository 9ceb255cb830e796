"""Quantising: what is reached, which file ships, and that nothing hollow, costly or useless does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from chain import Chain, random_batch
from onnx import TensorProto, helper, numpy_helper

from distill.core.errors import ExportError
from distill.core.machine import cpu
from distill.model.checkpoint import Checkpoint
from distill.preprocess.inputs import ModelInputs
from distill.runtime.bundle import Bundle
from distill.runtime.onnx import profile, towers
from distill.runtime.onnx.session import OPTIMISED, OnnxModel, open_session, run_session
from distill.runtime.predictor import Predictor
from distill.scoring.estimate import Estimate
from export.fuse import fuse_graph
from export.pipeline import ExportRequest, export_run
from export.quantize import search
from export.quantize.calibration import RANGE_METHODS, RangeMethod, Ranges, calibrate_ranges
from export.quantize.coverage import Coverage, TowerCoverage, measure_coverage, refuse_if_uncovered
from export.quantize.schemes import Matmuls, Scheme, quantize_graph, static_convolutions, static_products
from export.quantize.search import Candidate, OpenOne, SearchInputs, rank_candidates, refuse_if_no_gain
from export.quantize.sensitivity import most_sensitive_nodes
from export.to_onnx import to_onnx


def batches() -> list[ModelInputs]:
    return [random_batch(1, 6), random_batch(1, 9)]


@pytest.fixture(scope="module")
def fused(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fused") / "fused.onnx"
    fuse_graph(chain.fp32 / "model.onnx", out)
    return out


@pytest.fixture(scope="module")
def ranges(fused: Path) -> Ranges:
    return calibrate_ranges(fused, batches(), "minmax")


def operators(path: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in onnx.load(str(path)).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def test_a_fused_graph_answers_as_the_plain_one_does(chain: Chain, fused: Path) -> None:
    counts = operators(fused)
    assert counts["MultiHeadAttention"] > 0
    assert counts["BiasGelu"] == counts["MultiHeadAttention"]
    assert "Softmax" not in counts
    for rows, tokens in ((1, 1), (3, 8)):
        batch = random_batch(rows, tokens)
        plain, ours = (run_session(open_session(m, 1), batch) for m in (chain.fp32 / "model.onnx", fused))
        assert np.abs(plain - ours).max() < 1e-5


def test_the_fp32_file_holds_standard_operators_only(chain: Chain) -> None:
    assert {node.domain for node in onnx.load(str(chain.fp32 / "model.onnx")).graph.node} <= {"", "ai.onnx"}


@pytest.mark.parametrize("matmuls", ["dynamic", "static", "4-bit"])
def test_products_that_are_quantised_already_give_the_same_file(
    fused: Path, ranges: Ranges, tmp_path: Path, matmuls: Matmuls
) -> None:
    scheme, target = Scheme(matmuls, "per-channel", "minmax", "minmax"), cpu.detect_target()
    products, at_once, in_two = (tmp_path / f"{name}.onnx" for name in ("products", "at_once", "in_two"))
    quantize_graph(fused, products, scheme.with_float_convolutions(), target, ranges, {})
    quantize_graph(fused, at_once, scheme, target, ranges, ranges)
    quantize_graph(fused, in_two, scheme, target, {}, ranges, products)
    assert operators(in_two) == operators(at_once) != operators(products)
    assert in_two.read_bytes() == at_once.read_bytes()


@pytest.mark.parametrize("target", cpu.TARGETS)
@pytest.mark.parametrize("matmuls", ["dynamic", "static"])
def test_every_product_and_convolution_is_quantised(
    fused: Path, ranges: Ranges, tmp_path: Path, target: cpu.CpuTarget, matmuls: Matmuls
) -> None:
    out = tmp_path / "q.onnx"
    quantize_graph(fused, out, Scheme(matmuls, "per-channel"), target, ranges, ranges)
    reached = measure_coverage(out, random_batch(1, 8))
    for _, reach in reached.rows():
        assert reach.weights > 0.99
    if target == "x86-vnni" == cpu.detect_target():  # what another processor would run is not seen here
        assert reached.image.macs == 1.0
        assert reached.text.low_bit_macs > 0
    assert [path.name for path in tmp_path.iterdir()] == ["q.onnx"]


def test_without_vnni_weights_keep_one_bit_free(fused: Path, ranges: Ranges, tmp_path: Path) -> None:
    """u8 x s8 pairs are added in 16 bits there: 2 * 255 * 64 fits, 2 * 255 * 127 does not."""
    largest = {}
    for target in ("x86-avx2", "x86-vnni"):
        out = tmp_path / f"{target}.onnx"
        quantize_graph(fused, out, Scheme("dynamic", "per-channel"), target, {}, ranges)  # type: ignore[arg-type]
        tables = [
            numpy_helper.to_array(i)
            for i in onnx.load(str(out)).graph.initializer
            if i.data_type == TensorProto.INT8
        ]
        largest[target] = max(int(np.abs(t.astype(int)).max()) for t in tables if t.ndim >= 2)
    assert largest["x86-avx2"] <= 64
    assert largest["x86-vnni"] > 64


def test_onnxruntime_runs_a_whole_tower_in_int8_without_going_back_to_float(
    fused: Path, ranges: Ranges, tmp_path: Path
) -> None:
    quantize_graph(fused, tmp_path / "q.onnx", Scheme("dynamic", "per-channel"), cpu.detect_target(), {}, ranges)
    open_session(tmp_path / "q.onnx", 1, record=tmp_path)
    tower = [node.op_type for node in towers.image_tower_nodes(onnx.load(str(tmp_path / OPTIMISED)).graph)]
    assert tower.count("QLinearConv") == operators(fused)["Conv"]
    assert "Clip" not in tower  # ReLU6 vanished into the convolutions
    assert tower.count("QuantizeLinear") + tower.count("DequantizeLinear") <= 2  # one way in and one way out


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0"])
def test_squeeze_and_excite_stays_in_float_and_the_rest_does_not(name: str, tmp_path: Path) -> None:
    """The convolutions on one pixel between a mean and a product are those of squeeze-and-excite."""
    from torchvision.models import get_model

    network = get_model(name, weights=None).eval()
    squeezes = sum("SqueezeExc" in type(module).__name__ for module in network.modules())
    convolutions = sum(type(module) is torch.nn.Conv2d for module in network.modules())
    program = torch.onnx.export(
        network, (torch.zeros(1, 3, 64, 64),), dynamo=True, opset_version=18, input_names=["pixels"], verbose=False
    )
    program.save(str(tmp_path / "m.onnx"))
    chosen = static_convolutions(onnx.load(str(tmp_path / "m.onnx")).graph, Scheme("dynamic", "per-channel"))
    assert sum(node.op_type == "Conv" for node in chosen) == convolutions - 2 * squeezes
    assert not {node.op_type for node in chosen} & {"HardSwish", "HardSigmoid", "Sigmoid", "ReduceMean"}


def test_a_batch_size_taken_from_the_text_does_not_put_an_image_into_the_head() -> None:
    nodes = [
        helper.make_node("Shape", ["input_ids"], ["size"]),
        helper.make_node("Reshape", ["pixels", "size"], ["image"]),
        helper.make_node("Add", ["image", "present"], ["joint"]),
        helper.make_node("Cast", ["attention_mask"], ["text"], to=TensorProto.FLOAT),
    ]
    found = towers.tensor_towers(helper.make_graph(nodes, "hand", [], []))
    assert {name: found[name] for name in ("size", "image", "joint", "text")} == {
        "size": None,
        "image": "image",
        "joint": "head",
        "text": "text",
    }


@pytest.mark.slow
def test_an_albert_graph_is_quantised_to_its_last_product(chain: Chain, tmp_path: Path) -> None:
    """The known trap: its shared weights are no constants for a quantiser, which leaves the graph in float and says
    nothing. Folding makes them constants; where that should fail one day, the file is refused."""
    plain, fused, trapped, ours = (tmp_path / f"{n}.onnx" for n in ("plain", "fused", "trapped", "ours"))
    to_onnx(Checkpoint.load(chain.teacher).classifier, plain)
    batch = random_batch(1, 8)
    onnxruntime.quantization.quantize_dynamic(plain, trapped, op_types_to_quantize=["MatMul", "Gemm", "Gather"])
    hollow = measure_coverage(trapped, batch)
    assert hollow.text.macs < 0.5
    with pytest.raises(ExportError, match="of the text tower's weights became int8"):
        refuse_if_uncovered(hollow, 0.9)
    fuse_graph(plain, fused)
    quantize_graph(fused, ours, Scheme("dynamic", "float"), cpu.detect_target(), {}, {})
    reached = measure_coverage(ours, batch)
    assert reached.text.macs > 0.9
    refuse_if_uncovered(reached, 0.9)
    moved = np.abs(run_session(open_session(ours, 1), batch) - run_session(open_session(plain, 1), batch)).max()
    assert 0 < moved < 0.1


def test_coverage_counts_a_hand_made_graph(tmp_path: Path) -> None:
    """2 tokens of width 16, one image feature of width 16; the products are 1 x 16 x 16 each."""

    def weight(name: str, rows: int, kind: type) -> onnx.TensorProto:
        return numpy_helper.from_array(np.ones((rows, 16), dtype=kind), name)

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"], name="words"),
        helper.make_node("ReduceMean", ["words", "axes"], ["text"], name="mean", keepdims=0),
        helper.make_node("Cast", ["pixels"], ["light"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("HardSigmoid", ["light"], ["bounded"]),  # without a name, as exporters leave some
        helper.make_node("ReduceMean", ["bounded", "axes3"], ["one"], name="light", keepdims=0),
        helper.make_node("Unsqueeze", ["one", "axis"], ["column"], name="column"),
        helper.make_node("MatMul", ["column", "row"], ["image"], name="image"),
        helper.make_node("Mul", ["text", "image"], ["joint"], name="joint"),
        helper.make_node("MatMul", ["joint", "head"], ["logits"], name="logits"),
    ]
    initializers = [
        weight("table", 10, np.float32),
        weight("row", 1, np.float32),
        weight("head", 16, np.float32),
        numpy_helper.from_array(np.array([1]), "axes"),
        numpy_helper.from_array(np.array([1, 2, 3]), "axes3"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "t"]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["b", "t"]),
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["b", 4, 4, 3]),
        helper.make_tensor_value_info("present", TensorProto.FLOAT, ["b", 2]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 16])]
    made = helper.make_graph(nodes, "hand", inputs, outputs, initializers)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(made, opset_imports=opset, ir_version=9), str(tmp_path / "hand.onnx"))
    batch = replace(random_batch(1, 2), pixels=np.zeros((1, 4, 4, 3), np.uint8), input_ids=np.array([[1, 2]]))
    reached = measure_coverage(tmp_path / "hand.onnx", batch)
    assert reached == Coverage(
        text=TowerCoverage(float_bytes=4 * 160),
        image=TowerCoverage(float_macs=16),
        head=TowerCoverage(float_bytes=4 * 256, float_macs=256),
    )
    assert (reached.whole.weights, reached.whole.macs) == (0.0, 0.0)
    with pytest.raises(ExportError, match="only 0% of the text tower's weights became int8"):
        refuse_if_uncovered(reached, 0.9)


def test_coverage_counts_mobilenets_products_as_its_paper_does(tmp_path: Path) -> None:
    """300 M for MobileNetV2 at 224 pixels (Sandler et al. 2018, table 4); here its convolutions alone."""
    from torchvision.models import mobilenet_v2

    network = mobilenet_v2(weights=None).features.eval()
    counted = 0

    def count(module: torch.nn.Conv2d, _: Any, result: torch.Tensor) -> None:
        nonlocal counted
        counted += result.numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    network(torch.zeros(1, 3, 224, 224))
    expected = counted  # exporting calls the hooks again
    assert 0.29e9 < expected < 0.31e9
    program = torch.onnx.export(
        network, (torch.zeros(1, 3, 224, 224),), dynamo=True, opset_version=18, verbose=False
    )
    program.save(str(tmp_path / "m.onnx"))
    graph = onnx.load(str(tmp_path / "m.onnx")).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
    shapes |= {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.output}
    sizes = {item.name: tuple(item.dims) for item in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            event = {
                "op_name": "Conv",
                "input_type_shape": [],
                "output_type_shape": [{"float": shapes[node.output[0]]}],
            }
            small, macs = profile._macs(event, [sizes.get(name, ()) for name in node.input])
            assert not small
            total += macs
    assert total == expected


def test_four_bits_are_smaller_than_eight_and_stay_close(fused: Path, tmp_path: Path) -> None:
    files = {}
    for name, scheme in (("int8", Scheme("dynamic", "float")), ("int4", Scheme("4-bit", "float"))):
        files[name] = tmp_path / f"{name}.onnx"
        quantize_graph(fused, files[name], scheme, cpu.detect_target(), {}, {})
    assert operators(files["int4"])["MatMulNBits"] > 0
    reach = {name: measure_coverage(path, random_batch(1, 8)).text for name, path in files.items()}
    assert reach["int4"].low_bit_bytes < 0.6 * reach["int8"].low_bit_bytes
    batch = random_batch(2, 9)
    moved = np.abs(
        run_session(open_session(files["int4"], 1), batch) - run_session(open_session(fused, 1), batch)
    ).max()
    assert 0 < moved < 0.5


@pytest.mark.parametrize("method", list(RANGE_METHODS))
def test_calibrated_ranges_lie_within_what_was_seen(fused: Path, method: RangeMethod) -> None:
    seen = calibrate_ranges(fused, batches(), "minmax")
    found = calibrate_ranges(fused, batches(), method)
    assert set(found) == set(seen)
    for name, (low, high) in found.items():
        room = 1e-3 + 0.01 * (seen[name][1] - seen[name][0])
        assert seen[name][0] - room <= low <= high <= seen[name][1] + room


def candidate(name: str, drop: float, ratio: float) -> Candidate:
    nothing: Any = None
    scheme = Scheme("dynamic", name)  # type: ignore[arg-type]
    return Candidate(scheme, Path(name), nothing, 1, Estimate(drop, drop - 0.01, drop + 0.01), drop, drop, ratio)


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([("float", 0.001, 0.7), ("per-channel", 0.005, 0.5)], "per-channel"),  # faster, within the allowed drop
        ([("float", 0.001, 0.7), ("per-channel", 0.02, 0.5)], "float"),  # faster, but costs too much
        ([("float", 0.001, 0.70), ("per-channel", 0.005, 0.69)], "float"),  # as fast: the more exact one
        ([("float", 0.03, 0.7), ("per-channel", 0.02, 0.5)], "per-channel"),  # none within it: what loses least
    ],
)
def test_the_file_that_ships_is_the_fastest_that_keeps_its_quality(
    candidates: list[tuple[str, float, float]], chosen: str
) -> None:
    assert rank_candidates([candidate(*item) for item in candidates], 0.01)[0].scheme.convolutions == chosen


def test_a_file_compared_with_itself_loses_nothing(chain: Chain, bundle: Bundle) -> None:
    predictor = Predictor.load(chain.fp32)
    dev = predictor.probabilities(chain.splits.dev)
    inputs = SearchInputs(
        fp32=predictor.bundle.model,
        fused=predictor.bundle.model,
        examples=chain.splits.dev,
        targets=bundle.labels.encode([example.labels for example in chain.splits.dev]),
        probabilities=dev,
        thresholds=predictor.bundle.thresholds,
        preprocessor=predictor.preprocessor,
        calibration=batches(),
        trained_ranges={},
        target=cpu.detect_target(),
    )
    same, other = search.measure_candidates(
        inputs,
        {predictor.bundle.model: Scheme("dynamic", "float"), bundle.model: Scheme("dynamic", "float")},
        lambda model, threads: OnnxModel(model, threads).run,
    )
    assert (same.f1_drop, same.ap_drop, same.mean_probability_change) == (Estimate(0.0, 0.0, 0.0), 0.0, 0.0)
    int8 = Predictor.load(chain.int8).probabilities(chain.splits.dev)
    assert other.mean_probability_change == pytest.approx(np.abs(int8 - dev).mean())
    assert other.size_bytes == bundle.model.stat().st_size


def test_a_file_that_gains_nothing_is_refused_unless_the_user_insists(chain: Chain) -> None:
    config = replace(chain.recipe.export, allow_slower=False)
    here = cpu.detect_target()
    elsewhere: cpu.CpuTarget = "arm64" if here != "arm64" else "x86-avx2"
    for size, ratio in ((2, 1.2), (1, 0.5)):
        with pytest.raises(ExportError, match="it gains nothing, and nothing was written"):
            refuse_if_no_gain(candidate("float", 0.0, ratio), size, here, config)
    refuse_if_no_gain(candidate("float", 0.0, 0.5), 2, here, config)
    as_fast = replace(candidate("float", 0.0, 1.02), size_bytes=5)
    refuse_if_no_gain(as_fast, 10, here, config)  # at half the bytes
    with pytest.raises(ExportError, match="it gains nothing"):
        refuse_if_no_gain(as_fast, 9, here, config)
    refuse_if_no_gain(candidate("float", 0.0, 1.2), 2, elsewhere, config)  # its speed is not known here
    refuse_if_no_gain(candidate("float", 0.0, 1.2), 1, here, replace(config, allow_slower=True))


def test_a_node_whose_weights_were_ruined_is_the_most_sensitive(
    fused: Path, ranges: Ranges, tmp_path: Path
) -> None:
    scheme = Scheme("static", "float")
    products = static_products(onnx.load(str(fused)).graph, scheme)
    victim = products[len(products) // 2]
    low, high = ranges[victim.input[0]]
    ruined = ranges | {victim.input[0]: (low / 50, high / 50)}
    quantize_graph(fused, tmp_path / "q.onnx", scheme, cpu.detect_target(), ruined, {})
    assert most_sensitive_nodes(fused, tmp_path / "q.onnx", batches())[0] == victim.name


def losing(f1_drop: float, candidate: Candidate) -> Candidate:
    return replace(candidate, f1_drop=Estimate(f1_drop, f1_drop, f1_drop))


@pytest.mark.slow
def test_sensitive_nodes_go_back_to_float_until_the_drop_fits(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quantiser that is told to cost too much until two nodes stay in float."""
    real = search.measure_candidates

    def costly(inputs: SearchInputs, models: dict[Path, Scheme], open_one: OpenOne) -> list[Candidate]:
        return [losing(0.2 - 0.1 * len(c.scheme.float_nodes), c) for c in real(inputs, models, open_one)]

    monkeypatch.setattr(search, "measure_candidates", costly)
    config = replace(chain.recipe.export, max_f1_drop=0.05, matmuls="dynamic", min_int8_share=0.01)
    _, bundle = export_run(
        checkpoint, chain.splits, config, ExportRequest("int8", cpu.detect_target(), tmp_path / "out")
    )
    first = bundle.figures["tried"][0]
    assert len(first["float_nodes"]) == 2
    assert "2 nodes in float" in (bundle.folder / "README.md").read_text(encoding="utf-8")
    floats = {
        node.name for node in onnx.load(str(bundle.model)).graph.node if node.op_type in ("MatMul", "Gemm", "Conv")
    }
    assert set(first["float_nodes"]) <= floats


@pytest.mark.slow
def test_an_export_that_costs_too_much_says_so_and_writes_nothing(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = search.measure_candidates
    monkeypatch.setattr(search, "measure_candidates", lambda *a: [losing(0.3, c) for c in real(*a)])
    config = replace(chain.recipe.export, matmuls="dynamic", convolutions="float")
    with pytest.raises(ExportError, match=r"int8 loses 0\.300 .* more than --max-f1-drop 0\.05 .* was written"):
        export_run(checkpoint, chain.splits, config, ExportRequest("int8", cpu.detect_target(), tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_the_card_shows_every_scheme_that_was_tried(bundle: Bundle) -> None:
    tried = bundle.figures["tried"]
    assert {row["convolutions"] for row in tried} == {"float", "per-channel", "per-tensor"}
    assert {row["matmuls"] for row in tried} == {"dynamic", "static"}
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")
    assert card.count("| shipped |") == 1
    assert card.count("| tried |") == len(tried) - 1
    assert "multiply-accumulates that onnxruntime ran" in card
