"""What export measured of one ONNX file: the figures of its manifest, of its card and of the terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from distill.core.machine.cpu import detect_target
from distill.core.machine.runtimes import Runtime
from distill.core.output.terminal import note, output, warn
from distill.runtime.bundle import Precision
from distill.scoring.evaluation import Evaluation
from export.parity import Parity, QuantizationEffect
from export.quantize.coverage import Coverage
from export.quantize.search import Candidate


@dataclass(frozen=True)
class QuantizationFigures:
    """Every file that was tried, the one that ships first, with its coverage and what quantising
    changed on dev."""

    candidates: list[Candidate]
    coverage: Coverage
    effect: QuantizationEffect


@dataclass(frozen=True)
class ExportFigures:
    """Of one file: its `parity` is that of the fp32 export, `control` the verdict of the student's control
    experiment, where there was one."""

    precision: Precision
    target: str
    size_bytes: int
    parity: Parity
    evaluation: Evaluation
    control: str | None = None
    quantization: QuantizationFigures | None = None
    runtime: Runtime = "onnxruntime"

    def to_json(self) -> dict[str, Any]:
        """The `figures` of a manifest, which names precision and target itself."""
        tree = {"size_bytes": self.size_bytes, "parity": asdict(self.parity), **self.evaluation.to_json()}
        if self.control is not None:
            tree["distillation"] = self.control
        if self.quantization is not None:
            tree["quantization_effect"] = asdict(self.quantization.effect)
            tree["coverage"] = asdict(self.quantization.coverage)
            tree["time_ratio"] = self.quantization.candidates[0].time_ratio
            tree["tried"] = [candidate.to_json() for candidate in self.quantization.candidates]
        return tree


def show_quantization(figures: QuantizationFigures, precision: Precision, target: str) -> None:
    """Print the candidates, the coverage of the one that ships, and what it loses and gains."""
    output.print(_candidates_table(figures, precision))
    output.print(_coverage_table(figures.coverage))
    effect, time_ratio = figures.effect, figures.candidates[0].time_ratio
    note(
        f"against fp32 on dev: probabilities move by {effect.mean_probability_difference:.4f} on average, "
        f"{effect.max_probability_difference:.3f} at most; {effect.flipped} of {effect.decisions} decisions flip, "
        f"{effect.flipped_refitted} with thresholds fitted again"
    )
    if target != detect_target():
        note(f"quantised for {target}: only a benchmark there can tell how fast it is")
    elif time_ratio >= 1:
        warn(f"it is SLOWER than fp32 on this machine: {time_ratio:.2f} of its time; ship the fp32 Bundle")
    else:
        note(f"it takes {time_ratio:.2f} of fp32's time on this machine (batch 1, one thread)")


def _candidates_table(figures: QuantizationFigures, precision: Precision) -> Table:
    table = Table(title=f"{precision}: what was tried, the first ships", title_justify="left")
    table.add_column("scheme")
    for name in ("MB", "micro-F1 lost [95 %]", "micro-AP lost", "p moved", "time / fp32"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in figures.candidates:
        losses = (f"{c.f1_drop:+.3f}", f"{c.ap_drop:+.4f}", f"{c.mean_probability_change:.4f}")
        table.add_row(str(c.scheme), f"{c.size_bytes / 1e6:.1f}", *losses, f"{c.time_ratio:.2f}")
    return table


def _coverage_table(coverage: Coverage) -> Table:
    table = Table(title="What is computed with few bits, as it runs here", title_justify="left")
    table.add_column("tower")
    for name in ("multiply-accumulates", "of them in few bits", "weights MB", "of them in few bits"):
        table.add_column(name, justify="right", no_wrap=True)
    for tower, part in coverage.rows():
        macs, stored = part.low_bit_macs + part.float_macs, part.low_bit_bytes + part.float_bytes
        table.add_row(
            tower, f"{macs / 1e6:.0f} M", f"{part.macs:.1%}", f"{stored / 1e6:.1f}", f"{part.weights:.1%}"
        )
    return table
