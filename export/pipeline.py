"""Export a student's run to Bundles: ONNX, parity with torch, quantisation, thresholds, card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from onnxruntime import InferenceSession

from distill.core.cpu import CpuTarget, detect_target, overflows
from distill.core.errors import ExportError, RunError
from distill.core.files import read_json, scratch_folder
from distill.core.lock import lock_beside, sole_writer
from distill.core.recipe import ExportConfig
from distill.core.terminal import note
from distill.data.dataset import Example, Splits, encode_targets, without_images, without_texts
from distill.data.run_folder import METRICS
from distill.model.checkpoint import Checkpoint
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime import bundle
from distill.runtime.bundle import Bundle, Contents, Precision
from distill.runtime.golden import record_golden
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.predictor import predict_probabilities
from distill.scoring.evaluation import Evaluation, SplitOutputs, evaluate_thresholds, fit_and_evaluate
from distill.scoring.metrics import Probabilities, Targets, logit
from distill.scoring.thresholds import Thresholds, carry_over
from export.card.metadata import publishable_settings
from export.card.page import render_card
from export.embed import embed_contents
from export.figures import ExportFigures, QuantizationFigures, show_quantization
from export.fuse import fuse_graph
from export.parity import check_parity, measure_quantization_effect
from export.quantize.coverage import measure_coverage, refuse_if_uncovered
from export.quantize.schemes import trained_ranges
from export.quantize.search import SearchInputs, median_batch, refuse_if_no_gain, search_schemes
from export.to_onnx import to_onnx

TRANSFER_EXAMPLES = 512  # training examples by which thresholds are moved to the quantised file's outputs

Predict = Callable[[Sequence[Example]], Probabilities]


@dataclass(frozen=True)
class ExportRequest:
    """The Bundle to write at `out`: its `precision`, and for a quantised one the `target` processor; `embed` also
    stores its other files in model.onnx, which then serves alone."""

    precision: Precision
    target: CpuTarget
    out: Path
    embed: bool = False

    @property
    def fp32_out(self) -> Path:
        """The folder of the fp32 Bundle, beside a quantised one."""
        return self.out if self.precision == "fp32" else self.out.with_name(f"{self.out.name}-fp32")


@dataclass(frozen=True)
class _ExportedModel:
    """An ONNX file that is fit to ship, opened, with its probabilities (N, L) on dev."""

    path: Path
    session: InferenceSession
    preprocessor: Preprocessor
    dev: Probabilities
    figures: ExportFigures


def export_run(student: Checkpoint, splits: Splits, config: ExportConfig, request: ExportRequest) -> list[Bundle]:
    """Write the Bundle that is requested, after its fp32 parent when it is a quantised one, for comparison.

    Raises BundleError, ParityError or ExportError before anything is written.
    """
    outs = {request.out, request.fp32_out}
    for out in outs:
        bundle.check_replaceable(out)
    student.classifier.warn_of_cut_texts(splits)
    with ExitStack() as stack:
        for out in outs:
            stack.enter_context(sole_writer(out, lock_beside(out), ExportError))
        work = stack.enter_context(scratch_folder(request.out))
        fp32 = _export_fp32(student, splits, config, work / "fp32.onnx")
        models = {request.fp32_out: fp32}
        if request.precision != "fp32":
            models[request.out] = _quantize(student, splits, config, request, fp32)
        contents = {}
        for out, model in models.items():
            answers = record_golden(model.preprocessor, model.session, fp32.session)
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


def _export_fp32(student: Checkpoint, splits: Splits, config: ExportConfig, path: Path) -> _ExportedModel:
    """Export to `path`, fit or keep the thresholds, and compare with torch. Raises ExportError or ParityError."""
    note("exporting to ONNX and comparing with torch")
    classifier = student.classifier
    to_onnx(classifier, path)
    preprocessor, session = Preprocessor(classifier.spec, classifier.tokenizer_json), open_session(path, 0)
    predict = _predict_with(session, preprocessor, student)
    dev = predict(splits.dev)
    evaluation = _evaluate(student, splits, predict, dev, student.thresholds)
    parity = check_parity(classifier, path, splits.dev, config.parity_tolerance, evaluation.thresholds)
    note(f"torch and fp32 ONNX agree to {parity.max_logit_difference:.1g} over {parity.cases} cases")
    verdict = read_json(student.folder / METRICS, RunError).get("distillation")
    control = None if verdict is None else verdict["sentence"]
    figures = ExportFigures("fp32", "any", path.stat().st_size, parity, evaluation, control)
    return _ExportedModel(path, session, preprocessor, dev, figures)


def _quantize(
    student: Checkpoint, splits: Splits, config: ExportConfig, request: ExportRequest, fp32: _ExportedModel
) -> _ExportedModel:
    """Search for the best quantised file and fit its thresholds. Raises ExportError when none is fit to ship."""
    target, precision = request.target, request.precision
    inputs = _search_inputs(student, splits, config, target, fp32)
    candidates = search_schemes(inputs, config, precision)
    best = candidates[0]
    coverage = measure_coverage(best.model, median_batch(inputs.calibration))
    refuse_if_uncovered(coverage, config.min_int8_share, precision, target == detect_target())
    refuse_if_no_gain(best, fp32.figures.size_bytes, target, config)
    session = open_session(best.model, 0, overflows(target, detect_target()))
    predict = _predict_with(session, fp32.preprocessor, student)
    # Quantisation moves the probabilities, and the thresholds have to move with them.
    parent = _predict_with(fp32.session, fp32.preprocessor, student)
    thresholds = _carried_thresholds(student, splits, parent, predict)
    evaluation = _evaluate(student, splits, predict, best.probabilities, thresholds)
    effect = measure_quantization_effect(fp32.dev, best.probabilities, inputs.thresholds, evaluation.thresholds)
    quantization = QuantizationFigures(candidates, coverage, effect)
    figures = replace(
        fp32.figures,
        precision=precision,
        target=target,
        size_bytes=best.size_bytes,
        evaluation=evaluation,
        quantization=quantization,
    )
    return _ExportedModel(best.model, session, fp32.preprocessor, best.probabilities, figures)


def _search_inputs(
    student: Checkpoint, splits: Splits, config: ExportConfig, target: CpuTarget, fp32: _ExportedModel
) -> SearchInputs:
    """Fuse the graph, compare that with torch too, and put together what the search needs."""
    classifier, thresholds = student.classifier, fp32.figures.evaluation.thresholds
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
        target=target,
    )


def calibration_batches(preprocessor: Preprocessor, examples: Sequence[Example]) -> list[ModelInputs]:
    """The examples one by one, unpadded, as they come at serving time."""
    rows = preprocessor.rows([e.text for e in examples], [preprocessor.image(e.image) for e in examples])
    return [preprocessor.batch([row]) for row in rows]


def _predict_with(session: InferenceSession, preprocessor: Preprocessor, student: Checkpoint) -> Predict:
    groups = student.classifier.labels.group_columns
    return partial(predict_probabilities, partial(run_session, session), preprocessor, groups=groups)


def _targets(student: Checkpoint, examples: Sequence[Example]) -> Targets:
    return encode_targets(examples, student.classifier.labels)


def _evaluate(
    student: Checkpoint, splits: Splits, predict: Predict, dev: Probabilities, thresholds: Thresholds
) -> Evaluation:
    """Measure `dev`, the probabilities on dev, and those of either modality alone. Thresholds that were fitted on
    dev are fitted again; those that rest on out-of-fold outputs are worth more than dev is, and stay."""
    classifier, train_targets = student.classifier, _targets(student, splits.train)
    alone = {"text": predict(without_images(splits.dev)), "image": predict(without_texts(splits.dev))}
    outputs = SplitOutputs("dev", classifier.labels, dev, _targets(student, splits.dev), alone)
    if thresholds.fitted_on.split == "dev":
        return fit_and_evaluate(outputs, classifier.config.threshold_objective, train_targets)
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
    )
