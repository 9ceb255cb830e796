"""Decides which column of a table holds ids, texts, images and labels; what it cannot decide, it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr, shorten
from distill.data.column_survey import ColumnSurvey, Survey, looks_like_text
from distill.data.columns import (
    FILE_NAMES,
    IMAGE_ADDRESSES,
    NO_COLUMN,
    OPTIONS,
    ROLES,
    SYNONYMS,
    Columns,
    Role,
    is_pandas_index,
    list_columns,
    normal_name,
)
from distill.data.groups import NONE_ASKED, AskedGroups
from distill.data.labelling.cells import LabelCells, number_of
from distill.data.labelling.columns import KnownLabels, decide_labels
from distill.data.labels import LabelSet

MAX_LISTED = 20  # columns without a role
MAX_COMMAS = 8  # parts of a column's name
FEW_CLASSES = 100
OWN = frozenset(("text_from",))  # written by `distill data ocr`, for readers


@dataclass(frozen=True)
class Ask:
    """What is asked of a table: `columns` are what its user says, `remembered` what a run does, which counts where
    it fits. `labels` are those that are known already, in the order that numbers count, unless they are
    `sorted_from` the names in this file; and `groups` are those that are asked for: the groups of known labels come
    first. Without `wants_labels`, none are read. `others` are columns that the one who asks reads by themselves."""

    columns: Columns = field(default_factory=Columns)
    remembered: Columns = field(default_factory=Columns)
    labels: LabelSet | None = None
    sorted_from: Path | None = None
    wants_labels: bool = True
    others: tuple[str, ...] = ()
    groups: AskedGroups = NONE_ASKED

    def exclusive(self) -> AskedGroups:
        """The groups that rows are held to."""
        return AskedGroups(self.labels.groups) if self.labels and self.labels.groups else self.groups


@dataclass(frozen=True)
class Roles:
    """The columns of a file by their roles, "" and None for a role that none plays."""

    id: str
    text: str
    image: str
    labels: LabelCells | None

    def column(self, role: Role) -> str:
        """The column of a role; the first of several."""
        if role == "labels":
            return self.labels.columns[0] if self.labels else ""
        return str(getattr(self, role))

    def names(self) -> set[str]:
        """Every column with a role."""
        return {self.id, self.text, self.image, *(self.labels.columns if self.labels else ())} - {""}


def decide_roles(survey: Survey, table: Columns, ask: Ask, path: Path) -> tuple[Roles, list[str]]:
    """The roles, and notes of what was decided. `table` is what the format says of its columns. Raises
    DataError."""
    decision = _Decision(survey, path)
    decision.take_said(ask)
    decision.take_where_present(ask.remembered, ask.wants_labels)
    if ask.wants_labels:
        decision.refuse_some_labels(ask.remembered.labels)
    decision.take_where_present(table, ask.wants_labels)
    for role in ROLES:
        if role != "labels" or ask.wants_labels:
            decision.take_by_name(role)
    decision.take_index()
    taken = decision.taken
    decision.refuse_unfilled(ask.wants_labels and not ask.remembered.labels)
    cells, label_note = None, ""
    if taken.get("labels"):
        said = ask.columns.over(ask.remembered)
        one_label = ask.exclusive().is_one_of(ask.labels.names if ask.labels else ())
        known = KnownLabels(ask.labels.names if ask.labels else (), ask.sorted_from)
        cells, label_note = decide_labels(survey, taken["labels"], said, known, path, one_label)
    first = {role: names[0] if names else "" for role, names in taken.items()}
    roles = Roles(first.get("id", ""), first.get("text", ""), first.get("image", ""), cells)
    notes = [
        f"{role} is column {short_repr(name)}"
        for role, name in first.items()
        if role in decision.by_synonym - {"labels"}
    ]
    notes += [label_note] * bool(label_note)
    return roles, notes


def unused_columns(survey: Survey, used: set[str]) -> str:
    """A note of the columns that are not `used`, "" if all are."""
    unused = [name for name in survey.columns if name not in used | OWN and not is_pandas_index(name)]
    more = f" and {len(unused) - MAX_LISTED} more" if len(unused) > MAX_LISTED else ""
    return f"columns not used: {', '.join(map(shorten, unused[:MAX_LISTED]))}{more}" if unused else ""


class _Decision:
    """The columns taken so far, by their roles; () for a role that is said to have none."""

    def __init__(self, survey: Survey, path: Path) -> None:
        self.survey, self.path = survey, path
        self.taken: dict[Role, tuple[str, ...]] = {}
        self.by_synonym: set[Role] = set()

    def free(self) -> list[str]:
        """The columns without a role."""
        taken = {name for names in self.taken.values() for name in names}
        return [name for name in self.survey.columns if name not in taken and not is_pandas_index(name)]

    def take_said(self, ask: Ask) -> None:
        """Take the columns that the user names. Raises DataError for one that is not there."""
        for role in ROLES:
            said = self._said(ask.columns, role)
            if said == (NO_COLUMN,):
                self.taken[role] = ()
            elif said and (role != "labels" or ask.wants_labels):
                self.taken[role] = tuple(
                    dict.fromkeys(name for each in said for name in self._matching(each, role))
                )

    def take_where_present(self, columns: Columns, wants_labels: bool) -> None:
        """Take the columns of roles without one, if all are there."""
        for role in ROLES:
            names = self._said(columns, role)
            if role in self.taken or not names or (role == "labels" and not wants_labels):
                continue
            if names == (NO_COLUMN,):
                self.taken[role] = ()
            elif all(self._matches(each) for each in names):
                self.by_synonym |= {role} if names != (role,) and role != "labels" else set()
                self.taken[role] = tuple(dict.fromkeys(name for each in names for name in self._matches(each)))

    def refuse_some_labels(self, names: tuple[str, ...]) -> None:
        """Raise DataError if only some columns of labels are here, or one in another spelling: whoever has learned
        from all of them would read none."""
        missing = [name for name in names if not self._matches(name)]
        if "labels" in self.taken or not missing:
            return
        respelt = {normal_name(name): name for name in self.free() if normal_name(name) not in SYNONYMS["labels"]}
        near = [respelt[normal_name(name)] for name in missing if normal_name(name) in respelt]
        if near or len(missing) < len(names):
            columns = "column" if len(missing) == 1 else f"{len(missing)} columns of labels,"
            instead = f"; it has {list_columns(near)}" if near else ""
            raise DataError(
                f"{self.path}: lacks {columns} {list_columns(missing)}{instead}; all files need the same columns "
                "of labels, empty where they are unknown: add or rename them, or name with --label-columns those "
                "that all have"
            )

    def _said(self, columns: Columns, role: Role) -> tuple[str, ...]:
        """The names that are said; "a, b", which the command line divides, is one again where it names a column."""
        if role != "labels":
            name = str(getattr(columns, role))
            return (name,) if name else ()
        said, names = list(columns.labels), []
        while said:
            joined = (
                (n, sign.join(said[:n])) for n in range(min(len(said), MAX_COMMAS), 1, -1) for sign in (", ", ",")
            )
            count, name = next(((n, name) for n, name in joined if name in self.survey), (1, said[0]))
            names.append(name)
            del said[:count]
        return tuple(names)

    def _matches(self, pattern: str) -> list[str]:
        if pattern in self.survey:
            return [pattern]
        if not any(sign in pattern for sign in "*?["):
            return []
        return [name for name in self.free() if fnmatchcase(name, pattern) and name not in ROLES]

    def _matching(self, pattern: str, role: Role) -> list[str]:
        names = self._matches(pattern)
        if not names:
            raise DataError(
                f"{self.path}: has no column {short_repr(pattern)}, which {OPTIONS[role]} names. It has "
                f"{list_columns(self.survey.columns)}"
            )
        return names

    def take_by_name(self, role: Role) -> None:
        """Take the column of a role's own name, or else the one of a well-known name. Raises DataError for two."""
        if role in self.taken:
            return
        if role in self.survey:
            self.taken[role] = (role,)
            return
        names = [name for name in self.free() if normal_name(name) in SYNONYMS[role]]
        if role == "image":
            names += [
                name
                for name in self.free()
                if normal_name(name) in FILE_NAMES and self.survey.columns[name].holds("image")
            ]
        if len(names) > 1:
            raise DataError(
                f"{self.path}: {len(names)} columns could be the {role}: {list_columns(names)}; name one "
                f"with {OPTIONS[role]}"
            )
        if names:
            self.taken[role] = (names[0],)
            self.by_synonym.add(role)

    def take_index(self) -> None:
        """Take pandas' index as the id, where none is known and the index is names, not numbers, one a row."""
        if "id" in self.taken:
            return
        columns = self.survey.columns
        names = [name for name in columns if is_pandas_index(name) and columns[name].holds_names(self.survey.rows)]
        if len(names) == 1:
            self.taken["id"] = (names[0],)
            self.by_synonym.add("id")

    def refuse_unfilled(self, wants_labels: bool) -> None:
        """Raise DataError if a column looks like a role that none has, or if there is neither text nor image."""
        self._refuse_likely("image")
        self._refuse_likely("text")
        if self.survey.rows and not (self.taken.get("text") or self.taken.get("image")):
            raise DataError(
                f"{self.path}: has no column for texts or images; name one with --text-column or --image-column. "
                f"It has {list_columns(self.survey.columns)}"
            )
        if wants_labels:
            self._refuse_likely("labels")

    def _refuse_likely(self, role: Role) -> None:
        if role in self.taken:
            return
        likely = [name for name in self.free() if name not in OWN and self._may_be(name, role)]
        if likely:
            no_header = "; if that is a row, write a header above it" * looks_like_text(likely[0])
            example = _quoted(",".join(likely) if role == "labels" else likely[0])
            raise DataError(
                f"{self.path}: no column is known to be the {role}, but {list_columns(likely)} "
                f"look{'s' * (len(likely) == 1)} like {'labels' if role == 'labels' else 'one'}; give "
                f"{OPTIONS[role]} {example}, or {OPTIONS[role]} - if there is none{no_header}"
            )

    def _may_be(self, name: str, role: Role) -> bool:
        """Whether a column looks like a role."""
        column = self.survey.columns[name]
        is_address = role == "image" and normal_name(name) in IMAGE_ADDRESSES
        return column.holds(role) or (is_address and column.filled > 0)


def label_hint(survey: Survey, used: set[str]) -> str:
    """Which of the columns that are not `used` may hold labels, with the option that takes them; else which there
    are."""
    free = {name: column for name, column in survey.columns.items() if name not in used | OWN and column.filled}
    free = {name: column for name, column in free.items() if not is_pandas_index(name)}
    numbers = [name for name, column in free.items() if column.is_whole and _are_all(column, number_of)]
    marks = [name for name, column in free.items() if name not in numbers and column.is_one_or_nothing(survey.rows)]
    words = [
        name for name, column in free.items() if name not in (*numbers, *marks) and column.repeats(FEW_CLASSES)
    ]
    hints = [f"{list_columns(words)} may hold them: give --label-columns {_quoted(words[0])}"] if words else []
    if marks:
        hints.append(
            f"{list_columns(marks)} hold{'s' * (len(marks) == 1)} one value or nothing: write 1 and 0 in place of "
            f"these, and give --label-columns {_quoted(','.join(marks))}"
        )
    if numbers:
        hints.append(
            f"{list_columns(numbers)} hold{'s' * (len(numbers) == 1)} numbers: give --label-columns "
            f"{_quoted(','.join(numbers))} with the least that counts as 1, --label-cut NUMBER"
        )
    return "; ".join(hints) or f"or name their column with --label-columns; it has {list_columns(survey.columns)}"


def _are_all(column: ColumnSurvey, holds: Callable[[Any], object]) -> bool:
    return all(holds(value) is not None for value in column.distinct.values())


def _quoted(names: str) -> str:
    return names if len(names) <= 60 and names.replace("_", "").replace(",", "").isalnum() else "NAME"


def could_be(role: Role, names: Iterable[str]) -> list[str]:
    """Those names that are well-known ones of a role."""
    return [name for name in names if normal_name(name) in SYNONYMS[role]]
