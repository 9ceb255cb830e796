"""What a user says of a dataset's columns: part of a recipe, of the command line and of a run's record."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

NO_COLUMN = "-"  # says that a role has no column, where one would be found or asked for


@dataclass(frozen=True)
class Columns:
    """Names of columns, "" where a column is found by its name or by what it holds, "-" where there is none.

    `labels` names one column of label names, or several of 0 and 1 whose names are the labels; a pattern such as
    "is_*" stands for all columns that it matches. `separator` stands between the labels of one cell. `cut` is the
    least value that counts as 1 in columns of numbers other than 0 and 1. `images` is a folder of images.
    """

    id: str = ""
    text: str = ""
    image: str = ""
    labels: tuple[str, ...] = ()
    separator: str = ""
    cut: float | None = None
    images: str = ""

    def over(self, other: Columns) -> Columns:
        """These, completed by the `other` where they say nothing."""
        kept = {name: value for name, value in vars(self).items() if value not in ("", (), None)}
        return dataclasses.replace(other, **kept)
