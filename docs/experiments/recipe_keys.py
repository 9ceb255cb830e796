"""Every key of the recipe: recipes/meme.toml with its comments, the recipe's types, and the limits of numbers."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from distill.core.settings.limits import LIMITS
from distill.core.settings.recipe import Recipe, recipes_folder
from experiments.results import table

SECTION = re.compile(r"\[(?P<name>[\w.]+)\]\s*(?:# (?P<comment>.*))?")
KEY = re.compile(r"(?P<name>\w+) = (?P<default>.*?)\s*(?:# (?P<comment>.*))?")
WITHOUT_DEFAULT = re.compile(r"\s+# (?P<comment>(?P<name>\w+) = .*)")  # TOML has no null: such a key is a comment
MORE = re.compile(r"\s+# (?P<comment>.*)")
WORDS = {int: "a whole number", float: "a number", bool: "`true` or `false`", str: "a text"}


@dataclass(frozen=True)
class Line:
    """What the file says of a section, whose `default` is None, or of a key; "" is the default of a key without."""

    key: str
    default: str | None
    comment: str


def read_comments(text: str) -> list[Line]:
    """The sections and keys of a recipe in their order, with their comments."""
    lines: list[Line] = []
    section = ""
    for text_line in text.splitlines():
        if match := SECTION.fullmatch(text_line):
            section = match["name"]
            lines.append(Line(section, None, match["comment"] or ""))
        elif match := KEY.fullmatch(text_line):
            lines.append(Line(f"{section}.{match['name']}", match["default"], match["comment"] or ""))
        elif section and (match := WITHOUT_DEFAULT.fullmatch(text_line)):
            lines.append(Line(f"{section}.{match['name']}", "", match["comment"]))
        elif section and (match := MORE.fullmatch(text_line)):
            lines[-1] = dataclasses.replace(lines[-1], comment=f"{lines[-1].comment} {match['comment']}")
    return lines


def kinds(config: Any = Recipe, where: str = "") -> Iterator[tuple[str, Any]]:
    """The type of every key of the recipe."""
    for name, kind in get_type_hints(config).items():
        if dataclasses.is_dataclass(kind):
            yield from kinds(kind, f"{where}{name}.")
        elif get_origin(kind) is not dict:  # whose keys are the user's: its section's comment explains it
            yield where + name, kind


def values(key: str, kind: Any) -> str:
    """What a key may hold, in words."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is types.UnionType:  # X | None
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        return "a list of texts"
    section, _, rest = key.partition(".")
    limit = LIMITS.get(key) or (LIMITS.get(f"model.{rest}") if section in ("teacher", "student") else None)
    return WORDS[kind] + (f", {limit}" if limit else "")


def recipe_keys() -> str:
    """A table of keys for each section of the recipe."""
    lines = read_comments((recipes_folder() / "meme.toml").read_text(encoding="utf-8"))
    kind_of = dict(kinds())
    comments = {line.key: line.comment for line in lines}
    parts: list[str] = []
    rows: list[tuple[str, ...]] = []
    for line in [*lines, Line("", None, "")]:
        if line.default is None:
            if rows:
                parts.append("\n" + table("key | default | values | meaning", rows, left=4))
            rows = []
            title = f"\n## `[{line.key}]`\n" if line.key else ""
            parts.append(title + (f"\n{_sentence(line.comment)}\n" if line.comment else ""))
            continue
        # The student's keys are the teacher's, and explained there.
        comment = line.comment or comments.get(line.key.replace("student.", "teacher.", 1), "")
        default = f"`{line.default}`" if line.default else "–"
        name = line.key.rpartition(".")[2]
        rows.append((f"`{name}`", default, values(line.key, kind_of[line.key]), _cell(comment)))
    return "".join(parts) + "\n"


def _cell(comment: str) -> str:
    return comment.replace("|", r"\|").replace("*", r"\*")


def _sentence(comment: str) -> str:
    text = _cell(comment).strip()
    first = text[:1] if text.startswith("distill ") else text[:1].upper()
    return first + text[1:] + ("" if text.endswith(".") else ".")
