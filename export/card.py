"""The page that travels with a Bundle: what it is and what was measured. Knows figures, measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from distill.bundle import Precision
from distill.classifier import Classifier
from distill.scoring import Scored
from export.coverage import Coverage, Reach
from export.search import Candidate


def write(
    classifier: Classifier, precision: Precision, target: str, scored: Scored, figures: dict[str, Any]
) -> str:
    """Markdown. `figures["distillation"]`, where there is one, is the sentence of the control experiment."""
    config = classifier.config
    lines = [
        f"# {classifier.kind.capitalize()}, {precision}",
        "",
        f"Multi-label classifier of pictures with text, {len(classifier.labels)} labels. "
        f"Text: {config.text.model}. Picture: {config.picture.model}. "
        f"{figures['size_bytes'] / 1e6:.1f} MB; quantised for: {target}.",
        "",
        "```",
        'distill predict THIS_FOLDER --image picture.jpg --text "words on it"',
        "```",
        "",
        "## Quality on the dev split",
        "",
        "| outputs | micro-F1 [95 %] | macro-F1 [95 %] | macro-F1, empty label = 1 |",
        "|---|---|---|---|",
    ]
    for what, q in scored.rows:
        micro = f"{q.micro_f1:.3f} [{q.micro_f1_interval.low:.2f}, {q.micro_f1_interval.high:.2f}]"
        macro = f"{q.macro_f1:.3f} [{q.macro_f1_interval.low:.2f}, {q.macro_f1_interval.high:.2f}]"
        lines.append(f"| {what} | {micro} | {macro} | {q.macro_f1_empty_as_one:.3f} |")
    constant = scored.constant
    lines += [
        f"| always {', '.join(constant.names)} | {constant.micro_f1:.3f} | {constant.macro_f1:.3f} "
        f"| {constant.macro_f1_empty_as_one:.3f} |",
        "",
        f"Thresholds: fitted on {scored.thresholds.fitted_on}, for the objective `{scored.thresholds.objective}`.",
        "",
        *([f"Control experiment: {figures['distillation']}.", ""] if "distillation" in figures else []),
        "## What export checked",
        "",
        f"- torch and fp32 ONNX: largest logit difference {figures['parity']['max_logit_difference']:.1e} over "
        f"{figures['parity']['cases']} cases; {figures['parity']['flipped']} of {figures['parity']['decisions']} "
        "decisions differ.",
    ]
    if precision != "fp32":
        lines += _quantised(figures, precision)
    lines += [
        "",
        "## Limits",
        "",
        "The figures hold for data like the dev split. A label with few examples there has a threshold and an "
        "F1 of little weight. Decisions about people should not rest on this model alone.",
        "",
    ]
    return "\n".join(lines)


def _quantised(figures: dict[str, Any], precision: Precision) -> list[str]:
    drift = figures["drift"]
    lines = [
        f"- {precision} against its fp32 parent: {drift['flipped']} of {drift['decisions']} decisions flip, "
        f"{drift['flipped_refitted']} with the thresholds that belong to {precision}'s own outputs; "
        f"probabilities move by {drift['mean_probability_difference']:.4f} on average and "
        f"{drift['max_probability_difference']:.3f} at most.",
        f"- Time at batch 1, one thread, where it was exported: {figures['time_ratio']:.2f} of fp32's.",
        f"- Share in {precision}, of the multiply-accumulates that onnxruntime ran and of the bytes of weights: "
        + ", ".join(_shares(tower, Reach(**reach)) for tower, reach in figures["coverage"].items())
        + ".",
        "",
        "| what was tried | MB | dev micro-F1 lost [95 %] | dev micro-AP lost | p moved | time / fp32 | |",
        "|---|---|---|---|---|---|---|",
    ]
    for index, tried in enumerate(figures["tried"]):
        ends = tried["dev_micro_f1_drop_interval"]
        lines.append(
            f"| {tried['scheme']} | {tried['size_bytes'] / 1e6:.1f} "
            f"| {tried['dev_micro_f1_drop']:+.3f} [{ends['low']:+.3f}, {ends['high']:+.3f}] "
            f"| {tried['dev_micro_ap_drop']:+.4f} | {tried['moved']:.4f} | {tried['time_ratio']:.2f} "
            f"| {'shipped' if index == 0 else 'tried'} |"
        )
    return lines


def _shares(tower: str, reach: Reach) -> str:
    return f"{tower} {reach.macs:.1%} and {reach.weights:.1%}"


def tried_table(candidates: Sequence[Candidate], precision: str) -> Table:
    """Every scheme that was tried, the one that ships first."""
    table = Table(title=f"{precision}: what was tried, the first ships", title_justify="left")
    table.add_column("scheme")
    for name in ("MB", "micro-F1 lost [95 %]", "micro-AP lost", "p moved", "time / fp32"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in candidates:
        table.add_row(
            str(c.scheme),
            f"{c.size_bytes / 1e6:.1f}",
            f"{c.f1_drop:+.3f} [{c.f1_interval.low:+.3f}, {c.f1_interval.high:+.3f}]",
            f"{c.ap_drop:+.4f}",
            f"{c.moved:.4f}",
            f"{c.time_ratio:.2f}",
        )
    return table


def coverage_table(coverage: Coverage) -> Table:
    """What quantising reached, tower by tower."""
    table = Table(title="What is computed with few bits, as onnxruntime runs it here", title_justify="left")
    table.add_column("tower")
    for name in ("multiply-accumulates", "of them in few bits", "weights MB", "of them in few bits"):
        table.add_column(name, justify="right", no_wrap=True)
    for tower, reach in coverage.rows():
        total, stored = reach.small_macs + reach.float_macs, reach.small_bytes + reach.float_bytes
        cells = (f"{total / 1e6:.0f} M", f"{reach.macs:.1%}", f"{stored / 1e6:.1f}", f"{reach.weights:.1%}")
        table.add_row(tower, *cells)
    return table
