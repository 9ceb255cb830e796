"""The label set: label names in column order, groups of which exclude each other, and multi-hot encoding."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError
from distill.core.output.printable import is_printable
from distill.core.storage.inputs import read_input
from distill.core.untrusted import short_repr
from distill.data.groups import ONE_LABEL, AskedGroups, LabelGroup, describe_groups

MAX_BYTES = 1 << 26  # of a file of labels
LABEL_FILES = ("labels.txt", "techniques.txt")


@dataclass(frozen=True)
class LabelSet:
    """Ordered, distinct label names; column `i` of targets, logits and probabilities belongs to `names[i]`. Of each
    of the `groups` exactly one label is true. Raises DataError for a duplicate or a name that no file of one label
    per line can hold, and for a group of fewer than two labels, of other labels, or of those of another group."""

    names: tuple[str, ...]
    groups: tuple[LabelGroup, ...] = ()

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
        self._check_groups()

    def _check_groups(self) -> None:
        group_of: dict[str, str] = {}
        names = set(self.names) if self.groups else set()
        for group in self.groups:
            where = f"group {short_repr(group.name)}"
            if not group.name or group.name != " ".join(group.name.split()) or not is_printable(group.name):
                raise DataError(f"{where}: its name must be of visible characters, without spaces at its ends")
            if len(group.labels) < 2:
                raise DataError(f"{where} has {len(group.labels)} label(s), and excluding each other takes two")
            for label in group.labels:
                if label not in names:
                    near = difflib.get_close_matches(label, self.names, 1)
                    meant = f"did you mean {short_repr(near[0])}?" if near else f"there are {self._first_names()}"
                    raise DataError(f"{where}: {short_repr(label)} is not in the label set; {meant}")
                if label in group_of:
                    twice = f"{where} and group {short_repr(group_of[label])}"
                    twice = f"{where} twice" if group_of[label] == group.name else twice
                    raise DataError(f"label {short_repr(label)} is in {twice}; a label has one place in one group")
                group_of[label] = group.name
        of_groups = [group.name for group in self.groups]
        if len(set(of_groups)) < len(of_groups):
            raise DataError(f"two groups have the same name: {', '.join(map(short_repr, of_groups))}")

    def _first_names(self) -> str:
        return ", ".join(map(short_repr, self.names[:8])) + ", ..." * (len(self) > 8)

    @property
    def group_columns(self) -> dict[str, tuple[int, ...]]:
        """The columns of each group, by its name."""
        column = {name: index for index, name in enumerate(self.names)}
        return {group.name: tuple(column[label] for label in group.labels) for group in self.groups}

    def with_groups(self, asked: AskedGroups) -> LabelSet:
        """The same labels in the groups that are asked for. Raises DataError for groups that do not fit them."""
        groups = asked.groups
        if asked.one_label:
            if len(self) < 2:
                raise DataError(
                    f"--one-label: there is one label, {short_repr(self.names[0])}, and choosing takes two; name "
                    "the classes of 0 and 1 in labels.txt, one a line, or leave --one-label out"
                )
            groups = (LabelGroup(ONE_LABEL, self.names),)
        return replace(self, groups=groups)

    def with_group_columns(self, columns: Mapping[str, Sequence[int]]) -> LabelSet:
        """The same labels in groups by their columns, as a file has them. Raises DataError."""
        outside = [place for places in columns.values() for place in places if not 0 <= place < len(self)]
        if outside:
            raise DataError(f"a group has label {outside[0]} of {len(self)}")
        named = {name: tuple(self.names[place] for place in places) for name, places in columns.items()}
        return replace(self, groups=tuple(LabelGroup(name, labels) for name, labels in named.items()))

    def refuse_other_groups(self, asked: AskedGroups, owner: Path | None) -> None:
        """Raise DataError if other groups are asked for than these, which are those of the run or Bundle
        `owner`."""
        if not asked:
            return
        wanted = self.with_groups(asked).groups
        if {(g.name, frozenset(g.labels)) for g in wanted} != {(g.name, frozenset(g.labels)) for g in self.groups}:
            raise DataError(
                f"{owner}: was trained with groups of labels {describe_groups(self.groups)}, and asked for are "
                f"{describe_groups(wanted)}; leave these out, or train anew with them"
            )

    def groups_to_json(self) -> dict[str, Any]:
        """The labels of each group, by its name."""
        return {group.name: list(group.labels) for group in self.groups}

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
