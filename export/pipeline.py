"""From a student's run to Bundles: export, check, quantise, choose, fit thresholds, write. Knows the order."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distill import bundle
from distill.bundle import Bundle, Contents, Precision
from distill.checkpoint import METRICS, Checkpoint
from distill.data import Example, Splits, without_pictures, without_texts
from distill.errors import ExportError, RunError
from distill.files import read_json
from distill.metrics import Probabilities, logit, micro_ap
from distill.preprocess import Batch, Reader
from distill.recipe import ExportConfig
from distill.scoring import Scored, fit_and_score, score_with
from distill.terminal import note, warn
from distill.thresholds import Thresholds, moved
from export import card, parity, quantize
from export.coverage import Coverage
from export.isa import Target
from export.parity import Drift
from export.runtime import open_session, probabilities, run
from export.to_onnx import to_onnx

SPEED_ROUNDS = 30
MOVED_BY = 512  # training examples that carry thresholds over to int8
FASTER = 0.97  # a file counts as faster than another below this share of its time


Answers = Callable[[Sequence[Example]], Probabilities]


@dataclass(frozen=True)
class Candidate:
    """One int8 file that was tried: `matrices` are "dynamic", or "static" in the ranges that the student was
    trained in; `convolutions` are "float" or "int8"; `time_ratio` is its median time over its fp32 parent's,
    batch 1, one thread, interleaved; `ap_drop` what it loses of the parent's dev micro-AP."""

    matrices: str
    convolutions: str
    model: Path
    coverage: Coverage
    dev: Probabilities
    size_bytes: int
    ap_drop: float
    time_ratio: float


def export_run(
    student: Checkpoint, splits: Splits, config: ExportConfig, int8: bool, target: Target, out: Path
) -> list[Bundle]:
    """Write the Bundle `out`; with `int8` its fp32 parent stands beside it as `out`-fp32, for comparison.

    Raises ParityError or ExportError before anything is written at `out`.
    """
    parent_folder = out.with_name(f"{out.name}-fp32") if int8 else out
    for folder in {out, parent_folder}:
        bundle.refuse_if_in_the_way(folder)
    with tempfile.TemporaryDirectory(prefix="distill-export-") as temporary:
        work = Path(temporary)
        fp32 = work / "fp32.onnx"
        note("exporting to ONNX and comparing with torch")
        to_onnx(student.classifier, fp32)
        agreement = parity.check(student.classifier, fp32, splits.dev, config.max_drift)
        note(f"torch and fp32 ONNX agree to {agreement.max_logit_difference:.1g} over {agreement.cases} cases")
        reader = Reader(student.classifier.spec, student.classifier.tokenizer_json)
        answers = _answering(fp32, reader)
        dev = answers(splits.dev)
        scored = _score(student, splits, answers, dev, student.thresholds)
        figures: dict[str, Any] = {"parity": asdict(agreement), "size_bytes": fp32.stat().st_size}
        contents = _contents(student, fp32, "fp32", "any", scored, figures)
        if not int8:
            return [bundle.write(parent_folder, contents)]
        tried = _quantise(student, splits, config, target, fp32, dev, reader, work)
        best = _answering(tried[0].model, reader)
        # Quantisation moves the probabilities, and the thresholds have to move with them.
        own = _score(student, splits, best, tried[0].dev, _moved(student, splits, answers, best))
        drift = parity.compare(dev, tried[0].dev, scored.thresholds, own.thresholds)
        _say(tried[0], drift)
        figures = {"parity": asdict(agreement), "drift": asdict(drift)} | _tried(tried)
        quantised = _contents(student, tried[0].model, "int8", target, own, figures)
        return [bundle.write(parent_folder, contents), bundle.write(out, quantised)]


def _tried(candidates: Sequence[Candidate]) -> dict[str, Any]:
    best = candidates[0]
    return {
        "size_bytes": best.size_bytes,
        "coverage": asdict(best.coverage),
        "time_ratio": best.time_ratio,
        "tried": [
            {
                "matrices": c.matrices,
                "convolutions": c.convolutions,
                "size_bytes": c.size_bytes,
                "dev_micro_ap_drop": c.ap_drop,
                "time_ratio": c.time_ratio,
            }
            for c in candidates
        ],
    }


def _say(best: Candidate, drift: Drift) -> None:
    shares = ", ".join(f"{tower} {best.coverage.share(tower):.0%}" for tower in ("text", "picture", "head"))
    note(f"int8 weights: {shares}; {best.size_bytes / 1e6:.0f} MB")
    note(
        f"int8 against fp32 on dev: probabilities move by {drift.mean_probability_difference:.4f} on average, "
        f"{drift.max_probability_difference:.3f} at most; {drift.flipped} of {drift.decisions} decisions flip, "
        f"{drift.flipped_refitted} with thresholds fitted again"
    )
    if best.time_ratio >= 1:
        warn(f"int8 is SLOWER than fp32 on this machine: {best.time_ratio:.2f} of its time; ship the fp32 Bundle")
    else:
        note(f"int8 takes {best.time_ratio:.2f} of fp32's time on this machine (batch 1, one thread)")


def _quantise(
    student: Checkpoint,
    splits: Splits,
    config: ExportConfig,
    target: Target,
    fp32: Path,
    parent_dev: Probabilities,
    reader: Reader,
    work: Path,
) -> list[Candidate]:
    """Every int8 file that was tried, the one to ship first."""
    targets = student.classifier.labels.encode([example.labels for example in splits.dev])
    base = micro_ap(targets, parent_dev)
    calibration = _calibration(reader, splits, config.calibration_examples)
    kinds = {"auto": ("float", "int8"), "int8": ("int8",), "float": ("float",)}[config.convolutions]
    ways = ("dynamic", "static") if student.ranges else ("dynamic",)
    tried = []
    for matrices, convolutions in itertools.product(ways, kinds):
        note(f"quantising for {target}: matrix products {matrices} int8, convolutions {convolutions}")
        model = work / f"{matrices}-{convolutions}.onnx"
        ranges = student.ranges if matrices == "static" else None
        coverage = quantize.quantize(fp32, model, target, calibration, convolutions == "int8", ranges)
        quantize.refuse_if_hollow(coverage, config.min_int8_share)
        dev = probabilities(open_session(model, 0), reader, splits.dev)
        if not np.isfinite(dev).all():
            raise ExportError(
                f"int8 with {convolutions} convolutions answers with nan; use --set export.convolutions"
            )
        tried.append((matrices, convolutions, model, coverage, dev, base - micro_ap(targets, dev)))
    times = _median_times([fp32, *(item[2] for item in tried)], calibration)
    candidates = [
        Candidate(way, name, model, coverage, dev, model.stat().st_size, drop, seconds / times[0])
        for (way, name, model, coverage, dev, drop), seconds in zip(tried, times[1:], strict=True)
    ]
    return choose(candidates, config.max_ap_drop)


def choose(candidates: Sequence[Candidate], max_ap_drop: float) -> list[Candidate]:
    """The candidates, the one to ship first: the fastest of those within the allowed drop, the more exact
    of two that are as fast; when none is within it, the one that loses least."""
    fit = [candidate for candidate in candidates if candidate.ap_drop <= max_ap_drop]
    if not fit:
        return sorted(candidates, key=lambda candidate: candidate.ap_drop)
    quickest = min(candidate.time_ratio for candidate in fit)
    close = [candidate for candidate in fit if quickest >= FASTER * candidate.time_ratio]
    best = min(close, key=lambda candidate: candidate.ap_drop)
    return [best, *(candidate for candidate in candidates if candidate is not best)]


def _answering(model: Path, reader: Reader) -> Answers:
    session = open_session(model, 0)
    return lambda examples: probabilities(session, reader, examples)


def _calibration(reader: Reader, splits: Splits, count: int) -> list[Batch]:
    """The first training examples one by one, unpadded, as they come at serving time."""
    chosen = splits.train[:count]
    rows = reader.rows([e.text for e in chosen], [reader.picture(e.image) for e in chosen])
    return [reader.batch([row]) for row in rows]


def _median_times(models: Sequence[Path], batches: Sequence[Batch]) -> list[float]:
    """Median seconds of each model at batch 1 on one thread, in interleaved rounds so that noise hits all."""
    sessions = [open_session(model, 1) for model in models]
    median = sorted(batches, key=lambda batch: batch.input_ids.shape[1])[len(batches) // 2]
    times: list[list[float]] = [[] for _ in models]
    for round_ in range(SPEED_ROUNDS + 3):
        for index, session in enumerate(sessions):
            start = time.perf_counter()
            run(session, median)
            if round_ >= 3:  # the first rounds warm up
                times[index].append(time.perf_counter() - start)
    return [float(np.median(series)) for series in times]


def _score(
    student: Checkpoint, splits: Splits, answers: Answers, dev: Probabilities, thresholds: Thresholds
) -> Scored:
    """Figures on dev, whose answers are there already. Thresholds that rest on out-of-fold answers are worth more
    than dev is: they stay."""
    labels, config = student.classifier.labels, student.classifier.config
    targets, train_targets = (
        labels.encode([example.labels for example in part]) for part in (splits.dev, splits.train)
    )
    alone = {"text": answers(without_pictures(splits.dev)), "picture": answers(without_texts(splits.dev))}
    if thresholds.rest_on("dev"):
        return fit_and_score(labels.names, dev, targets, train_targets, config.objective, "dev", alone)
    return score_with(thresholds, labels.names, dev, targets, train_targets, "dev", alone)


def _moved(student: Checkpoint, splits: Splits, fp32: Answers, int8: Answers) -> Thresholds:
    """The run's thresholds, carried over to the int8 file's outputs."""
    thresholds = student.thresholds
    if thresholds.rest_on("dev"):
        return thresholds
    examples = [*splits.train[:MOVED_BY], *splits.dev]
    return moved(thresholds, logit(fp32(examples)), logit(int8(examples)), "int8")


def _contents(
    student: Checkpoint,
    model: Path,
    precision: Precision,
    target: str,
    scored: Scored,
    figures: dict[str, Any],
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
        recipe=asdict(classifier.config),
        figures=figures,
        card=card.write(classifier, precision, target, scored, figures),
        run_sha256=student.sha256,
    )
