"""Parses untrusted JSON within limits of depth and number, and quotes untrusted values in messages."""

from __future__ import annotations

import json
import math
import reprlib
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from distill.core.errors import DistillError

MAX_DEPTH = 64  # of nested lists and objects; distill's own files have 6
MAX_SHOWN = 120  # characters of a value in a message


class _ShortRepr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Python writes no integer of more than 4300 digits."""
        return f"an integer of {x.bit_length():,} bits" if x.bit_length() > 4 * MAX_SHOWN else repr(x)


_short = _ShortRepr()
_short.maxlevel = 3
_short.maxstring = _short.maxother = _short.maxlong = MAX_SHOWN


def short_repr(value: object) -> str:
    """A value's repr for an error message: one line, shortened where it is long or deep."""
    return " ".join(_short.repr(value).split())


def shorten(text: str) -> str:
    """Text for an error message as it stands, cut in the middle where it is long."""
    if len(text) <= 2 * MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}...{text[-MAX_SHOWN // 4 :]} ({len(text):,} characters)"


def replace_surrogates(text: str) -> str:
    """Text that can be encoded as UTF-8: file names and JSON may hold lone surrogates, which become "?"."""
    return text.encode("utf-8", "replace").decode("utf-8")


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file; False for an impossible name or a folder without access."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def parse_json(text: str | bytes, where: str, error: type[DistillError]) -> Any:
    """Parse JSON without duplicate keys. Raises `error` with `where` and the reason."""
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as cause:
        raise error(f"{where}: not valid JSON: {shorten(str(cause))}") from cause


def parse_strict_json(text: str | bytes, where: str, error: type[DistillError]) -> Any:
    """Parse JSON without duplicate keys, NaN, infinities (1e999 is one) and deep nesting. Raises `error`."""
    try:
        tree = json.loads(
            text, object_pairs_hook=_distinct, parse_constant=_refuse_constant, parse_float=_finite_float
        )
        bound_depth(tree)
    except (ValueError, RecursionError) as cause:
        raise error(f"{where}: not readable as JSON: {cause}") from cause
    return tree


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        duplicate = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the key {short_repr(duplicate)} appears twice in an object")
    return table


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is beyond the range of numbers")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def bound_depth(tree: Any) -> None:
    """Raise ValueError for lists and objects in each other, more than MAX_DEPTH deep."""
    level = [tree]
    for _ in range(MAX_DEPTH):
        inner = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in inner for part in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
