"""Groups of labels that exclude each other: exactly one label of a group is true of a row, and one is decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from distill.core.errors import DataError
from distill.core.untrusted import short_repr

# The columns of each group's labels, by its name. No column is in two groups; those in none are decided apart.
GroupColumns = Mapping[str, tuple[int, ...]]
NO_GROUPS: GroupColumns = MappingProxyType({})
ONE_LABEL = "label"  # the name of the group that --one-label makes of all labels
MAX_LISTED = 5  # labels that a message names


class GroupError(DataError):
    """A row that has no label of a group, or several."""


@dataclass(frozen=True)
class LabelGroup:
    """Labels of which exactly one is true."""

    name: str
    labels: tuple[str, ...]

    @cached_property
    def members(self) -> frozenset[str]:
        """The labels, for asking whether one is among them."""
        return frozenset(self.labels)

    def __str__(self) -> str:
        more = ", ..." * (len(self.labels) > MAX_LISTED)
        return f"{short_repr(self.name)} ({', '.join(map(short_repr, self.labels[:MAX_LISTED]))}{more})"


@dataclass(frozen=True)
class AskedGroups:
    """The groups that a recipe names, or, with `one_label`, one of all labels, whatever they are."""

    groups: tuple[LabelGroup, ...] = ()
    one_label: bool = False

    @classmethod
    def of(cls, one_label: bool, groups: Mapping[str, Iterable[str]] | None) -> AskedGroups:
        """From a recipe's table. Raises DataError for both at once."""
        if one_label and groups:
            raise DataError("one_label makes one group of all labels, and groups names others; keep one of both")
        named = (groups or {}).items()
        return cls(tuple(LabelGroup(name, tuple(labels)) for name, labels in named), one_label)

    def __bool__(self) -> bool:
        return self.one_label or bool(self.groups)

    def is_one_of(self, names: tuple[str, ...]) -> bool:
        """Whether exactly one of all the labels `names` is true."""
        return self.one_label or any(group.members == set(names) for group in self.groups)

    def read(
        self, labels: tuple[str, ...] | None, unknown: tuple[str, ...], where: str
    ) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        """The labels that a row has, None if unknown, and those that are unknown, as the groups complete them.

        A label that is true makes the others of its group untrue, also unknown ones; where none is and some are
        unknown, all of the group are. Raises GroupError for a row that has several labels of a group, or none.
        """
        if labels is None or not self:
            return labels, unknown
        if self.one_label:
            _check_count(labels, bool(unknown), where, None)
            return (labels, ()) if labels else (None, unknown)
        for group in self.groups:
            true = [label for label in labels if label in group.members]
            open_ = [label for label in unknown if label in group.members]
            _check_count(true, bool(open_), where, group)
            outside = tuple(label for label in unknown if label not in group.members)
            unknown = outside if true else (*outside, *group.labels)
        return labels, unknown


NONE_ASKED = AskedGroups()


def _check_count(true: Iterable[str], some_unknown: bool, where: str, group: LabelGroup | None) -> None:
    true = list(dict.fromkeys(true))
    if len(true) == 1 or (not true and some_unknown):
        return
    if group is None:
        rule, leave = "--one-label allows one", "leave --one-label out"
        name = "name one, such as 'other'"
    else:
        rule, leave = f"exactly one of the group {group} is true", "take one out of the group"
        name = f"name one, put a label such as {short_repr('no ' + group.name)} into the group for such rows"
    if true:
        shown = " and ".join(map(short_repr, true[:MAX_LISTED]))
        raise GroupError(f"{where}: has the labels {shown}, and {rule}; keep one of them, or {leave}")
    what = "has no label" if group is None else "has none of them"
    raise GroupError(
        f"{where}: {what}, and {rule}; {name}, or write null (in CSV nan) where it is not known which is true"
    )


def describe_groups(groups: Iterable[LabelGroup]) -> str:
    """All groups in a message."""
    return ", ".join(map(str, groups)) or "none"
