"""Write a Bundle's README.md: a model card of the Hugging Face hub, so that the folder can be uploaded as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from distill.core.output.printable import escape_markdown
from distill.core.settings.recipe import CardConfig
from distill.data.dataset import Splits, encode_targets
from distill.model.classifier import Classifier
from distill.scoring.selective import RISK
from distill.scoring.tables import threshold_cell
from export.card.metadata import encoder_name, front_matter, task_of
from export.figures import ExportFigures

MAX_LABELS = 200  # rows of the table by label
PERSUASION = {"Smears", "Loaded Language", "Name calling/Labeling"}  # of SemEval-2021 Task 6


def render_card(classifier: Classifier, figures: ExportFigures, splits: Splits, about: CardConfig) -> str:
    """Front matter and Markdown, from card.md.j2, in which all values but Markdown are escaped."""
    config, labels = classifier.config, classifier.labels
    name = about.name or f"{classifier.kind.capitalize()}, {figures.precision}"
    counts = np.nansum(encode_targets(splits.train, labels), axis=0)
    train_counts = {label: int(count) for label, count in zip(labels.names, counts, strict=True)}
    qualities = figures.evaluation.rows[0][1].labels
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else escape_markdown(str(value)),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = Markup  # for figures between the bars of a table
    return environment.get_template("card.md.j2").render(
        front_matter=Markup(front_matter(config, labels, figures, name, about)),
        name=name,
        about=about,
        classifier=classifier,
        config=config,
        figures=figures,
        evaluation=figures.evaluation,
        splits=splits,
        labels=sorted(qualities, key=lambda label: -train_counts[label.name]),
        train_counts=train_counts,
        max_labels=MAX_LABELS,
        threshold_cell=threshold_cell,
        risk=RISK,
        task=task_of(labels),
        persuasion=set(labels.names) >= PERSUASION,
        text_encoder=encoder_name(config.text.model),
        image_encoder=encoder_name(config.image.model),
    )
