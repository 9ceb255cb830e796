"""What other toolkits make of the fp32 Bundle, against onnxruntime's fp32 answers."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import Chain

from bench import report
from bench.peers import OpenVinoPredictor, Peer, fp32_of, make
from bench.quality import judge
from bench.run import run
from bench.variants import Variant
from distill.bundle import Bundle
from distill.errors import BenchError
from distill.metrics import micro_f1
from distill.preprocess import Batch, Reader
from export.runtime import Predictor

# Not importorskip: it would import openvino with the telemetry that bench.peers keeps out.
needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="openvino is not installed: pip install 'distill[peers]'"
)


@pytest.fixture(scope="module")
def optimum_int8(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Variant:
    """The peer, made once."""
    (peer,) = make(chain.int8, ["optimum-int8"], tmp_path_factory.mktemp("peers"))
    return peer


def read(chain: Chain, count: int) -> Batch:
    bundle = Bundle.open(chain.fp32)
    reader = Reader(bundle.preprocess, bundle.tokenizer_json)
    some = chain.splits.test[:count]
    rows = reader.rows([example.text for example in some], [reader.picture(example.image) for example in some])
    return reader.batch(rows)


def reference_logits(chain: Chain, batch: Batch) -> np.ndarray:
    """onnxruntime as it comes, without export.runtime."""
    session = onnxruntime.InferenceSession(chain.fp32 / "model.onnx", providers=["CPUExecutionProvider"])
    logits: np.ndarray = session.run(None, batch.feed())[0]
    return logits


@needs_openvino
def test_openvino_logits_agree_with_onnxruntime(chain: Chain) -> None:
    """Within 1e-4 in f32; in the precision it chooses itself, as torch does under bf16 autocast: 2 % of the largest
    logit in the mean on this barely trained network, 15 % at most."""
    predictor = OpenVinoPredictor(chain.fp32, threads=1)
    batch = read(chain, 24)
    expected = reference_logits(chain, batch)
    assert np.abs(predictor.logits(batch) - expected).mean() < 0.05 * np.abs(expected).max()
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    predictor.model = openvino.Core().compile_model(chain.fp32 / "model.onnx", "CPU", settings)
    assert np.abs(predictor.logits(batch) - expected).max() < 1e-4


@needs_openvino
def test_openvino_is_given_the_threads_and_one_stream_for_latency(chain: Chain) -> None:
    model = OpenVinoPredictor(chain.fp32, threads=1).model
    hints = ("INFERENCE_NUM_THREADS", "NUM_STREAMS", "PERFORMANCE_HINT")
    assert [str(model.get_property(hint)).split(".")[-1] for hint in hints] == ["1", "1", "LATENCY"]


@needs_openvino
def test_openvinos_row_says_which_precision_it_computes_in_and_where_it_stands(
    chain: Chain, tmp_path: Path
) -> None:
    (peer,) = make(chain.fp32, ["openvino"], tmp_path)
    computed_in = OpenVinoPredictor(chain.fp32, 1).model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    assert peer.name == f"student OpenVINO ({computed_in})"
    assert peer.size_bytes == sum(path.stat().st_size for path in chain.fp32.iterdir())


@needs_openvino
def test_the_process_that_times_openvino_holds_neither_torch_nor_onnxruntime_nor_its_telemetry(
    chain: Chain,
) -> None:
    code = (
        "import sys; from pathlib import Path; from bench.worker import open_call; "
        "call = open_call(Path(sys.argv[1]), 'OpenVINO', 1); print(call('a text', None)); "
        "print(sorted(name for name in ('torch', 'onnxruntime', 'openvino_telemetry') if sys.modules.get(name)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(chain.fp32)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"


def test_optimum_int8_really_holds_integer_products(chain: Chain, optimum_int8: Variant) -> None:
    operators = [node.op_type for node in onnx.load(optimum_int8.folder / "model.onnx").graph.node]
    float_operators = [node.op_type for node in onnx.load(chain.fp32 / "model.onnx").graph.node]
    assert operators.count("MatMulInteger") > 0
    assert operators.count("ConvInteger") == float_operators.count("Conv")  # its defaults, not our choice
    assert "MatMulInteger" not in float_operators
    assert optimum_int8.size_bytes < Bundle.open(chain.fp32).size_bytes()


def test_optimum_int8_answers_with_the_fp32_bundles_thresholds_and_nearly_its_logits(
    chain: Chain, optimum_int8: Variant
) -> None:
    predictor = Predictor.load(optimum_int8.folder, 1)
    assert predictor.bundle.thresholds == Bundle.open(chain.fp32).thresholds
    batch = read(chain, 24)
    expected = reference_logits(chain, batch)
    assert 0 < np.abs(predictor.logits(batch) - expected).mean() < 0.1 * np.abs(expected).max()


def test_peers_are_made_from_the_parent_of_an_int8_bundle_and_from_an_fp32_one_itself(
    chain: Chain, tmp_path: Path
) -> None:
    assert fp32_of(chain.int8).folder == fp32_of(chain.fp32).folder == chain.fp32
    alone = tmp_path / "alone"
    alone.symlink_to(chain.int8)
    with pytest.raises(BenchError, match=r"alone: peers are made from the fp32 Bundle .* run distill export again"):
        make(alone, ["optimum-int8"], tmp_path)


@pytest.mark.parametrize(
    ("peer", "package", "extra"), [("openvino", "openvino", "peers"), ("optimum-int8", "optimum", "train")]
)
def test_a_missing_package_is_one_line_with_the_next_step(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peer: Peer, package: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BenchError) as caught:
        make(chain.int8, [peer], tmp_path)
    message = str(caught.value)
    assert f"--peer {peer} needs" in message
    assert message.endswith(f"pip install 'distill[{extra}]'")
    assert "\n" not in message


@needs_openvino
def test_the_report_holds_the_peers_beside_the_rest_and_the_json_their_figures(
    chain: Chain, tmp_path: Path
) -> None:
    out = tmp_path / "bench.json"
    written = run(chain.int8, [], chain.splits, "test", 1, 20, out, ["openvino", "optimum-int8", "openvino"])
    runtimes = [row["runtime"] for row in written.rows]
    assert runtimes == ["onnxruntime", "OpenVINO", "optimum dynamic int8", "onnxruntime"]
    for row in report.read(out).rows:
        assert len(row["latency"]["raw_ms"]) == 20
        assert row["latency"]["peak_rss_bytes"] > 0
        assert row["latency"]["cold_start_ms"] > row["latency"]["load_ms"] > 0
        assert not row["latency"]["torch_loaded"]
        assert row["size_bytes"] > 0
    for row in written.rows:
        assert f"| {row['name']} |" in out.with_suffix(".md").read_text(encoding="utf-8")
    assert json.loads(out.read_text())["conditions"]["packages"]["openvino"]


def test_a_peers_f1_is_that_of_its_own_answers_under_the_fp32_thresholds(
    chain: Chain, optimum_int8: Variant
) -> None:
    parent = Bundle.open(chain.fp32)
    probabilities = Predictor.load(optimum_int8.folder).probabilities(chain.splits.test)
    expected = micro_f1(
        parent.labels.encode([example.labels for example in chain.splits.test]),
        parent.thresholds.apply(probabilities),
    )
    judged = judge(optimum_int8.folder, "test", chain.splits.test, optimum_int8.runtime)
    assert judged.honest.micro_f1 == pytest.approx(expected)
