"""The label set: label names in column order, and their encoding as multi-hot vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError
from distill.core.inputs import read_input
from distill.core.printable import is_printable
from distill.core.untrusted import short_repr

MAX_BYTES = 1 << 26  # of a file of labels
LABEL_FILES = ("labels.txt", "techniques.txt")


@dataclass(frozen=True)
class LabelSet:
    """Ordered, distinct label names; column `i` of targets, logits and probabilities belongs to `names[i]`. Raises
    DataError for a duplicate or a name that no file of one label per line can hold."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise DataError("a label set needs at least one label")
        duplicates = sorted(name for name, count in Counter(self.names).items() if count > 1)
        if duplicates:
            raise DataError(f"label {short_repr(duplicates[0])} is listed twice; remove one of the two")
        untidy = [name for name in self.names if not name or name != " ".join(name.split())]
        if untidy:
            raise DataError(
                f"label {short_repr(untidy[0])} is empty or has spaces at its ends, double spaces or a line break"
            )
        unprintable = [name for name in self.names if not is_printable(name)]
        if unprintable:
            raise DataError(
                f"label {short_repr(unprintable[0])} holds a control character, or one that is invisible or turns "
                "the direction of writing; remove it"
            )

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def read(cls, path: Path) -> LabelSet:
        """Read a file of one label per line, skipping empty lines. Raises DataError with the file's name."""
        try:
            return cls.parse(read_input(path, MAX_BYTES, DataError).decode("utf-8-sig"))
        except (UnicodeDecodeError, DataError) as error:
            raise DataError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, text: str) -> LabelSet:
        """A label set from the content of such a file. Raises DataError."""
        return cls(tuple(line.strip() for line in text.splitlines() if line.strip()))

    @classmethod
    def collect(cls, labelled: Iterable[Sequence[str]]) -> LabelSet:
        """The distinct labels of all rows, in alphabetical order."""
        return cls(tuple(sorted({label for labels in labelled for label in labels})))

    def encode(self, rows: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Label names of N rows to multi-hot targets, float32 (N, L) in {0, 1}. Raises DataError for an unknown
        label."""
        column = {name: index for index, name in enumerate(self.names)}
        targets = np.zeros((len(rows), len(self.names)), dtype=np.float32)
        for row, labels in enumerate(rows):
            for label in labels:
                if label not in column:
                    raise DataError(f"label {short_repr(label)} is not in the label set of {len(self)} labels")
                targets[row, column[label]] = 1.0
        return targets

    def decode(self, decisions: NDArray[np.bool_]) -> tuple[str, ...]:
        """One row of decisions, bool (L,), to the names of its labels."""
        return tuple(name for name, chosen in zip(self.names, decisions, strict=True) if chosen)
