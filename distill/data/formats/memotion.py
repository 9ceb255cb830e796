"""Memotion 7k (Sharma et al. 2020) and 2 (Ramamoorthy et al. 2022): how funny, sarcastic, offensive and motivating
a meme is, and its sentiment.

The levels of a scale become one label, as in task B: any level but "not_..." has it. The five sentiments become
three, as in task A.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.formats.cells import is_empty, text_of

# The column of each label, in the first release and in the second.
SCALES = {
    "humour": ("humour",),
    "sarcasm": ("sarcasm", "sarcastic"),
    "offensive": ("offensive",),
    "motivational": ("motivational",),
}
SENTIMENT = "overall_sentiment"
SENTIMENTS = ("negative", "neutral", "positive")
LEVELS = {
    "humour": ("not_funny", "funny", "very_funny", "hilarious"),
    "sarcasm": (
        *("not_sarcastic", "general", "twisted_meaning", "very_twisted"),
        *("little_sarcastic", "very_sarcastic", "extremely_sarcastic"),
    ),
    "offensive": ("not_offensive", "slight", "very_offensive", "hateful_offensive"),
    "motivational": ("not_motivational", "motivational"),
}


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this form, of either release, or of the second one's test set, which has no labels."""
    first = {"image_name", "text_ocr", "text_corrected", "humour"} <= row.keys()
    second = {"Id", "ocr_text", "classification_based_on"} <= row.keys()
    return first or second


def convert(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A row in distill's columns. Raises DataError for an unknown level."""
    corrected, read = (text_of(row.get(key)) for key in ("text_corrected", "text_ocr"))
    name = row.get("image_name") or f"{row['Id']}.jpg"
    text = corrected or read or text_of(row.get("ocr_text"))
    return {"id": row.get("Id") or name, "text": text, "image": name, "labels": _labels(row)}


def _labels(row: dict[str, Any]) -> dict[str, int | None] | None:
    labels: dict[str, int | None] = {}
    for label, columns in SCALES.items():
        value = next((row[column] for column in columns if column in row), None)
        if is_empty(value):
            labels[label] = None
            continue
        level = _known(value, label, LEVELS[label])
        labels[label] = int(not level.startswith("not_"))
    sentiment = row.get(SENTIMENT)
    if is_empty(sentiment):
        labels |= dict.fromkeys(SENTIMENTS, None)
    else:
        level = _known(sentiment, SENTIMENT, (*SENTIMENTS, "very_negative", "very_positive"))
        labels |= {name: int(level.endswith(name)) for name in SENTIMENTS}
    return labels if any(value is not None for value in labels.values()) else None


def _known(value: Any, column: str, levels: tuple[str, ...]) -> str:
    level = str(value).strip().lower()
    if level not in levels:
        raise DataError(f"{column} must be one of {', '.join(levels)}; got {short_repr(value)}")
    return level
