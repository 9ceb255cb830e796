"""The page that travels with a Bundle: what it is and what was measured. Knows figures, measures nothing."""

from __future__ import annotations

from typing import Any

from distill.bundle import Precision
from distill.classifier import Classifier
from distill.scoring import Scored


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
        f"{figures['parity']['cases']} cases.",
    ]
    if precision == "int8":
        lines += _int8(figures)
    lines += [
        "",
        "## Limits",
        "",
        "The figures hold for data like the dev split. A label with few examples there has a threshold and an "
        "F1 of little weight. Decisions about people should not rest on this model alone.",
        "",
    ]
    return "\n".join(lines)


def _int8(figures: dict[str, Any]) -> list[str]:
    drift = figures["drift"]
    lines = [
        f"- int8 against its fp32 parent: {drift['flipped']} of {drift['decisions']} decisions flip, "
        f"{drift['flipped_refitted']} with the thresholds fitted again on int8's own outputs; "
        f"probabilities move by {drift['mean_probability_difference']:.4f} on average and "
        f"{drift['max_probability_difference']:.3f} at most.",
        f"- Time at batch 1, one thread, where it was exported: {figures['time_ratio']:.2f} of fp32's.",
        "",
        "| matrix products | convolutions | MB | dev micro-AP lost | time / fp32 | |",
        "|---|---|---|---|---|---|",
    ]
    for index, tried in enumerate(figures["tried"]):
        lines.append(
            f"| {tried['matrices']} | {tried['convolutions']} | {tried['size_bytes'] / 1e6:.1f} "
            f"| {tried['dev_micro_ap_drop']:+.4f} | {tried['time_ratio']:.2f} "
            f"| {'shipped' if index == 0 else 'tried'} |"
        )
    return lines
