"""Export for other runtimes: the same gates as for onnxruntime's int8, and each file compared before it ships."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from chain import Chain, random_batch
from click.testing import CliRunner

from bench.measure.interleave import Plan
from bench.peers.run import run_with_peers
from bench.quality.eval_set import EvalSet
from bench.runtimes.open_model import other_openings
from distill.cli.main import main
from distill.core.errors import BenchError, ExportError, InstallError, ParityError
from distill.core.machine import cpu
from distill.model.checkpoint import Checkpoint
from distill.runtime.bundle import Bundle
from distill.runtime.golden import replay_golden
from distill.runtime.predictor import Predictor
from distill.scoring.estimate import Estimate
from distill.scoring.thresholds import FittedOn
from export import convert, pipeline
from export.pipeline import ExportRequest, export_run
from export.quantize import nncf
from export.quantize.search import Candidate, SearchInputs

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("nncf") is None,
    reason="openvino or nncf is not installed: pip install 'distill[peers]'",
)


@pytest.fixture
def quick(chain: Chain) -> Iterator[None]:
    """The graph that torch exported for the chain, in place of a second export of the same weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "to_onnx", lambda _, path: shutil.copy(chain.fp32 / "model.onnx", path))
        yield


@pytest.fixture(scope="module")
def exported(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two Bundles: "openvino", int8 by NNCF, with its parent, and "mobile", fp32."""
    folder = tmp_path_factory.mktemp("exported")
    student, here = Checkpoint.load(chain.student), cpu.detect_target()
    # As if they came from out-of-fold outputs of train: those on dev would be fitted anew.
    student = replace(student, thresholds=replace(student.thresholds, fitted_on=FittedOn("train", 64)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "to_onnx", lambda _, path: shutil.copy(chain.fp32 / "model.onnx", path))
        requests = [ExportRequest("fp32", here, folder / "mobile", runtime="onnxruntime-mobile")]
        if find_spec("openvino") and find_spec("nncf"):
            requests.append(ExportRequest("int8", here, folder / "openvino", runtime="openvino"))
        for request in requests:
            export_run(student, chain.splits, chain.recipe.export, request)
    return folder


@needs_openvino
def test_int8_for_openvino_is_a_bundle_of_its_own_beside_its_fp32_parent_in_onnx(
    chain: Chain, exported: Path
) -> None:
    int8, parent = Bundle.open(exported / "openvino"), Bundle.open(exported / "openvino-fp32")
    assert (int8.runtime, int8.precision, int8.target) == ("openvino", "int8", cpu.detect_target())
    assert (parent.runtime, parent.precision) == ("onnxruntime", "fp32")
    assert int8.figures["size_bytes"] < parent.figures["size_bytes"]
    batch = random_batch(4, 9)
    small, large = (Predictor.load(folder, 1).logits(batch) for folder in (int8.folder, parent.folder))
    assert 0 < np.abs(small - large).mean() < 0.1 * np.abs(large).max()


@needs_openvino
def test_int8_for_openvino_passed_the_gates_of_int8_for_onnxruntime(chain: Chain, exported: Path) -> None:
    figures = Bundle.open(exported / "openvino").figures
    assert figures["parity"]["max_logit_difference"] <= chain.recipe.export.parity_tolerance
    assert figures["tried"][0]["dev_micro_f1_drop"]["value"] <= chain.recipe.export.max_f1_drop
    text = figures["coverage"]["text"]
    assert text["low_bit_macs"] > 0.9 * (text["low_bit_macs"] + text["float_macs"]) > 0
    assert text["low_bit_bytes"] > 0.9 * (text["low_bit_bytes"] + text["float_bytes"]) > 0
    assert figures["quantization_effect"]["decisions"] == 6 * len(chain.splits.dev)
    assert replay_golden(Predictor.load(exported / "openvino", 1)).passed
    assert "OpenVINO" in Bundle.open(exported / "openvino").golden["exported_on"]
    card = (exported / "openvino" / "README.md").read_text(encoding="utf-8")
    assert 'compile_model(folder / "model.xml", "CPU", settings)' in card
    assert "onnxruntime" not in card


@needs_openvino
def test_thresholds_move_with_openvinos_int8(checkpoint: Checkpoint, exported: Path) -> None:
    before = checkpoint.thresholds
    parent, int8 = (Bundle.open(exported / name).thresholds for name in ("openvino-fp32", "openvino"))
    assert parent.values == before.values
    assert (int8.fitted_on.carried_to, int8.fitted_on.carried_with) == ("int8", 96)
    assert int8.values != before.values
    assert np.abs(int8.array() - before.array()).mean() < 0.1


@needs_openvino
def test_nncf_tries_dearer_schemes_while_f1_is_lost_and_ships_none_beyond_the_budget(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list[str] = []

    def lossy(_: Any, models: Any, __: Any) -> list[Candidate]:
        ((file, scheme),) = models.items()
        tried.append(str(scheme))
        return [Candidate(scheme, file, np.zeros((1, 1)), 1, Estimate(0.2, 0.1, 0.3), 0.0, 0.0, 0.5)]

    monkeypatch.setattr(nncf, "quantize_with_nncf", lambda *_: None)
    monkeypatch.setattr(nncf, "measure_candidates", lossy)
    inputs = object.__new__(SearchInputs)
    for name, value in {"fp32": tmp_path / "fp32.onnx", "calibration": [], "target": "x86-vnni"}.items():
        object.__setattr__(inputs, name, value)
    with pytest.raises(ExportError, match=r"int8 loses 0\.200 .* more than --max-f1-drop .* \(3 files were tried"):
        nncf.search_with_nncf(inputs, chain.recipe.export)
    assert tried == [str(scheme) for scheme in nncf.SCHEMES]


@needs_openvino
def test_nncf_leaves_a_bit_free_for_processors_without_vnni_and_convolutions_in_float_when_told(
    chain: Chain,
) -> None:
    import nncf as package

    onnx, scheme = chain.fp32 / "model.onnx", nncf.SCHEMES[-1]
    free = nncf._settings(onnx, scheme, "x86-avx2")(package)
    assert free["advanced_parameters"].overflow_fix == package.OverflowFix.ENABLE
    assert nncf._settings(onnx, scheme, "x86-vnni")(package)["advanced_parameters"].overflow_fix == (
        package.OverflowFix.DISABLE
    )
    assert len(free["ignored_scope"].names) > 10
    assert "ignored_scope" not in nncf._settings(onnx, nncf.SCHEMES[0], "x86-vnni")(package)


def test_a_mobile_bundle_answers_as_its_onnx_file_and_lists_the_operators_of_a_small_build(
    chain: Chain, exported: Path
) -> None:
    mobile = Predictor.load(exported / "mobile", 1)
    assert mobile.runtime == "onnxruntime-mobile"
    batch = random_batch(3, 9)
    assert np.abs(mobile.logits(batch) - Predictor.load(chain.fp32, 1).logits(batch)).max() < 1e-4
    assert replay_golden(mobile).passed
    heading, *operators = (exported / "mobile" / "required_operators.config").read_text().splitlines()
    assert heading.startswith("# What model.ort needs")
    assert any(line.startswith("ai.onnx;") and "MatMul" in line for line in operators)
    assert not any("/" in line or "NCHWc" in line for line in operators)
    session = onnxruntime.InferenceSession(str(exported / "mobile" / "model.ort"))  # as anybody opens it
    assert [item.name for item in session.get_outputs()] == ["logits"]


@pytest.mark.usefixtures("quick")
def test_a_converted_file_that_answers_otherwise_is_refused_and_nothing_is_written(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pipeline, "convert", lambda _, onnx, __: shutil.copy(chain.int8 / "model.onnx", onnx.parent)
    )
    request = ExportRequest("fp32", "x86-avx2", tmp_path / "out", runtime="onnxruntime-mobile")
    with pytest.raises(
        ParityError, match=r"the onnxruntime .* graph differs from torch by .*; nothing was written"
    ):
        export_run(checkpoint, chain.splits, chain.recipe.export, request)
    assert list(tmp_path.iterdir()) == []


def test_what_no_runtime_has_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="one for openvino has none"):
        ExportRequest("fp32", "arm64", tmp_path, embed=True, runtime="openvino")
    with pytest.raises(ExportError, match="int4 is made for onnxruntime alone"):
        ExportRequest("int4", "arm64", tmp_path, runtime="openvino")
    with pytest.raises(ExportError, match="--format litert writes fp32 alone; leave out --int8"):
        ExportRequest("int8", "arm64", tmp_path, runtime="litert")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runtime", "openvino", "--format", "ort"], "--format ort is not opened by openvino"),
        (["--format", "litert", "--web"], "--web runs an ONNX file, and this Bundle is for litert"),
    ],
)
def test_options_that_contradict_each_other_are_refused(chain: Chain, words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["export", str(chain.student), "--data", str(chain.data), "--out", "x", *words])
    assert done.exit_code == 2
    assert said in done.output


def test_a_bundle_is_not_converted_by_the_export_of_its_page(chain: Chain, tmp_path: Path) -> None:
    words = ["export", str(chain.int8), "--web", "--out", str(tmp_path / "page"), "--format", "ort"]
    done = CliRunner().invoke(main, words)
    assert "is a Bundle already: only a page can be made of it" in done.output


def test_litert_without_its_packages_is_one_line_with_the_next_step(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(InstallError, match=r"--format litert needs .*; pip install 'distill\[litert\]'$"):
        convert.convert(checkpoint.classifier, tmp_path / "fp32.onnx", "litert")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", convert)
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(
        ExportError, match=r"needs litert-torch, which cannot be imported .* and export the run there"
    ):
        convert.convert(checkpoint.classifier, tmp_path / "fp32.onnx", "litert")


def test_an_encoder_that_litert_cannot_convert_is_one_line_and_leaves_no_file(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        @staticmethod
        def convert(*_: Any) -> Any:
            raise RuntimeError("Lowering not found: aten.something\nand a long trace")

    monkeypatch.setitem(sys.modules, "ai_edge_litert", convert)
    monkeypatch.setitem(sys.modules, "litert_torch", Broken)  # type: ignore[arg-type]
    with pytest.raises(
        ExportError, match=r"litert-torch cannot convert .*: Lowering not found: aten\.something; nothing"
    ):
        convert.convert(checkpoint.classifier, tmp_path / "fp32.onnx", "litert")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(find_spec("litert_torch") is None, reason="litert-torch is not installed")
@pytest.mark.usefixtures("quick")
def test_a_student_becomes_a_litert_bundle_that_answers_as_torch_does(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    request = ExportRequest("fp32", "x86-avx2", tmp_path / "out", runtime="litert")
    (bundle,) = export_run(checkpoint, chain.splits, chain.recipe.export, request)
    assert bundle.figures["parity"]["max_logit_difference"] < 1e-4
    predictor, batch = Predictor.load(bundle.folder, 1), random_batch(3, 9)
    assert np.abs(predictor.logits(batch) - Predictor.load(chain.fp32, 1).logits(batch)).max() < 1e-4
    assert replay_golden(predictor).passed


@pytest.mark.slow
@needs_openvino
def test_all_runtimes_are_measured_in_one_interleaved_run(chain: Chain, exported: Path, tmp_path: Path) -> None:
    openings = other_openings(chain.fp32, [], ["openvino", "openvino"])
    eval_set, plan = EvalSet.from_splits(chain.splits, "test"), Plan((1,), (1,), 20, 1)
    against = [exported / "openvino", exported / "mobile"]
    report = run_with_peers(chain.fp32, against, [], [], eval_set, plan, openings)
    assert {row.name: row.runtime for row in report.rows} == {
        "student int8 OpenVINO": "OpenVINO in f32",
        "student fp32 ORT": "onnxruntime mobile format",
        "student fp32 ONNX (OpenVINO in f32)": "OpenVINO in f32",
        "student fp32 ONNX": "onnxruntime",
    }
    for row in report.rows:
        assert row.timings[0].calls == 20
        assert {stage.name for stage in row.stages} >= ({"text"} if row.runtime[-3:] == "f32" else {"decode"})
        assert (row.memory.without_arena is not None) == (row.runtime == "onnxruntime")
    same, other = report.rows[-1], report.rows[-2]
    assert same.quality.micro_f1.value == other.quality.micro_f1.value
    json.dumps(report.to_json())


def test_a_benchmark_refuses_an_opening_that_is_there_anyway_or_cannot_be(chain: Chain) -> None:
    with pytest.raises(BenchError, match="is measured with cpu anyway; leave that option out"):
        other_openings(chain.int8, ["cpu"], [])
    with pytest.raises(InstallError, match="--provider xnnpack"):
        other_openings(chain.int8, ["xnnpack"], [])
    words = ["bench", str(chain.int8), "--data", str(chain.data), "--provider", "xnnpack"]
    assert "--provider xnnpack" in CliRunner().invoke(main, words).output
