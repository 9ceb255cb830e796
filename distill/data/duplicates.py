"""Rows of a dataset that are equal or nearly so: in their image, in what it looks like, or in their text."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from distill.core.errors import ImageError
from distill.data.dataset import Example
from distill.data.image_facts import ImageFacts
from distill.data.likeness import text_key
from distill.data.similar import similar_groups

Kind = Literal["image", "similar image", "text"]
WORDS: dict[Kind, str] = {
    "image": "the same image",
    "similar image": "an image that looks the same",
    "text": "the same text, up to case, spaces and punctuation,",
}
Row = tuple[str, Example]  # the name of the split, and the example


@dataclass(frozen=True)
class Duplicates:
    """Rows that share their `kind` of content, by their numbers. They `leak` where they are in several splits, and
    `clash` where their known labels differ."""

    kind: Kind
    rows: tuple[int, ...]
    leak: bool
    clash: bool


def find_duplicates(rows: Sequence[Row], facts: Sequence[ImageFacts | None]) -> list[Duplicates]:
    """Every group of duplicates, those that leak first, then those that clash, then larger ones.

    Images that look the same are a group only where not all of them are equal, and clash only where their texts are
    equal too: a meme's template is the same with any text. Equal texts clash only where their images look the same
    too, or are missing.
    """
    shas = [fact.sha256 if fact else None for fact in facts]
    looks = image_groups(facts)
    texts = [text_key(example.text) or None for _, example in rows]
    groups = [
        *(_group("image", rows, members, [members]) for members in _shared(shas)),
        *(
            _group("similar image", rows, each, _by(each, texts))
            for each in _shared(looks)
            if len({shas[i] for i in each}) > 1
        ),
        *(_group("text", rows, each, _by(each, looks)) for each in _shared(texts)),
    ]
    return sorted(groups, key=lambda group: (not group.leak, not group.clash, -len(group.rows), group.rows))


def _by(members: Sequence[int], keys: Sequence[Hashable | None]) -> list[list[int]]:
    """The members of each key."""
    by_key: dict[Hashable | None, list[int]] = {}
    for row in members:
        by_key.setdefault(keys[row], []).append(row)
    return list(by_key.values())


def image_groups(facts: Sequence[ImageFacts | ImageError | None]) -> list[int | None]:
    """The number of the group of each image, those that look the same in one; None for no image."""
    numbers = iter(similar_groups([fact for fact in facts if isinstance(fact, ImageFacts)]).tolist())
    return [next(numbers) if isinstance(fact, ImageFacts) else None for fact in facts]


def _shared(keys: Sequence[Hashable | None]) -> Iterator[list[int]]:
    """The rows that share a key, together; None is no key."""
    by_key: dict[Hashable, int | list[int]] = {}  # few rows have a duplicate: a list for each would take memory
    for row, key in enumerate(keys):
        first = by_key.setdefault(key, row) if key is not None else row
        if isinstance(first, list):
            first.append(row)
        elif first != row:
            by_key[key] = [first, row]
    return (members for members in by_key.values() if isinstance(members, list))


def _group(kind: Kind, rows: Sequence[Row], members: Sequence[int], alike: Iterable[Sequence[int]]) -> Duplicates:
    """`alike` are those of the members that should have the same labels, together."""
    leak = len({rows[row][0] for row in members}) > 1
    clash = any(len({_known(rows[row][1]) for row in some} - {None}) > 1 for some in alike)
    return Duplicates(kind, tuple(members), leak, clash)


def _known(example: Example) -> frozenset[str] | None:
    return None if example.labels is None else frozenset(example.labels)
