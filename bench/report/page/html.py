"""HTML that its content cannot break: text is escaped unless it is Html already. Knows no page and no figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

VOID = ("meta", "br")


class Html(str):
    """Markup, safe as it stands. A plain str is text and is escaped wherever markup is built."""

    __slots__ = ()


@dataclass(frozen=True)
class Line:
    """One row of a table; `own` emphasises it."""

    cells: tuple[str, ...]
    own: bool = False


def plain(text: str) -> str:
    """The text with spaces for what a page or an image cannot hold: control characters, lone surrogates and marks
    that turn the direction of writing."""
    return "".join(c if c.isprintable() else " " for c in text)


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """An element. `class_` and `aria_label` stand for class and aria-label."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(plain(value))}"' for key, value in attributes.items()
    )
    inner = join(children)
    return Html(f"<{name}{said}>" if name in VOID else f"<{name}{said}>{inner}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Html:
    """The parts one after the other, text among them escaped."""
    return Html(between.join(part if isinstance(part, Html) else escape(plain(part)) for part in parts))


def table(caption: str, head: Sequence[str], lines: Sequence[Line], words: int = 1) -> Html:
    """A table that scrolls in its own box. The first cell of a line names it; the first `words` columns are text,
    the others figures, which stand right."""
    columns = [tag("th", text, scope="col", **_kind(i, words)) for i, text in enumerate(head)]
    body = []
    for line in lines:
        first, *others = line.cells
        cells = [tag("th", first, scope="row", class_="word")]
        cells += [tag("td", text, **_kind(i, words)) for i, text in enumerate(others, 1)]
        body.append(tag("tr", *cells, **({"class_": "own"} if line.own else {})))
    whole = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", tag("tr", *columns)),
        tag("tbody", join(body, "\n")),
    )
    # tabindex: a box that scrolls must be reachable with the keyboard.
    return tag("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)


def details(summary: str, *children: str) -> Html:
    """What is folded away until somebody asks."""
    return tag("details", tag("summary", summary), *children)


def _kind(column: int, words: int) -> dict[str, str]:
    return {"class_": "word"} if column < words else {}
