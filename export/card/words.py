"""The parts of a card that are words: use, training, limits, rights. Knows settings, no figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distill.core.recipe import CardConfig, ModelConfig
from distill.model.classifier import Classifier
from distill.preprocess.inputs import PreprocessSpec
from export.card.metadata import on_hub

PERSUASION = {"Smears", "Loaded Language", "Name calling/Labeling"}  # of SemEval-2021 Task 6
FITS = {
    "squash": "image = image.resize((size, size), Image.Resampling.BILINEAR)",
    "crop": "image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)",
}
SNIPPET = """\
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
from tokenizers import Tokenizer

folder, image, text = Path("."), "meme.jpg", "WHO DID THIS"
spec = json.loads((folder / "preprocess.json").read_text())
labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
thresholds = json.loads((folder / "thresholds.json").read_text())["values"]

tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(spec["text"]["max_tokens"])
ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
size = spec["image"]["size"]
image = ImageOps.exif_transpose(Image.open(image)).convert("RGB")
{fit}

session = onnxruntime.InferenceSession(folder / "model.onnx")
logits = session.run(["logits"], {{
    "input_ids": ids,
    "attention_mask": np.ones_like(ids),
    "pixels": np.asarray(image, dtype=np.uint8)[None],
    "present": np.ones((1, 2), dtype=np.float32),  # 0 where there is no text, or no image
}})[0][0]
probabilities = 1 / (1 + np.exp(-logits))
print([label for label, p, t in zip(labels, probabilities, thresholds) if p >= t])"""


def encoder(model: str) -> str:
    """An encoder's name; of a folder its last part alone, for where it stood is nobody's business."""
    return model if on_hub(model) or "/" not in model else f"{Path(model).name} (a local folder)"


def how_to_use(spec: PreprocessSpec) -> list[str]:
    """With distill, and without."""
    return [
        "## How to use it",
        "",
        "```",
        'distill predict THIS_FOLDER --image image.jpg --text "words on it"',
        "```",
        "",
        "On the hub, `OWNER/NAME` or `OWNER/NAME@REVISION` does for the folder. Without distill, in this folder:",
        "",
        "```python",
        SNIPPET.format(fit=FITS[spec.image.fit]),
        "```",
        "",
        "An int8 file for `x86-vnni` or `arm64` can overflow on an x86 without VNNI; distill sees to that, the "
        "lines "
        "above do not.",
        "",
    ]


def uses() -> list[str]:
    """What it is for and what it is not for."""
    return [
        "## Intended use",
        "",
        "Helping people look at many posts like those that it was trained on: to search, sort and count them, "
        "and for "
        "research. A person reads what is acted on.",
        "",
        "## Out of scope",
        "",
        "Automated decisions about people or their posts (removal, ranking, penalties, profiles); finding out "
        "whether a "
        "claim is true or who made it; other languages, platforms, times and topics than those of its data, "
        "unless it "
        "was measured there.",
        "",
    ]


def training(classifier: Classifier, about: CardConfig, train: int, dev: int) -> list[str]:
    """What it learned from and how; `recipe.json` has every setting."""
    config = classifier.config
    frozen = "trained on" if config.image.trainable else "frozen"
    return [
        "## Training and data",
        "",
        f"Data: {about.dataset or 'not named'}; {train} training and {dev} dev examples, in "
        f"{about.language or 'a language that is not named'}; how often each label is in both stands in the "
        "table above. "
        "dev also chose the best epoch, so figures on it are a little kind.",
        "",
        f"At most {config.epochs} epochs, batch {config.batch_size}, {config.optimizer}, {config.precision}, seed "
        f"{config.seed}; image encoder {frozen}. `recipe.json` has every setting.",
        "",
        "Energy and emissions were not measured.",
        "",
    ]


def limits(names: Sequence[str]) -> list[str]:
    """What figures do not say."""
    lines = [
        "## Limits and bias",
        "",
        "- The figures hold for data like the dev split. A label with few examples there has a threshold and an "
        "F1 of "
        "little weight.",
        "- Thresholds were tuned for one objective on such data: where labels are more or less frequent, set "
        "them anew.",
        "- Such labels are judgements. Annotators disagree on them, and the model mirrors those it learned from, "
        "their "
        "politics and blind spots included; named people and groups can weigh more than what is said of them.",
        "- The text is taken as given: errors of OCR are errors of the answer. Satire, quotation and reply look "
        "like what "
        "they quote.",
        "- Decisions about people should not rest on this model alone.",
    ]
    if set(names) >= PERSUASION:
        lines.append(
            "- Its labels are the persuasion techniques of SemEval-2021 Task 6. That dataset holds English "
            "memes, many on "
            "the politics of the United States around 2020, and is small; a technique found there says nothing "
            "about "
            "whether a post is false."
        )
    return [*lines, ""]


def rights(config: ModelConfig, about: CardConfig) -> list[str]:
    """Its licence, and what it derives from."""
    own = "not said" if about.license == "unknown" else f"`{about.license}`"
    return [
        "## Licence",
        "",
        f"Licence of these weights: {own}. They derive from {encoder(config.text.model)} and "
        f"{encoder(config.image.model)}, whose licences hold too, and so do the terms of the data. Encoders of "
        "torchvision were trained on ImageNet, whose terms are for non-commercial research.",
        "",
    ]
