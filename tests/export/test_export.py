"""Export: torch against ONNX, what int8 reached, which file ships, and that nothing hollow or wrong does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from chain import Chain, random_batch
from onnx import numpy_helper

from distill.core.errors import OutputError, ParityError
from distill.core.machine import cpu
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.runtime.bundle import Bundle
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.onnx.tower_sessions import TowerSessions
from distill.scoring.thresholds import FittedOn, Thresholds
from export import parity, pipeline
from export.pipeline import ExportRequest, export_run
from export.to_onnx import to_onnx


@pytest.mark.parametrize(("rows", "tokens"), [(1, 1), (1, 7), (3, 2), (5, 32)])
def test_onnx_logits_match_torch_within_1e4(chain: Chain, checkpoint: Checkpoint, rows: int, tokens: int) -> None:
    batch = random_batch(rows, tokens)
    spec = checkpoint.classifier.spec.image
    pixels = (batch.pixels / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    inputs = {name: torch.from_numpy(array) for name, array in batch.feed().items()}
    inputs["pixels"] = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        expected = checkpoint.classifier.network.eval()(**inputs)
    found = run_session(open_session(chain.fp32 / "model.onnx", 1), batch)
    assert np.abs(found - expected.numpy()).max() < 1e-4


def test_parity_finds_a_graph_that_answers_otherwise_and_nothing_is_written(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(classifier: Classifier, path: Path) -> None:
        to_onnx(classifier, path)
        model = onnx.load(str(path))
        bias = next(item for item in model.graph.initializer if item.name == "network.output.bias")
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.001), bias.name))
        onnx.save(model, str(path))

    monkeypatch.setattr(pipeline, "to_onnx", damaged)
    request = ExportRequest("fp32", "x86-avx2", tmp_path / "out")
    with pytest.raises(ParityError, match=r"differs from torch by 0\.001 .* nothing was written") as caught:
        export_run(checkpoint, chain.splits, chain.recipe.export, request)
    assert "it drifts most in output (node " in str(caught.value)
    assert "--set export.parity_tolerance=0.01" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_batch_norm_that_enlarges_rounding_is_named(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    classifier, path = checkpoint.classifier, tmp_path / "model.onnx"
    norms = {n: m for n, m in classifier.network.image.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    name = list(norms)[-1]
    norms[name].running_var.fill_(1e-9)
    to_onnx(classifier, path)
    norms[name].weight.data *= 1.0 + 1e-3
    with pytest.raises(ParityError) as caught:
        parity.check_parity(classifier, path, chain.splits.dev, 1e-6, checkpoint.thresholds)
    assert f"it drifts most in image.{name} (node " in str(caught.value)
    assert "a batch norm with a variance of 1e-09" in str(caught.value)


def test_parity_does_not_take_nan_for_agreement(
    chain: Chain, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        parity, "run_session", lambda session, batch: np.full((len(batch.pixels), 6), np.nan, np.float32)
    )
    with pytest.raises(ParityError, match="differs from torch by nan"):
        parity.check_parity(
            checkpoint.classifier, chain.fp32 / "model.onnx", chain.splits.dev, 1e-4, checkpoint.thresholds
        )


def test_int8_stays_close_to_its_parent_and_is_smaller(chain: Chain, bundle: Bundle) -> None:
    parent = Bundle.open(chain.fp32)
    assert bundle.figures["size_bytes"] < 0.9 * parent.figures["size_bytes"]
    calibration = bundle.thresholds.calibration
    assert calibration is not None
    largest = max(calibration.slopes)  # calibration stretches the differences of logits with the logits
    if bundle.figures["tried"][0]["convolutions"] != "float":
        largest *= 4  # where int8 convolutions are quick they are chosen, and a toy's lose much
    assert bundle.figures["quantization_effect"]["max_probability_difference"] < 0.05 * largest
    batch = random_batch(4, 9)
    small, large = (run_session(open_session(b.model, 1), batch) for b in (bundle, parent))
    assert 0 < np.abs(small - large).max() < 0.3 * largest


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
    assert cpu.detect_target(cpuinfo) == expected
    assert cpu.cpu_name(cpuinfo) == "Some CPU"


def test_a_bundle_for_vnni_is_run_without_overflow_where_there_is_none(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from distill.runtime import predictor as runtime

    said: list[str] = []
    monkeypatch.setattr("distill.core.output.terminal.warn", said.append)
    monkeypatch.setattr(runtime, "detect_target", lambda: "x86-avx2")
    predictor = runtime.Predictor(replace(bundle, target="x86-vnni"))
    assert isinstance(predictor.model, TowerSessions)
    for part in (predictor.model._text.narrow, predictor.model._image, predictor.model._head):
        options = part._session.get_session_options()
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
    assert "would overflow here, so slower ones are used" in said[0]
    runtime.Predictor(replace(bundle, target="x86-avx2"))
    assert len(said) == 1


def test_export_keeps_off_folders_that_are_not_bundles(
    chain: Chain, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    request = ExportRequest("fp32", "x86-avx2", tmp_path / "out")
    with pytest.raises(OutputError, match="holds something that is not a Bundle"):
        export_run(checkpoint, chain.splits, chain.recipe.export, request)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "precious"


def test_thresholds_are_fitted_on_the_outputs_of_the_very_file(chain: Chain, bundle: Bundle) -> None:
    from distill.data.dataset import encode_targets
    from distill.runtime.predictor import Predictor
    from distill.scoring.calibration import label_rates
    from distill.scoring.thresholds import fit_thresholds

    train, targets = (encode_targets(part, bundle.labels) for part in (chain.splits.train, chain.splits.dev))
    p = Predictor(bundle).probabilities(chain.splits.dev)
    again = fit_thresholds(p, targets, chain.recipe.student.threshold_objective, "dev", label_rates(train))
    assert again.values == pytest.approx(bundle.thresholds.values, abs=1e-5)
    assert bundle.thresholds.values != Bundle.open(chain.fp32).thresholds.values


def test_quantization_effect_of_a_hand_computed_case() -> None:
    parent = np.array([[0.4, 0.6], [0.5, 0.1]], dtype=np.float32)
    child = np.array([[0.5, 0.6], [0.5, 0.3]], dtype=np.float32)
    effect = parity.measure_quantization_effect(
        parent,
        child,
        Thresholds((0.45, 0.2), "micro", FittedOn("x", 9)),
        Thresholds((0.55, 0.4), "micro", FittedOn("x", 9)),
    )
    assert (effect.flipped, effect.flipped_refitted, effect.decisions) == (2, 1, 4)
    assert effect.max_probability_difference == pytest.approx(0.2)
    assert effect.mean_probability_difference == pytest.approx(0.075)
