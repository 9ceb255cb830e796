"""Generates a dataset of captioned images whose labels follow simple rules, for the demo and the tests.

Two labels depend on the text, two on the image, and two on both, so that a model without one of its towers
visibly loses labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from distill.core.storage.files import write_text
from distill.data.dataset import Example, examples_to_json

LABELS = ("praise", "fear", "sunny", "crowd", "irony", "rally")
PRAISE = ("great", "lovely", "brilliant", "wonderful", "splendid", "superb")
FEAR = ("beware", "danger", "doom", "collapse", "ruin", "panic")
PLAIN = ("today", "again", "indeed", "perhaps", "quietly", "somewhere")
TOPICS = (
    "the mayor",
    "our team",
    "this soup",
    "the train",
    "my office",
    "that bridge",
    "the weather",
    "her plan",
)
CLOSERS = ("they said", "for everyone", "believe it", "every morning", "no question", "at last")
SIDE = 96
NOISE = 0.03  # the share of labels that are flipped, so that no model can be perfect


def write_demo_data(folder: Path, sizes: tuple[int, int, int] = (600, 120, 120), seed: int = 13) -> None:
    """Write train, dev and test JSON files with `sizes` examples, their images and labels.txt. The same seed gives
    the same bytes."""
    generator = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for split, size in zip(("train", "dev", "test"), sizes, strict=True):
        examples = [_example(generator, f"{split}-{number:04d}", folder / "images") for number in range(size)]
        write_text(folder / f"{split}.json", examples_to_json(examples, folder))
    write_text(folder / "labels.txt", "\n".join(LABELS) + "\n")


def _example(generator: np.random.Generator, name: str, folder: Path) -> Example:
    praise, fear, sunny, crowd = (bool(flag) for flag in generator.random(4) < (0.4, 0.35, 0.5, 0.35))
    words = [_choose(generator, TOPICS)]
    words += [_choose(generator, PRAISE)] if praise else []
    words += [_choose(generator, FEAR)] if fear else []
    words += [_choose(generator, PLAIN) for _ in range(int(generator.integers(1, 4)))]
    words.append(_choose(generator, CLOSERS))
    order = generator.permutation(len(words))
    text = " ".join(words[index] for index in order)
    path = folder / f"{name}.jpg"
    _image(generator, sunny, crowd, text).save(path, quality=85)
    truth = np.array([praise, fear, sunny, crowd, praise and not sunny, fear and crowd])
    annotated = truth ^ (generator.random(len(LABELS)) < NOISE)
    return Example(name, text, path, tuple(label for label, yes in zip(LABELS, annotated, strict=True) if yes))


def _choose(generator: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(generator.integers(len(words)))]


def _image(generator: np.random.Generator, sunny: bool, crowd: bool, text: str) -> Image.Image:
    """Sky over ground, a sun or clouds, perhaps a crowd, and the caption at the top."""
    sky = np.array([120, 180, 235]) if sunny else np.array([85, 90, 100])
    shade = generator.integers(-25, 25, size=3)
    rows = np.linspace(1.0, 0.75, SIDE)[:, None, None] * (sky + shade)[None, None, :]
    noise = generator.normal(0, 8, size=(SIDE, SIDE, 3))
    image = Image.fromarray((np.repeat(rows, SIDE, axis=1) + noise).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    ground = tuple(int(value) for value in generator.integers(60, 130, size=3))
    draw.rectangle((0, 70, SIDE, SIDE), fill=ground)
    x, y = (int(value) for value in generator.integers(20, 60, size=2))
    if sunny:
        draw.ellipse((x, y - 12, x + 18, y + 6), fill=(255, 225, 90))
    else:
        for shift in (0, 12, 24):
            draw.ellipse((x + shift - 10, y - 14, x + shift + 12, y), fill=(60, 62, 70))
    for _ in range(int(generator.integers(9, 14)) if crowd else int(generator.integers(0, 2))):
        left, top = int(generator.integers(2, SIDE - 8)), int(generator.integers(66, 80))
        colour = tuple(int(value) for value in generator.integers(0, 255, size=3))
        draw.ellipse((left, top, left + 6, top + 6), fill=(235, 200, 170))
        draw.rectangle((left, top + 6, left + 6, top + 14), fill=colour)
    draw.text((3, 2), text[:18], fill="white", font=ImageFont.load_default(9), stroke_width=1, stroke_fill="black")
    return image
