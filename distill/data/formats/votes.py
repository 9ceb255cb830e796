"""What several annotators say of one post, as its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence


def majority(votes: Sequence[Iterable[str]]) -> dict[str, int | None]:
    """Each label that any annotator gave: 1 if more than half of them did, None (unknown) if half did, else 0."""
    counts = Counter(label for labels in votes for label in dict.fromkeys(labels))
    return {
        label: None if 2 * count == len(votes) else int(2 * count > len(votes)) for label, count in counts.items()
    }
