"""A table, described once and drawn for the terminal, for Markdown or (by parts.html.jinja) for a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from rich.table import Table

from distill.core.output.printable import escape_markdown

Emphasis = Literal["", "strong", "bad", "weak"]
STYLES = {"": None, "strong": "bold", "bad": "red", "weak": "dim"}  # for rich
NAME = 24  # characters of a text that stay on one line in a narrow terminal


@dataclass(frozen=True)
class Grid:
    """A table that is not drawn yet: the first column names a row, the others are figures.

    `words` are the places of the columns that hold text, which stands left. `page_only` counts the last columns,
    for which only a page has room. `emphasis` has an entry for each row, or none at all.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    emphasis: tuple[Emphasis, ...] = ()
    words: tuple[int, ...] = (0,)
    page_only: int = 0

    def lines(self) -> Iterator[tuple[Emphasis, tuple[str, ...]]]:
        """Every row behind its emphasis."""
        yield from zip(self.emphasis or ("",) * len(self.rows), self.rows, strict=True)

    def brief(self) -> Grid:
        """The same without the columns for pages."""
        end = len(self.headings) - self.page_only
        rows = tuple(row[:end] for row in self.rows)
        return replace(self, headings=self.headings[:end], rows=rows, page_only=0)

    def to_rich(self, width: int) -> list[Table]:
        """For a terminal of so many characters: several tables where one would be too wide."""
        brief = self.brief()
        wide = [max(map(len, column)) + 3 for column in zip(brief.headings, *brief.rows, strict=True)]
        wide = [min(chars, NAME + 3) if i in self.words else chars for i, chars in enumerate(wide)]
        most = width - 1 - wide[0]
        parts: list[list[int]] = [[]]
        for place in range(1, len(wide)):
            if parts[-1] and sum(wide[i] for i in (*parts[-1], place)) > most:
                parts.append([])
            parts[-1].append(place)
        return [brief._table((0, *part), ", continued" * (part is not parts[0])) for part in parts]

    def to_markdown(self) -> str:
        """A table of Markdown, without its title."""
        brief = self.brief()
        lines = [_markdown_row(brief.headings)]
        lines.append("|" + "|".join("---" if i in self.words else "---:" for i in range(len(brief.headings))) + "|")
        lines += map(_markdown_row, brief.rows)
        return "\n".join(lines) + "\n"

    def _table(self, columns: tuple[int, ...], more: str) -> Table:
        table = Table(title=self.title + more, title_justify="left")
        for i in columns:
            text = i in self.words  # text wraps when the terminal is narrow: figures stay whole
            table.add_column(self.headings[i], justify="left" if text else "right", no_wrap=not text)
        for emphasis, row in self.lines():
            table.add_row(*(row[i] for i in columns), style=STYLES[emphasis])
        return table


def _markdown_row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(escape_markdown, cells))} |"
