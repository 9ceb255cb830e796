"""MMHS150K (Gomez et al. 2020): one JSON object with a tweet for each id, and the labels of three annotators.

A label counts if more than half of the annotators gave it; NotHate is not a label but the absence of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.formats.votes import majority

LABELS = ("NotHate", "Racist", "Sexist", "Homophobe", "Religion", "OtherHate")
COLUMNS = {"img_url", "labels", "tweet_text"}
IMAGE_FOLDERS = ("img_resized",)
TEXT_FOLDER = "img_txt"  # holds the text in each image, which is not read


def fits(tree: Any) -> bool:
    """Whether a JSON file is of this form."""
    if not isinstance(tree, dict) or not tree:
        return False
    tweet = next(iter(tree.values()))
    return isinstance(tweet, dict) and tweet.keys() >= COLUMNS


def rows(tree: dict[str, Any], path: Path) -> Iterator[dict[str, Any] | DataError]:
    """Its tweets in distill's columns."""
    for id_, tweet in tree.items():
        numbers = tweet.get("labels") if isinstance(tweet, dict) else None
        if not isinstance(numbers, list) or not all(type(x) is int and 0 <= x < len(LABELS) for x in numbers):
            yield DataError(f"labels must be numbers from 0 to {len(LABELS) - 1}; got {short_repr(numbers)}")
            continue
        votes = [LABELS[1:][number - 1 : number] if number else () for number in numbers]
        labels = {**dict.fromkeys(LABELS[1:], 0), **majority(votes)} if votes else None
        yield {"id": id_, "text": tweet.get("tweet_text"), "image": f"{id_}.jpg", "labels": labels}
