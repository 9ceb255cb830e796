"""The front matter of a card, as the Hugging Face hub reads it, and the names that may be published."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCardData

from distill.core.machine.runtimes import Runtime
from distill.core.settings.model_config import STATIC, ModelConfig
from distill.core.settings.recipe import CardConfig
from distill.data.labels import LabelSet
from distill.scoring.metrics import Quality
from export.figures import ExportFigures

TASK = "image-classification"  # the hub has no name for images with text to labels
TAGS = ("multimodal", "memes", "knowledge-distillation", "distill")
LIBRARIES: dict[Runtime, str] = {"openvino": "openvino", "litert": "tflite"}  # the hub's names; else onnx


def front_matter(
    config: ModelConfig, labels: LabelSet, figures: ExportFigures, name: str, about: CardConfig
) -> str:
    """YAML, without the lines that fence it."""
    library = LIBRARIES.get(figures.runtime, "onnx")
    formats = ("onnx", "onnxruntime") if library == "onnx" else (library,)
    encoders = [model for model in (config.text.source, config.image.model) if is_hub_id(model)]
    data = ModelCardData(
        license=about.license,
        language=about.language or None,
        library_name=library,
        pipeline_tag=TASK,
        tags=[task_of(labels), *TAGS, *formats, figures.precision],
        metrics=["f1", *(["accuracy"] if figures.evaluation.rows[0][1].groups else [])],
        base_model=encoders or None,
        datasets=[about.dataset] if is_hub_id(about.dataset) else None,
        model_name=name,
        eval_results=_results(figures.evaluation.rows[0][1], about, task_of(labels)),
    )
    return str(data.to_yaml(line_break="\n"))


def task_of(labels: LabelSet) -> str:
    """Whether a post may have several labels, or has exactly one of all: multi-label or multi-class."""
    return "multi-class" if any(len(group.labels) == len(labels) for group in labels.groups) else "multi-label"


def is_hub_id(model: str) -> bool:
    """Whether it is an id of the hub, OWNER/NAME, and not a folder here or torchvision's name."""
    return model.count("/") == 1 and not model.startswith(("/", ".", "~")) and not Path(model).exists()


def encoder_name(model: str) -> str:
    """An encoder's name for readers; of a local folder the last part alone, which names no path of this machine."""
    if model.startswith(STATIC):
        return f"static vectors of {encoder_name(model.removeprefix(STATIC))}"
    return model if is_hub_id(model) or "/" not in model else f"{Path(model).name} (a local folder)"


def publishable_settings(config: ModelConfig) -> dict[str, Any]:
    """The content of recipe.json: a model's settings, with the last part alone of encoders' local folders."""
    tree = asdict(config)
    for tower in (tree["text"], tree["image"]):
        prefix = STATIC if tower["model"].startswith(STATIC) else ""
        source = tower["model"].removeprefix(prefix)
        tower["model"] = prefix + (source if is_hub_id(source) else Path(source).name)
    return tree


def _results(quality: Quality, about: CardConfig, task: str) -> list[EvalResult]:
    precisions = [label.average_precision for label in quality.labels if label.average_precision is not None]
    values = {
        ("f1", "micro-F1"): quality.micro_f1.value,
        ("f1", "macro-F1"): quality.macro_f1.value,
        ("average_precision", "micro-AP"): quality.micro_ap,
        ("average_precision", "mAP"): float(np.mean(precisions)) if precisions else 0.0,
    }
    for group in quality.groups or ():
        values["accuracy", group.title] = group.accuracy.value
    return [
        EvalResult(
            task_type=TASK,
            task_name=f"{task.capitalize()} classification of images with text",
            dataset_type=about.dataset if is_hub_id(about.dataset) else "custom",
            dataset_name=about.dataset or "the dev split that it was exported with",
            dataset_split="dev",
            metric_type=metric,
            metric_name=shown,
            metric_value=round(value, 4),
        )
        for (metric, shown), value in values.items()
    ]
