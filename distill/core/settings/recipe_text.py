"""The recipe as text: its keys with their defaults and comments, and the settings that a run or a file has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from distill.core.errors import RecipeError
from distill.core.settings.recipe import Recipe, recipes_folder
from distill.core.settings.schema import parse_override, suggest
from distill.core.untrusted import short_repr

_TABLE = re.compile(r"\[([\w.]+)\]\s*(?:# *(.*))?")
_SETTING = re.compile(r"(\w+) = (.+?)\s*(?:# (.*))?")
_UNSET = re.compile(r"\s+# ((\w+) = .*)")  # a key without a default, which TOML cannot write
_MORE = re.compile(r"\s+# (.*)")


@dataclass(frozen=True)
class Setting:
    """A key of the recipe, such as "teacher.epochs", its default as TOML, "" if it has none, and the comment beside
    it."""

    key: str
    default: str
    comment: str

    def value(self) -> Any:
        """The default as Python's, None if there is none."""
        if not self.default:
            return None
        return parse_override(f"{self.key.rpartition('.')[2]}={self.default}").popitem()[1]

    def line(self) -> str:
        """As a line of TOML with a dotted key."""
        if not self.default:
            return f"# {self.key} is not set; {self.comment}"
        return f"{self.key} = {self.default}" + (f"  # {self.comment}" if self.comment else "")


def default_text() -> str:
    """The file of all defaults, as it is."""
    return (recipes_folder() / "meme.toml").read_text(encoding="utf-8")


def settings() -> list[Setting]:
    """Every key of the defaults. One of the student without a comment has the teacher's."""
    rows: list[list[str]] = []
    table = ""
    for line in default_text().splitlines():
        if match := _TABLE.fullmatch(line):
            table = match[1]
        elif match := _SETTING.fullmatch(line):
            rows.append([f"{table}.{match[1]}", match[2], match[3] or ""])
        elif match := _UNSET.fullmatch(line):
            rows.append([f"{table}.{match[2]}", "", match[1]])
        elif rows and (match := _MORE.fullmatch(line)):
            rows[-1][2] += f" {match[1]}"
    comments = {key: comment for key, _, comment in rows}
    return [
        Setting(key, default, comment or comments.get(f"teacher.{key.partition('.')[2]}", ""))
        for key, default, comment in rows
    ]


def select(key: str) -> list[Setting]:
    """The setting of that key, or all of the table of that name. Raises RecipeError."""
    every = settings()
    chosen = [setting for setting in every if setting.key == key or setting.key.startswith(f"{key}.")]
    if not chosen:
        names = [setting.key for setting in every]
        hint = suggest(key, names, names)
        raise RecipeError(f"unknown key {short_repr(key)}{hint or '; distill recipe lists all keys'}")
    return chosen


def to_toml(tree: Mapping[str, Any]) -> str:
    """Settings as a recipe that `--recipe` reads; what is None has no line."""
    return _differences(tree, {})


def changes_to_toml(recipe: Recipe) -> str:
    """The settings that differ from the packaged defaults, which `Recipe.load` lays a file over."""
    return _differences(asdict(recipe), asdict(Recipe.load()))


def _differences(tree: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    tables: dict[str, list[str]] = {}
    _collect_differences(tree, base, "", tables)
    return "\n".join("\n".join(([f"[{name}]"] if name else []) + lines) + "\n" for name, lines in tables.items())


def _collect_differences(
    top: Mapping[str, Any], base: Mapping[str, Any], where: str, tables: dict[str, list[str]]
) -> None:
    lines = [f"{_key(k)} = {_literal(v)}" for k, v in top.items() if not isinstance(v, dict) and v != base.get(k)]
    if lines:
        tables[where] = lines
    for key, value in top.items():
        if isinstance(value, dict):
            _collect_differences(value, base.get(key, {}), f"{where}.{_key(key)}".lstrip("."), tables)


def _key(name: str) -> str:
    """A key of TOML; one that a user has chosen, such as the name of a group, may need quotes."""
    return name if name.isascii() and name.replace("_", "").isalnum() else _literal(name)


def _literal(value: Any) -> str:
    """JSON's strings, booleans and numbers are TOML's too, but for one character."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007F")
