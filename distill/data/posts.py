"""The posts of a source with all the columns that their rows have, to be written again with more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.data.dataset import Example, say
from distill.data.examples import image_name
from distill.data.labelling.carried import carries_label
from distill.data.labels import LabelSet
from distill.data.rows import FIRST_ROWS, open_rows
from distill.data.sources import FailedRow, Source


@dataclass(frozen=True)
class Post:
    """A row as its file has it, the Example made of it, the column of its image, "" for none, whether it has
    one of its id, and whether the row carries a label already."""

    row: dict[str, Any]
    example: Example
    image_column: str
    has_id: bool
    is_labelled: bool = False

    def row_in(self, folder: Path, is_binary: bool) -> dict[str, Any]:
        """The row for a file in this folder: with an id, its image by its path from there; one that the row itself
        holds stays in a file that `is_binary`, and is a data: URL in others."""
        row = self.row if self.has_id else {"id": self.example.id} | self.row
        is_held = isinstance(self.example.image, bytes) and is_binary
        if self.image_column and self.example.image is not None and not is_held:
            row = row | {self.image_column: image_name(self.example.image, folder)}
        return row


def read_posts(source: Source, labels: LabelSet) -> tuple[list[Post], list[FailedRow]]:
    """All posts, which are to get some of the `labels`, and those that cannot be read. Raises DataError if the
    source itself cannot be."""
    posts: list[Post] = []
    failed: list[FailedRow] = []
    for item in _items(source, labels):
        if isinstance(item, Post):
            posts.append(item)
        else:
            failed.append(item)
    return posts, failed


def _items(source: Source, labels: LabelSet) -> Iterator[Post | FailedRow]:
    if source.kind == "images":
        for file in source.image_files():
            example = file.read()
            if isinstance(example, FailedRow):
                yield example
            else:
                yield Post(
                    {"id": example.id, "text": example.text, "image": str(file.path)}, example, "image", True
                )
        return
    said: set[str] = set()
    columns = source.ask.columns.over(source.ask.remembered)
    for path in source.files:
        opened = open_rows(path, source.ask, FIRST_ROWS)
        say(path, opened.all_notes(), said)
        for number, row in opened.rows:
            try:
                example = opened.reader.read(row, number)
            except DataError as error:
                yield FailedRow(opened.reader.name(row, number), str(error))
                continue
            assert isinstance(row, dict)  # `read` raises for others
            roles, is_labelled = opened.reader.roles, carries_label(row, columns, labels)
            yield Post(row, example, roles.image or "", bool(roles.id), is_labelled)
