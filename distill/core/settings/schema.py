"""Builds typed dataclasses from TOML or JSON tables, and merges tables with overrides."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from distill.core.errors import RecipeError
from distill.core.storage.inputs import read_input
from distill.core.untrusted import bound_depth, short_repr, shorten

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

MAX_TOML = 1 << 17  # bytes; distill's own recipe has 9 kB, and tomllib's time is quadratic for some
OPEN_TABLES = frozenset(("groups",))  # whose keys are names of the user's


def build_dataclass(cls: type[T], tree: Any, where: str) -> T:
    """A frozen dataclass from a TOML or JSON table that has exactly its fields, each of its type; only those
    that are None by default may be missing.

    `where` names the table in errors. Raises RecipeError for a missing, unknown or mistyped key."""
    if not isinstance(tree, dict):
        raise RecipeError(f"{where}: expected a table, got {short_repr(tree)}")
    kinds = get_type_hints(cls)
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    names = list(defaults)
    unknown = sorted(set(tree) - set(names))
    if unknown:
        hint = suggest(unknown[0], names) or f"; expected {', '.join(names)}"
        raise RecipeError(f"{where}: unknown key {short_repr(unknown[0])}{hint}")
    missing = [name for name in names if name not in tree and defaults[name] is not None]
    if missing:
        raise RecipeError(f"{where}: key {missing[0]!r} is missing")
    return cls(**{name: _convert(kinds[name], tree.get(name), f"{where}.{name}") for name in names})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return build_dataclass(kind, value, where)  # type: ignore[arg-type]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise RecipeError(f"{where} must be one of {', '.join(get_args(kind))}; got {short_repr(value)}")
        return value
    if get_origin(kind) in (Union, types.UnionType):  # X | None is the only union in use
        inner = next(part for part in get_args(kind) if part is not types.NoneType)
        return None if value is None else _convert(inner, value, where)
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise RecipeError(f"{where} must be a table; got {short_repr(value)}")
        return {key: _convert(get_args(kind)[1], item, f"{where}.{key}") for key, item in value.items()}
    if get_origin(kind) in (tuple, types.GenericAlias):
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where} must be a list; got {short_repr(value)}")
        return tuple(_convert(get_args(kind)[0], item, where) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1 << 1000 else math.inf
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RecipeError(f"{where} must be of type {kind.__name__}; got {short_repr(value)}")
    if kind is float and not math.isfinite(value):
        raise RecipeError(f"{where} must be a number; got {value}")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file. Raises RecipeError."""
    content = read_input(path, MAX_TOML, RecipeError)
    try:
        return _parse(content.decode("utf-8-sig"))  # Windows' editors write a byte order mark
    except ValueError as error:
        raise RecipeError(f"{path}: not readable as TOML: {shorten(str(error))}") from error


def parse_override(override: str) -> dict[str, Any]:
    """Parse `teacher.epochs=12` into nested tables. Raises RecipeError."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {shorten(override)}: write it as key=value, such as teacher.epochs=12")
    try:
        value = _parse(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word, such as a path or a model name
    except ValueError as error:
        raise RecipeError(f"--set {shorten(override)}: not readable as TOML: {shorten(str(error))}") from error
    return nested(key.strip(), value)


def _parse(text: str) -> dict[str, Any]:
    """Parse TOML. Raises ValueError, also for what would exhaust the interpreter's stack."""
    try:
        tree = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    bound_depth(tree)  # dotted keys nest without the parser's stack
    return tree


def nested(key: str, value: Any) -> dict[str, Any]:
    """`teacher.epochs` and 12 as nested tables."""
    tree: Any = value
    for part in reversed(key.split(".")):
        tree = {part: tree}
    return tree  # type: ignore[no-any-return]


def flatten(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat


def suggest(key: str, names: Iterable[str], everywhere: Iterable[str] = ()) -> str:
    """ "; did you mean NAME?" for the nearest name, or for dotted names `everywhere` that end so; "" if none is."""
    ends = [name for name in everywhere if name.rpartition(".")[2] == key]
    near = get_close_matches(key, list(names), n=1, cutoff=0.75) or ends[:3]
    near = near or get_close_matches(key, list(everywhere), n=1, cutoff=0.75)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def merge_table(base: dict[str, Any], top: dict[str, Any], where: str, all_keys: Iterable[str] = ()) -> None:
    """Overwrite values of `base` in place with those of `top`, recursively. Raises RecipeError for a key that is
    not in `base`, with the nearest one there or of `all_keys`."""
    for key, value in top.items():
        if key not in base:
            hint = suggest(key, base, all_keys) or f"; expected {', '.join(sorted(base))}"
            raise RecipeError(f"{where}: unknown key {short_repr(key)}{hint}")
        if key in OPEN_TABLES and isinstance(value, dict):
            base[key] = base[key] | value
        elif isinstance(base[key], dict) and isinstance(value, dict):
            merge_table(base[key], value, where)
        elif isinstance(value, dict):
            raise RecipeError(f"{where}: {key} is a value, not a table; got {short_repr(value)}")
        else:
            base[key] = value
