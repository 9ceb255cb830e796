"""From a student's run to Bundles: export, check, quantise, fit thresholds, write. Knows the order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from onnxruntime import InferenceSession

from distill.core.errors import RunError
from distill.core.files import read_json, work_folder
from distill.core.isa import Target, detect, overflows
from distill.core.recipe import ExportConfig
from distill.core.terminal import note, output, warn
from distill.data.dataset import Example, Splits, without_images, without_texts
from distill.data.run_folder import METRICS
from distill.model.checkpoint import Checkpoint
from distill.preprocess.inputs import Batch, Reader
from distill.runtime import bundle, golden
from distill.runtime.bundle import Bundle, Contents, Precision
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.predictor import predict_probabilities
from distill.scoring.evaluation import Evaluation, SplitOutputs, evaluate, fit_and_evaluate
from distill.scoring.metrics import Probabilities, logit
from distill.scoring.thresholds import Thresholds, move
from export import fuse as graph
from export import parity
from export.card import page as card
from export.card import tables as card_tables
from export.card.metadata import settings
from export.embed import embed
from export.parity import Drift, Parity
from export.quantize import coverage
from export.quantize import schemes as quantize
from export.quantize.coverage import Coverage
from export.quantize.search import Candidate, Given, median_batch, refuse_if_no_gain, search
from export.to_onnx import to_onnx

MOVED_BY = 512  # training examples that carry thresholds over to int8

Answers = Callable[[Sequence[Example]], Probabilities]


@dataclass(frozen=True)
class Order:
    """What is wanted: a `precision`, for a `target`, at `out`; `embedded` also puts everything into model.onnx."""

    precision: Precision
    target: Target
    out: Path
    embedded: bool = False

    @property
    def parent(self) -> Path:
        """Where the fp32 Bundle goes."""
        return self.out if self.precision == "fp32" else self.out.with_name(f"{self.out.name}-fp32")


@dataclass(frozen=True)
class _Parent:
    """The fp32 file, opened once, with what it answered and what was found of it."""

    model: Path
    session: InferenceSession
    reader: Reader
    answers: Answers
    dev: Probabilities
    scored: Evaluation
    agreement: Parity


def export_run(student: Checkpoint, splits: Splits, config: ExportConfig, order: Order) -> list[Bundle]:
    """Write the Bundle that is ordered; a quantised one's fp32 parent stands beside it, for comparison.

    Raises ParityError or ExportError before anything is written.
    """
    for folder in {order.out, order.parent}:
        bundle.check_replaceable(folder)
    with work_folder(order.out) as work:
        fp32 = work / "fp32.onnx"
        parent = _parent(student, splits, config, fp32)
        figures: dict[str, Any] = {"parity": asdict(parent.agreement), "size_bytes": fp32.stat().st_size}
        made = golden.record(parent.reader, parent.session, parent.session)
        told = card.told(splits, config.card)
        contents = [_contents(student, fp32, "fp32", "any", parent.scored, figures, made, told)]
        if order.precision != "fp32":
            contents.append(_quantised(student, splits, config, order, parent))
        if order.embedded:
            contents = [_embedded(item, work / f"{item.precision}-embedded.onnx") for item in contents]
        places = dict(zip((order.parent, order.out), contents, strict=False))
        return [bundle.write_bundle(folder, item) for folder, item in places.items()]


def _parent(student: Checkpoint, splits: Splits, config: ExportConfig, fp32: Path) -> _Parent:
    """Export to `fp32`, fit or keep the thresholds, and hold it to torch. Raises ExportError or ParityError."""
    note("exporting to ONNX and comparing with torch")
    to_onnx(student.classifier, fp32)
    reader = Reader(student.classifier.spec, student.classifier.tokenizer_json)
    session = open_session(fp32, 0)
    answers = _answering(session, reader)
    dev = answers(splits.dev)
    scored = _score(student, splits, answers, dev, student.thresholds)
    agreement = parity.check(student.classifier, fp32, splits.dev, config.max_drift, scored.thresholds)
    note(f"torch and fp32 ONNX agree to {agreement.max_logit_difference:.1g} over {agreement.cases} cases")
    return _Parent(fp32, session, reader, answers, dev, scored, agreement)


def _quantised(
    student: Checkpoint, splits: Splits, config: ExportConfig, order: Order, parent: _Parent
) -> Contents:
    """The quantised Bundle's contents, beside its fp32 file. Raises ExportError when nothing is fit to ship."""
    assert order.precision != "fp32"
    target = order.target
    given = _given(student, splits, config, target, parent)
    tried = search(given, config, order.precision)
    best = tried[0]
    reached = coverage.measure(best.model, median_batch(given.calibration))
    coverage.refuse_if_hollow(reached, config.min_int8_share, order.precision, target == detect())
    refuse_if_no_gain(best, parent.model.stat().st_size, target, config)
    # Quantisation moves the probabilities, and the thresholds have to move with them.
    session = open_session(best.model, 0, overflows(target, detect()))
    after = _answering(session, parent.reader)
    own = _score(student, splits, after, best.dev, _moved(student, splits, parent.answers, after))
    drift = parity.compare(parent.dev, best.dev, parent.scored.thresholds, own.thresholds)
    output.print(card_tables.tried_table(tried, order.precision))
    output.print(card_tables.coverage_table(reached))
    _say(best, drift, target)
    figures = {"parity": asdict(parent.agreement), "drift": asdict(drift), **_tried(tried, reached)}
    made = golden.record(parent.reader, session, parent.session)
    told = card.told(splits, config.card)
    return _contents(student, best.model, order.precision, target, own, figures, made, told)


def _given(student: Checkpoint, splits: Splits, config: ExportConfig, target: Target, parent: _Parent) -> Given:
    """Fuse the graph, check that against torch too, and put together what the search needs."""
    fp32, thresholds = parent.model, parent.scored.thresholds
    fused = fp32.with_name("fused.onnx")
    graph.fuse(fp32, fused)
    parity.check(student.classifier, fused, splits.dev, config.max_drift, thresholds)
    return Given(
        parent=fp32,
        fused=fused,
        examples=splits.dev,
        targets=student.classifier.labels.encode([example.labels for example in splits.dev]),
        parent_dev=parent.dev,
        thresholds=thresholds,
        reader=parent.reader,
        calibration=_calibration(parent.reader, splits, config.calibration_examples),
        trained=quantize.trained_ranges(fp32, student.ranges) if student.ranges else None,
        target=target,
        folder=fp32.parent,
    )


def _tried(candidates: Sequence[Candidate], reached: Coverage) -> dict[str, Any]:
    best = candidates[0]
    return {
        "size_bytes": best.size_bytes,
        "coverage": asdict(reached),
        "time_ratio": best.time_ratio,
        "tried": [
            {
                "scheme": str(c.scheme),
                "matrices": c.scheme.matrices,
                "convolutions": c.scheme.convolutions,
                "matrix_calibration": c.scheme.matrix_calibration,
                "convolution_calibration": c.scheme.convolution_calibration,
                "kept": list(c.scheme.kept),
                "size_bytes": c.size_bytes,
                "dev_micro_f1_drop": asdict(c.f1_drop),
                "dev_micro_ap_drop": c.ap_drop,
                "moved": c.moved,
                "time_ratio": c.time_ratio,
            }
            for c in candidates
        ],
    }


def _say(best: Candidate, drift: Drift, target: Target) -> None:
    note(
        f"against fp32 on dev: probabilities move by {drift.mean_probability_difference:.4f} on average, "
        f"{drift.max_probability_difference:.3f} at most; {drift.flipped} of {drift.decisions} decisions flip, "
        f"{drift.flipped_refitted} with thresholds fitted again"
    )
    if target != detect():
        note(f"made for {target}; how fast it is there, only a benchmark there can say")
    elif best.time_ratio >= 1:
        warn(f"it is SLOWER than fp32 on this machine: {best.time_ratio:.2f} of its time; ship the fp32 Bundle")
    else:
        note(f"it takes {best.time_ratio:.2f} of fp32's time on this machine (batch 1, one thread)")


def _answering(session: InferenceSession, reader: Reader) -> Answers:
    return lambda examples: predict_probabilities(partial(run_session, session), reader, examples)


def _calibration(reader: Reader, splits: Splits, count: int) -> list[Batch]:
    """The first training examples one by one, unpadded, as they come at serving time."""
    chosen = splits.train[:count]
    rows = reader.rows([e.text for e in chosen], [reader.image(e.image) for e in chosen])
    return [reader.batch([row]) for row in rows]


def _embedded(contents: Contents, out: Path) -> Contents:
    embed(contents.model, contents, out)
    return replace(contents, model=out)


def _score(
    student: Checkpoint, splits: Splits, answers: Answers, dev: Probabilities, thresholds: Thresholds
) -> Evaluation:
    """Figures on dev, whose answers are there already. Thresholds that rest on out-of-fold answers are worth more
    than dev is: they stay."""
    labels, config = student.classifier.labels, student.classifier.config
    targets, train_targets = (
        labels.encode([example.labels for example in part]) for part in (splits.dev, splits.train)
    )
    alone = {"text": answers(without_images(splits.dev)), "image": answers(without_texts(splits.dev))}
    outputs = SplitOutputs("dev", labels.names, dev, targets, alone)
    if thresholds.fitted_on.split == "dev":
        return fit_and_evaluate(outputs, config.objective, train_targets)
    return evaluate(outputs, thresholds, train_targets)


def _moved(student: Checkpoint, splits: Splits, fp32: Answers, int8: Answers) -> Thresholds:
    """The run's thresholds, carried over to the int8 file's outputs."""
    thresholds = student.thresholds
    if thresholds.fitted_on.split == "dev":
        return thresholds
    examples = [*splits.train[:MOVED_BY], *splits.dev]
    return move(thresholds, logit(fp32(examples)), logit(int8(examples)), "int8")


def _contents(
    student: Checkpoint,
    model: Path,
    precision: Precision,
    target: str,
    scored: Evaluation,
    figures: dict[str, Any],
    golden_answers: dict[str, Any],
    told: card.Told,
) -> Contents:
    classifier = student.classifier
    figures = figures | scored.to_json()
    verdict = read_json(student.folder / METRICS, RunError).get("distillation")
    if verdict is not None:
        figures["distillation"] = verdict["sentence"]
    return Contents(
        model=model,
        kind=classifier.kind,
        precision=precision,
        target=target,
        tokenizer_json=classifier.tokenizer_json,
        labels=classifier.labels,
        thresholds=scored.thresholds,
        preprocess=classifier.spec,
        recipe=settings(classifier.config),
        figures=figures,
        golden=golden_answers,
        card=card.write(classifier, precision, target, scored, figures, told),
        run_sha256=student.sha256,
    )
