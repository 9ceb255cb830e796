"""Search for the quantised file that ships: try schemes tower by tower, within a budget of F1."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from distill.core.errors import ExportError
from distill.core.machine.cpu import CpuTarget, detect_target, overflows
from distill.core.output.terminal import note
from distill.core.settings.recipe import ExportConfig
from distill.data.dataset import Example
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.bundle import Precision
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.pipeline import LogitsFunction, Pipeline, predict_probabilities
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Probabilities, Targets, bootstrap_draws, logit, micro_ap, weighted_f1
from distill.scoring.thresholds import Thresholds, carry_over
from export.quantize.calibration import RANGE_METHODS, RangeMethod, Ranges, calibrate_ranges
from export.quantize.schemes import NncfScheme, Scheme, quantize_graph
from export.quantize.sensitivity import most_sensitive_nodes

SPEED_ROUNDS = 30
WARM_UP_ROUNDS = 3
FASTER = 0.97  # a file counts as faster than another below this share of its time
BOOTSTRAP_DRAWS = 1000
AnyScheme = Scheme | NncfScheme
OpenOne = Callable[[Path, int], LogitsFunction]  # a model's file and threads
SENSITIVITY_BATCHES = 16


@dataclass(frozen=True)
class SearchInputs:
    """What candidates are made from and compared with.

    `fp32` is the parent file and `fused` its form that is quantised; candidates are written beside it. `targets`
    and the parent's `probabilities` (N, L) belong to `examples`, the dev split. `calibration` holds unpadded
    training examples, one a batch, which also serve for timing. `trained_ranges` is empty unless the run was
    trained in int8.
    """

    fp32: Path
    fused: Path
    examples: Sequence[Example]
    targets: Targets
    probabilities: Probabilities
    thresholds: Thresholds
    preprocessor: Preprocessor
    calibration: Sequence[ModelInputs]
    trained_ranges: Ranges
    target: CpuTarget


@dataclass(frozen=True)
class Candidate:
    """One quantised file that was tried, with its `probabilities` (N, L) on dev.

    `f1_drop` is the parent's micro-F1 on dev less its own, both decided with the parent's thresholds, carried over
    to its outputs, with a paired bootstrap interval; `ap_drop` the same in micro-AP;
    `mean_probability_change` the mean absolute difference of its probabilities from the parent's; `time_ratio` its
    median time over the parent's, batch 1, one thread, interleaved, on this machine.
    """

    scheme: AnyScheme
    model: Path
    probabilities: Probabilities
    size_bytes: int
    f1_drop: Estimate
    ap_drop: float
    mean_probability_change: float
    time_ratio: float

    def to_json(self) -> dict[str, Any]:
        """The row of a manifest's table `tried`."""
        return {
            "scheme": str(self.scheme),
            **asdict(self.scheme),
            "size_bytes": self.size_bytes,
            "dev_micro_f1_drop": asdict(self.f1_drop),
            "dev_micro_ap_drop": self.ap_drop,
            "mean_probability_change": self.mean_probability_change,
            "time_ratio": self.time_ratio,
        }


def search_schemes(inputs: SearchInputs, config: ExportConfig, precision: Precision) -> list[Candidate]:
    """Every file that was tried, the one to ship first.

    The text tower's schemes are tried with convolutions in float, then the convolutions' with the best of those.
    When no file is within `config.max_f1_drop`, the nodes that lose most go back to float, twice as many each time,
    until one is. Raises ExportError when none is within it even then.
    """
    calibrations = tuple(RANGE_METHODS) if config.calibration == "auto" else (config.calibration,)
    quantizer, limit = _Quantizer(inputs), config.max_f1_drop
    text = quantizer.candidates(_text_schemes(inputs, config, precision, calibrations))
    candidates = text if config.convolutions != "int8" else []
    if config.convolutions != "float":
        scheme = _own_scheme(rank_candidates(text, limit)[0])
        candidates = [*candidates, *quantizer.candidates(_image_schemes(scheme, calibrations))]
    best = rank_candidates(candidates, limit)[0]
    if best.f1_drop.value > limit:
        nodes = most_sensitive_nodes(inputs.fused, best.model, inputs.calibration[:SENSITIVITY_BATCHES])
        count = 1
        while best.f1_drop.value > limit and count <= len(nodes) // 2:
            candidates += quantizer.candidates([replace(_own_scheme(best), float_nodes=tuple(nodes[:count]))])
            best = rank_candidates(candidates, limit)[0]
            count *= 2
    refuse_over_budget(best, candidates, limit, precision)
    return rank_candidates(candidates, limit)


def refuse_over_budget(
    best: Candidate, candidates: Sequence[Candidate], limit: float, precision: Precision
) -> None:
    """Raise ExportError when the best file loses more micro-F1 than is allowed."""
    if best.f1_drop.value > limit:
        raise ExportError(
            f"{precision} loses {best.f1_drop:.3f} of micro-F1 on dev, more than --max-f1-drop {limit:g} "
            f"({len(candidates)} files were tried, the last with its most sensitive nodes in float); nothing was "
            "written. Allow more, or train the student on with distill finetune-int8"
        )


def rank_candidates(candidates: Sequence[Candidate], max_f1_drop: float) -> list[Candidate]:
    """The candidates, the one to ship first: the fastest of those within the allowed drop, of those that are
    as fast the one nearest to its parent; when none is within it, the one that loses least."""
    allowed = [candidate for candidate in candidates if candidate.f1_drop.value <= max_f1_drop]
    if not allowed:
        return sorted(candidates, key=lambda c: (c.f1_drop.value, c.mean_probability_change))
    least_time = min(candidate.time_ratio for candidate in allowed)
    fast = [candidate for candidate in allowed if least_time >= FASTER * candidate.time_ratio]
    best = min(fast, key=lambda candidate: candidate.mean_probability_change)
    return [best, *(candidate for candidate in candidates if candidate is not best)]


def refuse_if_no_gain(best: Candidate, fp32_bytes: int, target: CpuTarget, config: ExportConfig) -> None:
    """Raise ExportError for a file that is not smaller or not faster than its parent, unless the recipe allows it.
    How fast a file for another kind of processor is cannot be measured here. One of half the bytes may be as fast:
    a text's mean of static vectors takes microseconds in either precision."""
    equal = FASTER if 2 * best.size_bytes <= fp32_bytes else 1.0
    slower = best.time_ratio * equal >= 1 and target == detect_target()
    if config.allow_slower or (best.size_bytes < fp32_bytes and not slower):
        return
    raise ExportError(
        f"the quantised file takes {best.time_ratio:.2f} of fp32's time on this machine and "
        f"{best.size_bytes / fp32_bytes:.2f} of its bytes: it gains nothing, and nothing was written. Ship fp32 "
        "(leave --int8 out), or insist with --set export.allow_slower=true"
    )


class _Quantizer:
    """Makes candidates; what several of them need, ranges and quantised matrix products, is made once."""

    def __init__(self, inputs: SearchInputs) -> None:
        self.inputs = inputs
        self.numbers = itertools.count()
        self.made: dict[Scheme, Path] = {}
        self.calibrated = cache(partial(calibrate_ranges, inputs.fused, inputs.calibration))

    def candidates(self, schemes: Sequence[Scheme]) -> list[Candidate]:
        """A candidate for each scheme, timed together."""
        inputs, models = self.inputs, {}
        for scheme in schemes:
            note(f"quantising for {inputs.target}: {scheme}")
            trained = scheme.matmuls == "trained"
            matmuls = inputs.trained_ranges if trained else self._ranges(scheme.matmul_calibration)
            convolutions = self._ranges(scheme.convolution_calibration)
            model = inputs.fused.with_name(f"candidate{next(self.numbers)}.onnx")
            products = self.made.get(scheme.with_float_convolutions())
            quantize_graph(inputs.fused, model, scheme, inputs.target, matmuls, convolutions, products)
            models[model], self.made[scheme] = scheme, model
        return measure_candidates(inputs, models, partial(_open_with_onnxruntime, inputs.target))

    def _ranges(self, calibration: RangeMethod | None) -> Ranges:
        return {} if calibration is None else self.calibrated(calibration)


def _own_scheme(candidate: Candidate) -> Scheme:
    assert isinstance(candidate.scheme, Scheme)
    return candidate.scheme


def _text_schemes(
    inputs: SearchInputs, config: ExportConfig, precision: Precision, calibrations: Sequence[RangeMethod]
) -> list[Scheme]:
    if precision == "int4":
        return [Scheme("4-bit", "float")]
    schemes = [Scheme("dynamic", "float")]
    if inputs.trained_ranges:
        schemes.append(Scheme("trained", "float"))
    if config.matmuls == "auto":
        schemes += [Scheme("static", "float", calibration) for calibration in calibrations]
    return schemes


def _image_schemes(text: Scheme, calibrations: Sequence[RangeMethod]) -> list[Scheme]:
    per_channel = [replace(text, convolutions="per-channel", convolution_calibration=c) for c in calibrations]
    return [*per_channel, replace(text, convolutions="per-tensor", convolution_calibration=calibrations[0])]


def _open_with_onnxruntime(target: CpuTarget, model: Path, threads: int) -> LogitsFunction:
    return partial(run_session, open_session(model, threads, overflows(target, detect_target())))


def measure_candidates(
    inputs: SearchInputs, models: Mapping[Path, AnyScheme], open_one: OpenOne
) -> list[Candidate]:
    """Compare every file with its fp32 parent, opened and timed alike. Raises ExportError for one whose outputs are
    not finite."""
    count = len(inputs.targets)
    draws = bootstrap_draws(count, BOOTSTRAP_DRAWS, np.random.default_rng(0))
    weights = np.concatenate([np.ones((1, count)), draws])  # the data as they are come first
    fp32_f1, _ = weighted_f1(inputs.targets, inputs.thresholds.apply(inputs.probabilities), weights)
    fp32_ap = micro_ap(inputs.targets, inputs.probabilities)
    fp32_time, *times = median_times([inputs.fp32, *models], median_batch(inputs.calibration), open_one)
    candidates = []
    for (model, scheme), seconds in zip(models.items(), times, strict=True):
        pipeline = Pipeline(open_one(model, 1), inputs.preprocessor, inputs.thresholds.groups)
        outputs = predict_probabilities(pipeline, inputs.examples)
        if not np.isfinite(outputs).all():
            raise ExportError(
                f"outputs are not finite with {scheme}; leave it out with --set export.convolutions=float"
            )
        thresholds = carry_over(inputs.thresholds, logit(inputs.probabilities), logit(outputs), "candidate")
        f1, _ = weighted_f1(inputs.targets, thresholds.apply(outputs), weights)
        f1_drop = fp32_f1 - f1
        candidates.append(
            Candidate(
                scheme=scheme,
                model=model,
                probabilities=outputs,
                size_bytes=stored_bytes(model),
                f1_drop=Estimate.of(f1_drop[0], f1_drop[1:]),
                ap_drop=fp32_ap - micro_ap(inputs.targets, outputs),
                mean_probability_change=float(np.abs(outputs - inputs.probabilities).mean()),
                time_ratio=seconds / fp32_time,
            )
        )
    return candidates


def median_batch(batches: Sequence[ModelInputs]) -> ModelInputs:
    """The batch with the text of median length."""
    return sorted(batches, key=lambda batch: batch.input_ids.shape[1])[len(batches) // 2]


def stored_bytes(model: Path) -> int:
    """The size of a model's file, with the weights that lie beside an .xml."""
    return sum(path.stat().st_size for path in {model, model.with_suffix(".bin")} if path.exists())


def median_times(models: Sequence[Path], batch: ModelInputs, open_one: OpenOne) -> list[float]:
    """Median seconds of each model for `batch` on one thread, in interleaved rounds so that noise hits all."""
    opened = [open_one(model, 1) for model in models]
    times = np.zeros((WARM_UP_ROUNDS + SPEED_ROUNDS, len(models)))
    for row in times:
        for index, run in enumerate(opened):
            start = time.perf_counter()
            run(batch)
            row[index] = time.perf_counter() - start
    return [float(median) for median in np.median(times[WARM_UP_ROUNDS:], axis=0)]
