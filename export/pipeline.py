"""Export a student's run to Bundles: ONNX, parity with torch, quantisation, other runtimes, thresholds, card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from distill.core.errors import ExportError, ParityError, RunError
from distill.core.machine.cpu import CpuTarget, detect_target, overflows
from distill.core.machine.runtimes import Runtime
from distill.core.output.terminal import note
from distill.core.settings.recipe import ExportConfig
from distill.core.storage.files import read_json, scratch_folder
from distill.core.storage.lock import lock_beside, sole_writer
from distill.data.dataset import Example, Splits, encode_targets, without_images, without_texts
from distill.data.run_folder import METRICS
from distill.model.checkpoint import Checkpoint
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime import bundle
from distill.runtime.bundle import Bundle, Contents, Precision
from distill.runtime.golden import record_golden
from distill.runtime.onnx.session import OnnxModel
from distill.runtime.opened import OpenedModel, RunOptions, open_file
from distill.runtime.pipeline import Pipeline, predict_probabilities
from distill.scoring.baseline import BaselineAnswers
from distill.scoring.evaluation import Evaluation, SplitOutputs, evaluate_thresholds, fit_and_evaluate
from distill.scoring.metrics import Probabilities, Targets, logit
from distill.scoring.thresholds import Thresholds, carry_over
from export.card.metadata import publishable_settings
from export.card.page import render_card
from export.convert import convert
from export.embed import embed_contents
from export.figures import ExportFigures, QuantizationFigures, show_quantization
from export.fuse import fuse_graph
from export.parity import check_parity, measure_quantization_effect
from export.quantize.coverage import measure_coverage, measure_openvino_coverage, refuse_if_uncovered
from export.quantize.nncf import search_with_nncf
from export.quantize.schemes import trained_ranges
from export.quantize.search import SearchInputs, median_batch, refuse_if_no_gain, search_schemes, stored_bytes
from export.to_onnx import to_onnx

TRANSFER_EXAMPLES = 512  # training examples by which thresholds are moved to the quantised file's outputs

Predict = Callable[[Sequence[Example]], Probabilities]


@dataclass(frozen=True)
class ExportRequest:
    """The Bundle to write at `out`: its `precision`, for a quantised one the `target` processor, and its `runtime`;
    `embed` also stores its other files in model.onnx, which then serves alone; `overwrite` replaces Bundles that
    are there."""

    precision: Precision
    target: CpuTarget
    out: Path
    embed: bool = False
    overwrite: bool = False
    runtime: Runtime = "onnxruntime"

    def __post_init__(self) -> None:
        """Raises ExportError for what no runtime has."""
        if self.embed and self.runtime != "onnxruntime":
            raise ExportError(f"--embed stores a Bundle in an ONNX file, and one for {self.runtime} has none")
        if self.precision == "int4" and self.runtime == "openvino":
            raise ExportError("int4 is made for onnxruntime alone; give --int8, or leave out --runtime openvino")
        if self.precision != "fp32" and self.runtime == "litert":
            raise ExportError(f"--format litert writes fp32 alone; leave out --{self.precision}")

    @property
    def fp32_out(self) -> Path:
        """The folder of the fp32 ONNX Bundle, beside a quantised one."""
        return self.out if self.precision == "fp32" else self.out.with_name(f"{self.out.name}-fp32")


@dataclass(frozen=True)
class _ExportedModel:
    """A model's file that is fit to ship, opened, with its probabilities (N, L) on dev."""

    path: Path
    opened: OpenedModel
    preprocessor: Preprocessor
    dev: Probabilities
    figures: ExportFigures


def export_run(
    student: Checkpoint,
    splits: Splits,
    config: ExportConfig,
    request: ExportRequest,
    baseline: BaselineAnswers | None = None,
) -> list[Bundle]:
    """Write the Bundle that is requested, after its fp32 parent when it is a quantised one, for comparison. Both
    are compared with a `baseline` that answered the dev split.

    Raises OutputError, BundleError, ParityError or ExportError before anything is written.
    """
    outs = {request.out, request.fp32_out}
    for out in outs:
        bundle.refuse_existing_bundle(out, request.overwrite)
    student.classifier.warn_of_texts(splits)
    with ExitStack() as stack:
        for out in outs:
            stack.enter_context(sole_writer(out, lock_beside(out), ExportError))
        work = stack.enter_context(scratch_folder(request.out))
        fp32 = _export_fp32(student, splits, config, work / "fp32.onnx")
        models = {request.fp32_out: fp32}
        if request.precision != "fp32":
            models[request.out] = _quantize(student, splits, config, request, fp32)
        if request.runtime != models[request.out].figures.runtime:
            models[request.out] = _convert(student, splits, config, request, models[request.out])
        contents = {}
        for out, model in models.items():
            model = _beside(model, student, baseline)
            answers = record_golden(model.preprocessor, model.opened.run, fp32.opened.run, model.opened.title)
            card = render_card(student.classifier, model.figures, splits, config.card)
            contents[out] = replace(_contents(student, model, answers, card), columns=splits.columns)
            if request.embed:
                embedded = model.path.with_suffix(".embedded.onnx")
                embed_contents(model.path, contents[out], embedded)
                contents[out] = replace(contents[out], model=embedded)
        written = [bundle.write_bundle(out, content) for out, content in contents.items()]
    if (quantization := models[request.out].figures.quantization) is not None:
        show_quantization(quantization, request.precision, request.target)
    return written


def _beside(model: _ExportedModel, student: Checkpoint, baseline: BaselineAnswers | None) -> _ExportedModel:
    evaluation = model.figures.evaluation.beside(baseline, f"the {student.classifier.kind}")
    return replace(model, figures=replace(model.figures, evaluation=evaluation))


def _export_fp32(student: Checkpoint, splits: Splits, config: ExportConfig, path: Path) -> _ExportedModel:
    """Export to `path`, fit or keep the thresholds, and compare with torch. Raises ExportError or ParityError."""
    note("exporting to ONNX and comparing with torch")
    classifier = student.classifier
    to_onnx(classifier, path)
    preprocessor, opened = Preprocessor(classifier.spec, classifier.tokenizer_json), OnnxModel(path)
    predict = _predict_with(opened, preprocessor, student)
    dev = predict(splits.dev)
    evaluation = _evaluate(student, splits, predict, dev, student.thresholds)
    parity = check_parity(classifier, path, splits.dev, config.parity_tolerance, evaluation.thresholds)
    note(f"torch and fp32 ONNX agree to {parity.max_logit_difference:.1g} over {parity.cases} cases")
    verdict = read_json(student.folder / METRICS, RunError).get("distillation")
    control = None if verdict is None else verdict["sentence"]
    figures = ExportFigures("fp32", "any", path.stat().st_size, parity, evaluation, control)
    return _ExportedModel(path, opened, preprocessor, dev, figures)


def _quantize(
    student: Checkpoint, splits: Splits, config: ExportConfig, request: ExportRequest, fp32: _ExportedModel
) -> _ExportedModel:
    """Search for the best quantised file and fit its thresholds. Raises ExportError when none is fit to ship."""
    target, precision = request.target, request.precision
    inputs = _search_inputs(student, splits, config, request, fp32)
    openvino = request.runtime == "openvino"
    candidates = search_with_nncf(inputs, config) if openvino else search_schemes(inputs, config, precision)
    best, batch = candidates[0], median_batch(inputs.calibration)
    coverage = measure_openvino_coverage(best.model, batch) if openvino else measure_coverage(best.model, batch)
    refuse_if_uncovered(coverage, config.min_int8_share, precision, target == detect_target())
    refuse_if_no_gain(best, fp32.figures.size_bytes, target, config)
    runtime: Runtime = "openvino" if openvino else "onnxruntime"
    opened = open_file(best.model, runtime, 0, RunOptions(), overflows(target, detect_target()))
    predict = _predict_with(opened, fp32.preprocessor, student)
    # Quantisation moves the probabilities, and the thresholds have to move with them.
    parent = _predict_with(fp32.opened, fp32.preprocessor, student)
    thresholds = _carried_thresholds(student, splits, parent, predict)
    evaluation = _evaluate(student, splits, predict, best.probabilities, thresholds)
    effect = measure_quantization_effect(fp32.dev, best.probabilities, inputs.thresholds, evaluation.thresholds)
    quantization = QuantizationFigures(candidates, coverage, effect)
    figures = replace(
        fp32.figures,
        precision=precision,
        target=target,
        runtime=runtime,
        size_bytes=best.size_bytes,
        evaluation=evaluation,
        quantization=quantization,
    )
    return _ExportedModel(best.model, opened, fp32.preprocessor, best.probabilities, figures)


def _convert(
    student: Checkpoint, splits: Splits, config: ExportConfig, request: ExportRequest, model: _ExportedModel
) -> _ExportedModel:
    """The same for another runtime, of the same thresholds, compared with torch, or with the file that it was made
    of when that is quantised. Raises ExportError or ParityError."""
    runtime, figures, classifier = request.runtime, model.figures, student.classifier
    note(f"converting for {runtime} and comparing")
    path = convert(classifier, model.path, runtime)
    exact = figures.precision == "int8" and overflows(request.target, detect_target())
    opened = open_file(path, runtime, classifier.spec.text.pad_id, RunOptions(), exact)
    if figures.precision == "fp32":
        thresholds = figures.evaluation.thresholds
        parity = check_parity(classifier, path, splits.dev, config.parity_tolerance, thresholds, opened)
        note(f"torch and {opened.title} agree to {parity.max_logit_difference:.1g} over {parity.cases} cases")
        figures = replace(figures, parity=parity)
    dev = _predict_with(opened, model.preprocessor, student)(splits.dev)
    moved = float(np.abs(dev - model.dev).max())
    if not moved <= config.parity_tolerance:  # also true of nan
        raise ParityError(
            f"the {opened.title} file moves a probability on dev by {moved:.2g} from the ONNX file's, more than "
            f"export.parity_tolerance={config.parity_tolerance:g}; nothing was written. Report this"
        )
    figures = replace(figures, runtime=runtime, size_bytes=stored_bytes(path))
    return _ExportedModel(path, opened, model.preprocessor, dev, figures)


def _search_inputs(
    student: Checkpoint, splits: Splits, config: ExportConfig, request: ExportRequest, fp32: _ExportedModel
) -> SearchInputs:
    """Fuse the graph for onnxruntime, compare that with torch too, and put together what the search needs. OpenVINO
    fuses for itself."""
    classifier, thresholds = student.classifier, fp32.figures.evaluation.thresholds
    fused = fp32.path
    if request.runtime != "openvino":
        fused = fp32.path.with_name("fused.onnx")
        fuse_graph(fp32.path, fused)
        check_parity(classifier, fused, splits.dev, config.parity_tolerance, thresholds)
    return SearchInputs(
        fp32=fp32.path,
        fused=fused,
        examples=splits.dev,
        targets=_targets(student, splits.dev),
        probabilities=fp32.dev,
        thresholds=thresholds,
        preprocessor=fp32.preprocessor,
        calibration=calibration_batches(fp32.preprocessor, splits.train[: config.calibration_examples]),
        trained_ranges=trained_ranges(fp32.path, student.ranges),
        target=request.target,
    )


def calibration_batches(preprocessor: Preprocessor, examples: Sequence[Example]) -> list[ModelInputs]:
    """The examples one by one, unpadded, as they come at serving time."""
    rows = preprocessor.rows([e.text for e in examples], [preprocessor.image(e.image) for e in examples])
    return [preprocessor.batch([row]) for row in rows]


def _predict_with(opened: OpenedModel, preprocessor: Preprocessor, student: Checkpoint) -> Predict:
    groups = student.classifier.labels.group_columns
    return partial(predict_probabilities, Pipeline(opened.run, preprocessor, groups))


def _targets(student: Checkpoint, examples: Sequence[Example]) -> Targets:
    return encode_targets(examples, student.classifier.labels)


def _evaluate(
    student: Checkpoint, splits: Splits, predict: Predict, dev: Probabilities, thresholds: Thresholds
) -> Evaluation:
    """Measure `dev`, the probabilities on dev, and those of either modality alone. Thresholds that were fitted on
    dev are fitted again; those that rest on out-of-fold outputs are worth more than dev is, and stay."""
    classifier, train_targets = student.classifier, _targets(student, splits.train)
    alone = {}
    if any(example.text for example in splits.dev):
        alone["text"] = predict(without_images(splits.dev))
    if any(example.image for example in splits.dev):
        alone["image"] = predict(without_texts(splits.dev))
    outputs = SplitOutputs("dev", classifier.labels, dev, _targets(student, splits.dev), alone)
    if thresholds.fitted_on.split == "dev":
        objective = classifier.config.threshold_objective
        return fit_and_evaluate(outputs, objective, train_targets, thresholds.calibration)
    return evaluate_thresholds(outputs, thresholds, train_targets)


def _carried_thresholds(student: Checkpoint, splits: Splits, fp32: Predict, quantized: Predict) -> Thresholds:
    """The run's thresholds, carried over to the quantised file's outputs unless dev refits them anyway."""
    thresholds = student.thresholds
    if thresholds.fitted_on.split == "dev":
        return thresholds
    examples = [*splits.train[:TRANSFER_EXAMPLES], *splits.dev]
    return carry_over(thresholds, logit(fp32(examples)), logit(quantized(examples)), "int8")


def _contents(student: Checkpoint, model: _ExportedModel, golden_answers: dict[str, Any], card: str) -> Contents:
    classifier, figures = student.classifier, model.figures
    return Contents(
        model=model.path,
        kind=classifier.kind,
        precision=figures.precision,
        target=figures.target,
        tokenizer_json=classifier.tokenizer_json,
        labels=classifier.labels,
        thresholds=figures.evaluation.thresholds,
        preprocess=classifier.spec,
        recipe=publishable_settings(classifier.config),
        figures=figures.to_json(),
        golden=golden_answers,
        card=card,
        run_sha256=student.sha256,
        runtime=figures.runtime,
        modalities=classifier.network.modalities,
    )
