"""One example of a dataset, its targets, and the form in which it is written."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.untrusted import short_repr
from distill.data.groups import AskedGroups
from distill.data.image_names import to_data_url
from distill.data.labels import LabelSet

MAX_TEXT = 1_000_000  # characters; tokenizers read a whole text before they truncate it


@dataclass(frozen=True)
class Example:
    """One example: its text may be empty or its image None, but not both; `image` is a file, or the content of one.
    `labels` are those that it has, None if nothing is known of them; `unknown_labels` are those of which it is not
    known whether it has them."""

    id: str
    text: str
    image: Path | bytes | None
    labels: tuple[str, ...] | None
    unknown_labels: tuple[str, ...] = ()

    def named_labels(self) -> tuple[str, ...]:
        """Every label that its row names, known or not."""
        return (*(self.labels or ()), *self.unknown_labels)


def encode_targets(examples: Sequence[Example], labels: LabelSet) -> NDArray[np.float32]:
    """Targets float32 (N, L): 1 for a label that the example has, 0 for one that it has not, NaN where unknown.
    Of a group of labels, one is 1 or all are NaN. Raises DataError for a label outside the set, and for an example
    with no label of a group or several."""
    if labels.groups:
        examples = [_grouped(example, AskedGroups(labels.groups)) for example in examples]
    targets = labels.encode([example.labels or () for example in examples])
    unknown = labels.encode([example.unknown_labels for example in examples])
    without_any = np.array([example.labels is None for example in examples], dtype=bool)
    targets[(unknown == 1) | without_any[:, None]] = np.nan
    return targets


def _grouped(example: Example, groups: AskedGroups) -> Example:
    known, unknown = groups.read(example.labels, example.unknown_labels, f"example {short_repr(example.id)}")
    return replace(example, labels=known, unknown_labels=unknown)


def without_images(examples: Sequence[Example]) -> list[Example]:
    """The examples with their texts alone."""
    return [replace(example, image=None) for example in examples]


def without_texts(examples: Sequence[Example]) -> list[Example]:
    """The examples with their images alone."""
    return [replace(example, text="") for example in examples]


def labels_to_json(example: Example, labels: Sequence[str]) -> list[str] | dict[str, int | None] | None:
    """An example's labels in the form that its row would have: names, or, where some are unknown, each of all the
    `labels` with 1, 0 or null."""
    if example.labels is None or not example.unknown_labels:
        return None if example.labels is None else list(example.labels)
    return dict.fromkeys(labels, 0) | dict.fromkeys(example.labels, 1) | dict.fromkeys(example.unknown_labels, None)


def relative_path(path: Path, start: Path) -> str:
    """`path` relative to the folder `start`, with links to folders resolved first: after a link, `..` would leave
    the wrong folder."""
    return Path(os.path.relpath(path.parent.resolve() / path.name, start.resolve())).as_posix()


def image_name(image: Path | bytes | None, relative_to: Path) -> str | None:
    """What a row in the folder `relative_to` names an image by."""
    if isinstance(image, Path):
        return relative_path(image, relative_to)
    return None if image is None else to_data_url(image)


def examples_to_json(
    examples: Iterable[Example],
    relative_to: Path,
    image_names: Mapping[str, str] | None = None,
    labels: Sequence[str] = (),
) -> str:
    """The content of a JSON file for `read_examples`, with image paths relative to the folder `relative_to`; by the
    ids of some examples, what to write in place of these. `labels` are those of which examples without some have
    the others."""
    kept = image_names or {}
    rows = [
        {
            "id": example.id,
            "labels": labels_to_json(example, labels),
            "text": example.text,
            "image": kept.get(example.id) or image_name(example.image, relative_to),
        }
        for example in examples
    ]
    buffer = io.StringIO()
    json.dump(rows, buffer, indent=1, ensure_ascii=False)
    return buffer.getvalue() + "\n"
