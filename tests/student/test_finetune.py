"""int8 arithmetic in training against onnxruntime's own, and the ranges' way into the file that ships."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from chain import TINY, Chain
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import distill
from distill.core.errors import ExportError, RunError
from distill.core.settings.recipe import FinetuneConfig
from distill.model.checkpoint import Checkpoint
from distill.preprocess.inputs import Preprocessor
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.pipeline import Pipeline, predict_probabilities
from distill.scoring.thresholds import FittedOn, Thresholds, carry_over
from distill.training.trainer import CheckpointFolder
from export.fuse import fuse_graph
from export.pipeline import calibration_batches
from export.quantize.coverage import measure_coverage
from export.quantize.schemes import Scheme, quantize_graph, trained_ranges
from export.to_onnx import to_onnx
from student.fake_quant import FakeQuantLinear, insert_fake_quant, remove_fake_quant
from student.finetune import finetune_student
from student.train import DistillationTargets
from teacher.soft_targets import ensemble_soft_targets


@pytest.mark.parametrize("reduced", [False, True])
def test_a_fake_quantised_layer_computes_what_onnxruntime_does(tmp_path: Path, reduced: bool) -> None:
    torch.manual_seed(1)
    linear = torch.nn.Linear(32, 8)
    x = torch.randn(16, 32)
    layer = FakeQuantLinear(linear, 64 if reduced else 127).train()
    layer(x)  # sees its range
    layer.eval()
    w, b = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["p"]), onnx.helper.make_node("Add", ["p", "b"], ["y"])],
        "one layer",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [16, 32])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [16, 8])],
        [onnx.numpy_helper.from_array(w.T.copy(), "w"), onnx.numpy_helper.from_array(b, "b")],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "float.onnx")

    class Once(CalibrationDataReader):
        feeds = iter([{"x": x.numpy()}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    quantize_static(
        str(tmp_path / "float.onnx"),
        str(tmp_path / "int8.onnx"),
        Once(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=reduced,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
        },
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx"), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"x": x.numpy()})[0]
    ours = layer(x).detach().numpy()
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.abs(ours - linear(x).detach().numpy()).max() > 1e-3  # and it is not the float layer


def test_gradients_pass_through_the_rounding() -> None:
    layer = FakeQuantLinear(torch.nn.Linear(4, 2), 127).train()
    layer(torch.randn(8, 4)).sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight.grad != 0).all()


def test_stripping_gives_the_layers_back_with_their_names(chain: Chain) -> None:
    network = Checkpoint.load(chain.student).classifier.network
    names = list(network.state_dict())
    linear = {name for name, module in network.named_modules() if type(module) is torch.nn.Linear}
    insert_fake_quant(network, 127)
    assert sum(isinstance(module, FakeQuantLinear) for module in network.modules()) == len(linear)
    ranges = remove_fake_quant(network)
    assert list(network.state_dict()) == names
    assert set(ranges) == linear


@pytest.fixture(scope="module")
def tuned(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    targets = DistillationTargets(ensemble_soft_targets([chain.teacher], chain.splits.train))
    folder = tmp_path_factory.mktemp("tuned")
    config = FinetuneConfig(epochs=1, learning_rate=1e-4)
    start = Checkpoint.load(chain.student)
    checkpoints = CheckpointFolder(folder, resume=False)
    run = finetune_student(start, config, chain.splits, targets, 64, checkpoints)
    assert Checkpoint.load(folder).ranges == run.ranges
    return run


def test_a_student_that_began_at_a_probe_goes_on_from_the_head_that_it_has(chain: Chain, tmp_path: Path) -> None:
    overrides = [*chain.overrides, "student.epochs=1", "student.head_start=probe", "student.head.hidden_size=0"]
    probe = distill.train_student(
        chain.data,
        tmp_path / "probe",
        teacher=chain.teacher,
        recipe=TINY,
        overrides=[*overrides, "student.patience=1"],
    )
    before = probe.classifier.network.output.weight.detach().clone()
    targets = DistillationTargets(ensemble_soft_targets([chain.teacher], chain.splits.train))
    (tmp_path / "tuned").mkdir()
    run = CheckpointFolder(tmp_path / "tuned", resume=False)
    tuned = finetune_student(probe, FinetuneConfig(1, 1e-7), chain.splits, targets, 64, run)
    directions = [
        weight / weight.norm(dim=1, keepdim=True) for weight in (before, tuned.classifier.network.output.weight)
    ]
    torch.testing.assert_close(directions[1], directions[0], atol=1e-3, rtol=0)


def test_the_file_that_ships_answers_as_training_did(chain: Chain, tuned: Checkpoint, tmp_path: Path) -> None:
    """torch with fake-quantised layers in the learned ranges against the int8 ONNX file, embeddings aside."""
    classifier = tuned.classifier
    to_onnx(classifier, tmp_path / "fp32.onnx")
    preprocessor = Preprocessor(classifier.spec, classifier.tokenizer_json)
    out, fused = tmp_path / "int8.onnx", tmp_path / "fused.onnx"
    fuse_graph(tmp_path / "fp32.onnx", fused)
    ranges = trained_ranges(tmp_path / "fp32.onnx", tuned.ranges)
    quantize_graph(fused, out, Scheme("trained", "float"), "x86-avx2", ranges, {})
    reached = measure_coverage(out, calibration_batches(preprocessor, chain.splits.train[:1])[0])
    assert reached.text.weights == reached.head.weights == 1
    kinds = {node.op_type for node in onnx.load(str(out)).graph.node}
    assert "QuantizeLinear" in kinds
    assert "MatMulInteger" not in kinds  # nothing is measured at run time
    pipeline = Pipeline(partial(run_session, open_session(out, 1)), preprocessor, {})
    int8 = predict_probabilities(pipeline, chain.splits.dev)
    plain = classifier.logits(classifier.encode(chain.splits.dev))
    insert_fake_quant(classifier.network, 64)
    for name, (low, high) in tuned.ranges.items():
        layer = classifier.network.get_submodule(name)
        layer.low.fill_(low)
        layer.high.fill_(high)
    trained = classifier.logits(classifier.encode(chain.splits.dev))
    remove_fake_quant(classifier.network)
    shipped = np.log(int8 / (1 - int8))
    assert np.abs(shipped - trained).mean() < np.abs(plain - trained).mean()
    assert np.abs(shipped - trained).max() < 0.05


def test_ranges_of_layers_that_the_graph_has_not_are_refused(tuned: Checkpoint, tmp_path: Path) -> None:
    to_onnx(tuned.classifier, tmp_path / "fp32.onnx")
    with pytest.raises(ExportError, match=r"1 layers of the run are not .*, such as network\.ghost"):
        trained_ranges(tmp_path / "fp32.onnx", {**tuned.ranges, "ghost": (0.0, 1.0)})


def test_only_students_are_tuned(chain: Chain, tmp_path: Path) -> None:
    targets = DistillationTargets(ensemble_soft_targets([chain.teacher], chain.splits.train))
    start, checkpoints = Checkpoint.load(chain.teacher), CheckpointFolder(tmp_path, resume=False)
    with pytest.raises(RunError, match="is a teacher; give a student's run"):
        finetune_student(start, FinetuneConfig(1, 1e-4), chain.splits, targets, 64, checkpoints)
    shutil.rmtree(tmp_path)


def test_thresholds_move_with_the_outputs() -> None:
    """Outputs that move by a known line: decisions stay what they were."""
    generator = np.random.default_rng(3)
    before = generator.normal(size=(60, 3)).astype(np.float32)
    slope, offset = np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.0, -0.3])
    after = (slope * before + offset).astype(np.float32)
    thresholds = Thresholds((0.3, 0.5, 0.8), "micro", FittedOn("out-of-fold train", 60))
    carried = carry_over(thresholds, before, after, "int8")
    assert str(carried.fitted_on) == "out-of-fold train, 60 examples, carried over to int8 with 60 examples"
    was = thresholds.apply((1 / (1 + np.exp(-before))).astype(np.float32))
    assert (carried.apply((1 / (1 + np.exp(-after))).astype(np.float32)) == was).all()
