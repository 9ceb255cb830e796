"""Which quantised file ships: schemes tried tower by tower, under a budget of F1. Knows candidates, no Bundles."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from distill.core.errors import ExportError
from distill.core.isa import Target, detect, overflows
from distill.core.recipe import ExportConfig
from distill.core.terminal import note
from distill.data.dataset import Example
from distill.preprocess.inputs import Batch, Reader
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.predictor import predict_probabilities
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import (
    Probabilities,
    Targets,
    bootstrap_draws,
    logit,
    micro_ap,
    weighted_f1,
)
from distill.scoring.thresholds import Thresholds, move
from export.quantize import schemes as quantize
from export.quantize import sensitivity
from export.quantize.calibration import METHODS, Calibration, Ranges, calibrate
from export.quantize.schemes import Scheme

SPEED_ROUNDS = 30
FASTER = 0.97  # a file counts as faster than another below this share of its time
DRAWS = 1000  # of the bootstrap
SENSITIVITY_BATCHES = 16

FewBits = Literal["int8", "int4"]


@dataclass(frozen=True)
class Given:
    """What candidates are made of and judged by: the `parent` fp32 file and its `fused` form; the dev examples,
    their targets (N, L), the parent's probabilities (N, L) and thresholds; unpadded training batches to calibrate
    and to time with; and the ranges of `trained` layers, where there are some."""

    parent: Path
    fused: Path
    examples: Sequence[Example]
    targets: Targets
    parent_dev: Probabilities
    thresholds: Thresholds
    reader: Reader
    calibration: Sequence[Batch]
    trained: Ranges | None
    target: Target
    folder: Path


@dataclass(frozen=True)
class Candidate:
    """One file that was tried.

    `f1_drop` is what it loses of the parent's micro-F1 on dev, both decided with the parent's thresholds, carried
    over to its outputs, with a paired bootstrap interval; `ap_drop` the same in micro-AP; `moved` how far its
    probabilities are from the parent's on average; `time_ratio` its median time over the parent's, batch 1, one
    thread, interleaved, on this machine.
    """

    scheme: Scheme
    model: Path
    dev: Probabilities
    size_bytes: int
    f1_drop: Estimate
    ap_drop: float
    moved: float
    time_ratio: float


def search(given: Given, config: ExportConfig, precision: FewBits) -> list[Candidate]:
    """Every file that was tried, the one to ship first.

    The text tower's schemes are tried with convolutions in float, then the convolutions' with the best of those.
    When no file is within `config.max_f1_drop`, the nodes that lose most go back to float, twice as many each time,
    until one is. Raises ExportError when none is within it even then.
    """
    methods = METHODS if config.calibration == "auto" else (config.calibration,)
    attempts = _Attempts(given)
    text = attempts.make(_text_schemes(given, config, precision, methods))
    tried = text if config.convolutions != "int8" else []
    if config.convolutions != "float":
        best = choose(text, config.max_f1_drop)[0]
        tried = [*tried, *attempts.make(_image_schemes(best.scheme, methods))]
    best = choose(tried, config.max_f1_drop)[0]
    if best.f1_drop.value > config.max_f1_drop:
        order = sensitivity.rank(given.fused, best.model, best.scheme, given.calibration[:SENSITIVITY_BATCHES])
        kept, count = best.scheme.kept, 1
        while best.f1_drop.value > config.max_f1_drop and count <= len(order) // 2:
            tried += attempts.make([replace(best.scheme, kept=(*kept, *order[:count]))])
            best = choose(tried, config.max_f1_drop)[0]
            count *= 2
    if best.f1_drop.value > config.max_f1_drop:
        raise ExportError(
            f"{precision} loses {best.f1_drop:.3f} of "
            f"micro-F1 on dev, more than --max-f1-drop {config.max_f1_drop:g} ({len(tried)} files were tried, the "
            "last with its most sensitive nodes in float); nothing was written. Allow more, or train the student "
            "on with distill finetune-int8"
        )
    return choose(tried, config.max_f1_drop)


class _Attempts:
    """Makes and judges files; a calibration that several need is done once."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.known: dict[Calibration, Ranges] = {}
        self.numbers = itertools.count()

    def make(self, schemes: Sequence[Scheme]) -> list[Candidate]:
        """A candidate for each scheme, timed together."""
        given, files = self.given, []
        for scheme in schemes:
            note(f"quantising for {given.target}: {scheme}")
            matrices = self._ranges(scheme.matrix_calibration)
            if scheme.matrices == "trained":
                matrices = given.trained or {}
            model = given.folder / f"candidate{next(self.numbers)}.onnx"
            convolutions = self._ranges(scheme.convolution_calibration)
            quantize.quantize(given.fused, model, scheme, given.target, matrices, convolutions)
            files.append((scheme, model))
        return _judge(given, files)

    def _ranges(self, method: Calibration | None) -> Ranges:
        if method is None:
            return {}
        if method not in self.known:
            self.known[method] = calibrate(self.given.fused, self.given.calibration, method)
        return self.known[method]


def choose(candidates: Sequence[Candidate], max_f1_drop: float) -> list[Candidate]:
    """The candidates, the one to ship first: the fastest of those within the allowed drop, of those that are
    as fast the one nearest to its parent; when none is within it, the one that loses least."""
    fit = [candidate for candidate in candidates if candidate.f1_drop.value <= max_f1_drop]
    if not fit:
        return sorted(candidates, key=lambda candidate: (candidate.f1_drop.value, candidate.moved))
    quickest = min(candidate.time_ratio for candidate in fit)
    close = [candidate for candidate in fit if quickest >= FASTER * candidate.time_ratio]
    best = min(close, key=lambda candidate: candidate.moved)
    return [best, *(candidate for candidate in candidates if candidate is not best)]


def refuse_if_no_gain(best: Candidate, parent_bytes: int, target: Target, config: ExportConfig) -> None:
    """Raise ExportError for a file that is not smaller or not faster than its parent, unless the recipe allows it.
    How fast a file for another kind of processor is cannot be known here."""
    slower = best.time_ratio >= 1 and target == detect()
    if config.allow_slower or (best.size_bytes < parent_bytes and not slower):
        return
    raise ExportError(
        f"the quantised file takes {best.time_ratio:.2f} of fp32's time on this machine and "
        f"{best.size_bytes / parent_bytes:.2f} of its bytes: it gains nothing, and nothing was written. Ship fp32 "
        "(leave --int8 out), or insist with --set export.allow_slower=true"
    )


def _text_schemes(
    given: Given, config: ExportConfig, precision: FewBits, methods: Sequence[Calibration]
) -> list[Scheme]:
    if precision == "int4":
        return [Scheme("4-bit", "float")]
    schemes = [Scheme("dynamic", "float")]
    if given.trained:
        schemes.append(Scheme("trained", "float"))
    if config.matrices == "auto":
        schemes += [Scheme("static", "float", method) for method in methods]
    return schemes


def _image_schemes(text: Scheme, methods: Sequence[Calibration]) -> list[Scheme]:
    per_channel = [replace(text, convolutions="per-channel", convolution_calibration=m) for m in methods]
    return [*per_channel, replace(text, convolutions="per-tensor", convolution_calibration=methods[0])]


def _judge(given: Given, files: Sequence[tuple[Scheme, Path]]) -> list[Candidate]:
    exact = overflows(given.target, detect())
    before = given.thresholds.apply(given.parent_dev)
    base_ap = micro_ap(given.targets, given.parent_dev)
    drawn = bootstrap_draws(len(before), DRAWS, np.random.default_rng(0))
    weights = np.concatenate([np.ones((1, len(before))), drawn])  # the data as they are come first
    base_f1, _ = weighted_f1(given.targets, before, weights)
    times = median_times([given.parent, *(model for _, model in files)], given.calibration, exact)
    candidates = []
    for (scheme, model), seconds in zip(files, times[1:], strict=True):
        dev = predict_probabilities(
            partial(run_session, open_session(model, 0, exact)), given.reader, given.examples
        )
        if not np.isfinite(dev).all():
            raise ExportError(f"a file with {scheme} answers with nan; choose with --set export.convolutions=float")
        carried = move(given.thresholds, logit(given.parent_dev), logit(dev), "it")
        f1, _ = weighted_f1(given.targets, carried.apply(dev), weights)
        drop = base_f1 - f1
        candidates.append(
            Candidate(
                scheme=scheme,
                model=model,
                dev=dev,
                size_bytes=model.stat().st_size,
                f1_drop=Estimate.of(drop[0], drop[1:]),
                ap_drop=base_ap - micro_ap(given.targets, dev),
                moved=float(np.abs(dev - given.parent_dev).mean()),
                time_ratio=seconds / times[0],
            )
        )
    return candidates


def median_batch(batches: Sequence[Batch]) -> Batch:
    """The one with the text of median length."""
    return sorted(batches, key=lambda batch: batch.input_ids.shape[1])[len(batches) // 2]


def median_times(models: Sequence[Path], batches: Sequence[Batch], exact: bool = False) -> list[float]:
    """Median seconds of each model at batch 1 on one thread, in interleaved rounds so that noise hits all."""
    sessions = [open_session(model, 1, exact) for model in models]
    median = median_batch(batches)
    times: list[list[float]] = [[] for _ in models]
    for round_ in range(SPEED_ROUNDS + 3):
        for index, session in enumerate(sessions):
            start = time.perf_counter()
            run_session(session, median)
            if round_ >= 3:  # the first rounds warm up
                times[index].append(time.perf_counter() - start)
    return [float(np.median(series)) for series in times]
