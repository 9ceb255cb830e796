"""The front matter of a card, as the Hugging Face hub reads it. Knows its fields and figures, no Markdown."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCardData

from distill.core.recipe import CardConfig, ModelConfig
from distill.model.classifier import Classifier
from distill.runtime.bundle import Precision
from distill.scoring.evaluation import Evaluation
from distill.scoring.metrics import Quality

TASK = "image-classification"  # the hub has no name for images with text to labels
TAGS = ("multi-label", "multimodal", "memes", "onnx", "onnxruntime", "knowledge-distillation", "distill")


def front_matter(
    classifier: Classifier, precision: Precision, scored: Evaluation, name: str, about: CardConfig
) -> str:
    """YAML, without the lines that fence it."""
    config = classifier.config
    bases = [model for model in (config.text.model, config.image.model) if on_hub(model)]
    data = ModelCardData(
        license=about.license,
        language=about.language or None,
        library_name="onnx",
        pipeline_tag=TASK,
        tags=[*TAGS, precision],
        metrics=["f1"],
        base_model=bases or None,
        datasets=[about.dataset] if on_hub(about.dataset) else None,
        model_name=name,
        eval_results=_results(scored.rows[0][1], about),
    )
    return str(data.to_yaml(line_break="\n"))


def on_hub(model: str) -> bool:
    """Whether it is an id of the hub, OWNER/NAME, and not a folder here or torchvision's name."""
    return model.count("/") == 1 and not model.startswith(("/", ".", "~")) and not Path(model).exists()


def settings(config: ModelConfig) -> dict[str, Any]:
    """A model's settings as they may be published: encoders that came from folders of this machine by their last
    name alone."""
    tree = asdict(config)
    for branch in ("text", "image"):
        model = tree[branch]["model"]
        tree[branch]["model"] = model if on_hub(model) else Path(model).name
    return tree


def _results(quality: Quality, about: CardConfig) -> list[EvalResult]:
    known = [label.average_precision for label in quality.labels if label.average_precision is not None]
    values = {
        ("f1", "micro-F1"): quality.micro_f1.value,
        ("f1", "macro-F1"): quality.macro_f1.value,
        ("average_precision", "micro-AP"): quality.micro_ap,
        ("average_precision", "mAP"): float(np.mean(known)) if known else 0.0,
    }
    return [
        EvalResult(
            task_type=TASK,
            task_name="Multi-label classification of images with text",
            dataset_type=about.dataset if on_hub(about.dataset) else "custom",
            dataset_name=about.dataset or "the dev split that it was exported with",
            dataset_split="dev",
            metric_type=kind,
            metric_name=shown,
            metric_value=round(value, 4),
        )
        for (kind, shown), value in values.items()
    ]
