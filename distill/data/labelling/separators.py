"""What stands between the labels of one cell, and labels that look like several."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

SEPARATOR = "|"
OTHER_SEPARATORS = (",", ";", "\t")
SEPARATOR_NAMES = {"\t": "a tab", ",": "a comma", ";": "a semicolon", " ": "a space", "\n": "a line break"}
OFTEN_IN_NAMES = "-_.'’"  # "center-left" is a label beside "center" and "left"
LISTS = re.compile(r"[|,;\t\n]")
JOINTS = re.compile(r"\s(?:and|or|und|et|y)\s|[-_./+&:#~^\\\s]")


def separator_name(separator: str) -> str:
    """How a message calls it."""
    return SEPARATOR_NAMES.get(separator, separator)


def proven_separator(cells: Mapping[str, int], known: frozenset[str]) -> str:
    """What stands between the labels of cells, of which it is given how often each comes, proven by labels that are
    `known`, or by the other cells; "" if nothing is proven."""
    if any(SEPARATOR in cell for cell in cells):
        return ""
    for separator in OTHER_SEPARATORS:
        parts = {cell: {part.strip() for part in cell.split(separator)} - {""} for cell in cells}
        joined = [cell for cell in cells if separator in cell and cell.strip() not in known]
        if not joined:
            continue
        if all(parts[cell] <= known for cell in joined) if known else _prove_each_other(parts, joined, cells):
            return separator
    return ""


def _prove_each_other(parts: Mapping[str, set[str]], joined: Sequence[str], rows: Mapping[str, int]) -> bool:
    """Whether each part of the `joined` cells is part of another cell: each with other companions, or two or more,
    of which each cell has one, and the others in other rows."""
    cells_of, rows_of = Counter[str](), Counter[str]()
    for cell, each in parts.items():
        cells_of.update(each)
        rows_of.update(dict.fromkeys(each, rows[cell]))
    found = {part for cell in joined for part in parts[cell]}
    recurring = {part for part in found if cells_of[part] > 1}
    return recurring == found or (
        len(recurring) > 1
        and all(rows_of[part] > 1 for part in found)
        and all(recurring & parts[cell] for cell in joined)
    )


def suspected_separator(labels: Iterable[str], known: frozenset[str]) -> tuple[str, str]:
    """What may stand between labels though it often stands within one, such as a space or /: each label that has
    it consists of others, "sad glad" of "sad" and "glad". With it, such a label; "" and "" for nothing."""
    whole = set(labels)
    with_sign: dict[str, list[str]] = {}
    for label in sorted(whole - known):
        for sign in sorted({*label}):
            if not sign.isalnum() and sign not in OFTEN_IN_NAMES:
                with_sign.setdefault(sign, []).append(label)
    for sign, joined in sorted(
        with_sign.items(), key=lambda pair: pair[0].isspace()
    ):  # "sad / glad" is joined by /
        if all(_is_joined(label, sign, whole) and not _is_number_with(sign, label, whole) for label in joined):
            return sign, joined[0]
    return "", ""


def several_in_one(labels: Sequence[str], are_apart: bool = False) -> list[str]:
    """The labels that may be several: all their parts are labels, or some where a comma, semicolon, tab or |
    stands between them. Those that `are_apart` already, as in lists, may be several only where all their parts are
    labels and a comma or the like stands between them."""
    whole = set(labels)
    parts_of = {label: {part.strip() for part in LISTS.split(label)} - {""} for label in labels}
    if are_apart:
        return [label for label in labels if len(parts_of[label]) > 1 and parts_of[label] <= whole]
    counts = Counter(part for parts in parts_of.values() for part in parts)
    return [
        label
        for label in labels
        if (len(parts_of[label]) > 1 and any(counts[part] > 1 for part in parts_of[label]))
        or any(_is_joined(label, joint, whole) for joint in {*JOINTS.findall(label)})
    ]


def _is_joined(label: str, joint: str, whole: set[str]) -> bool:
    """Whether the parts of a label are labels, none of them twice, as in "a/a", nor a mere sign, as in "+/-"."""
    parts = [part.strip() for part in label.split(joint)]
    return len(set(parts)) == len(parts) and whole.issuperset(parts) and not any(map(_is_sign, parts))


def _is_sign(name: str) -> bool:
    return name.isascii() and not any(map(str.isalnum, name))  # others may be emoji


def _is_number_with(sign: str, label: str, whole: set[str]) -> bool:
    """Whether a label is probably one number with a sign in it, such as 24/7: others are words, not codes."""
    return (
        sign not in " \t\n,;"
        and not any(map(str.isalpha, label))
        and any(any(map(str.isalpha, name)) for name in whole)
    )
