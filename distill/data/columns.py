"""Which columns of a dataset hold ids, texts, images and labels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Columns:
    """Names of columns, "" where a column is found by its name or by what it holds.

    `labels` names one column of label names, or several of 0 and 1 whose names are the labels; a pattern such as
    "is_*" stands for all columns that it matches. `separator` stands between the labels of one cell. `cut` is the
    least value that counts as 1 in columns of numbers other than 0 and 1.
    """

    id: str = ""
    text: str = ""
    image: str = ""
    labels: tuple[str, ...] = ()
    separator: str = ""
    cut: float | None = None
