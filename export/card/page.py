"""The page that travels with a Bundle: what it is and what was measured. Knows figures, measures nothing.

It is a model card of the Hugging Face hub, so that the folder can be uploaded as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from distill.core.recipe import CardConfig
from distill.data.dataset import Splits
from distill.model.classifier import Classifier
from distill.runtime.bundle import Precision
from distill.scoring.estimate import Estimate
from distill.scoring.evaluation import Evaluation
from distill.scoring.metrics import Quality
from export.card import metadata as card_metadata
from export.card import words as card_words
from export.quantize.coverage import Reach

ROWS = 200  # of the table by label


@dataclass(frozen=True)
class Told:
    """What neither the model nor its figures say: the recipe's words, and examples of train by label."""

    about: CardConfig
    train: int
    dev: int
    counts: tuple[int, ...]


def told(splits: Splits, about: CardConfig) -> Told:
    """Count the examples."""
    counts = splits.labels.encode([example.labels for example in splits.train]).sum(0)
    return Told(about, len(splits.train), len(splits.dev), tuple(int(count) for count in counts))


def write(
    classifier: Classifier,
    precision: Precision,
    target: str,
    scored: Evaluation,
    figures: dict[str, Any],
    told: Told,
) -> str:
    """Front matter and Markdown. `figures["distillation"]`, where there is one, is the sentence of the control
    experiment."""
    config, about = classifier.config, told.about
    name = about.name or f"{classifier.kind.capitalize()}, {precision}"
    text, image = card_words.encoder(config.text.model), card_words.encoder(config.image.model)
    lines = [
        "---",
        card_metadata.front_matter(classifier, precision, scored, name, about),
        "---",
        "",
        f"# {name}",
        "",
        f"A {classifier.kind} of `distill`: a multi-label classifier of images with text, "
        f"{len(classifier.labels)} "
        f"labels. Text: {text}. Image: {image}. {precision}, {figures['size_bytes'] / 1e6:.1f} MB; quantised "
        "for: "
        f"{target}.",
        "",
        *card_words.how_to_use(classifier.spec),
        *card_words.uses(),
        *_quality(scored),
        *([f"Control experiment: {figures['distillation']}.", ""] if "distillation" in figures else []),
        *_by_label(scored.rows[0][1], told),
        *card_words.training(classifier, about, told.train, told.dev),
        "## What export checked: quantising, size and time",
        "",
        f"- torch and fp32 ONNX: largest logit difference {figures['parity']['max_logit_difference']:.1e} over "
        f"{figures['parity']['cases']} cases; {figures['parity']['flipped']} of {figures['parity']['decisions']} "
        "decisions differ.",
    ]
    if precision != "fp32":
        lines += _quantised(figures, precision)
    return "\n".join([*lines, "", *card_words.limits(classifier.labels.names), *card_words.rights(config, about)])


def _quality(scored: Evaluation) -> list[str]:
    lines = [
        "## Quality on the dev split",
        "",
        "| outputs | micro-F1 [95 %] | macro-F1 [95 %] | macro-F1, empty label = 1 | micro-AP | ECE |",
        "|---|---|---|---|---|---|",
    ]
    for what, q in scored.rows:
        micro = f"{q.micro_f1:.3f}"
        macro = f"{q.macro_f1:.3f}"
        lines.append(
            f"| {what} | {micro} | {macro} | {q.macro_f1_empty_as_one:.3f} | {q.micro_ap:.3f} | {q.ece:.3f} |"
        )
    constant = scored.constant
    return [
        *lines,
        f"| always {', '.join(map(_cell, constant.names))} | {constant.micro_f1:.3f} | {constant.macro_f1:.3f} "
        f"| {constant.macro_f1_empty_as_one:.3f} | | |",
        "",
        "Intervals are bootstrap intervals over examples. "
        f"Thresholds: fitted on {scored.thresholds.fitted_on}, for the objective `{scored.thresholds.objective}`.",
        "",
    ]


def _by_label(quality: Quality, told: Told) -> list[str]:
    """The most frequent first; as many as fit a page."""
    order = sorted(range(len(told.counts)), key=lambda i: -told.counts[i])
    lines = [
        "| label | in train | in dev | precision | recall | F1 | AP | threshold |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for i in order[:ROWS]:
        q = quality.labels[i]
        ap = "–" if q.average_precision is None else f"{q.average_precision:.3f}"
        figures = f"{q.precision:.3f} | {q.recall:.3f} | {q.f1:.3f} | {ap} | {q.threshold:.3f}"
        lines.append(f"| {_cell(q.name)} | {told.counts[i]} | {q.support} | {figures} |")
    if len(order) > ROWS:
        lines += ["", f"The {ROWS} most frequent of {len(order)} labels; `manifest.json` has all."]
    return [*lines, ""]


def _cell(name: str) -> str:
    return name.replace("|", "\\|")


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
        drop = Estimate(**tried["dev_micro_f1_drop"])
        lines.append(
            f"| {tried['scheme']} | {tried['size_bytes'] / 1e6:.1f} "
            f"| {drop:+.3f} "
            f"| {tried['dev_micro_ap_drop']:+.4f} | {tried['moved']:.4f} | {tried['time_ratio']:.2f} "
            f"| {'shipped' if index == 0 else 'tried'} |"
        )
    return lines


def _shares(tower: str, reach: Reach) -> str:
    return f"{tower} {reach.macs:.1%} and {reach.weights:.1%}"
