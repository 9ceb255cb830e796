"""What a user says of a dataset's columns: part of a recipe, of the command line and of a run's record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from distill.core.errors import ArgumentError, RecipeError
from distill.core.settings.schema import build_dataclass

NO_COLUMN = "-"  # says that a role has no column, where one would be found or asked for


@dataclass(frozen=True)
class Columns:
    """Names of columns, "" where a column is found by its name or by what it holds, "-" where there is none.

    `labels` names one column of label names, or several of 0 and 1 whose names are the labels; a pattern such as
    "is_*" stands for all columns that it matches. `separator` stands between the labels of one cell. `cut` is the
    least value that counts as 1 in columns of numbers other than 0 and 1. `images` is a folder of images. Raises
    ArgumentError for a cut that is not finite.
    """

    id: str = ""
    text: str = ""
    image: str = ""
    labels: tuple[str, ...] = ()
    separator: str = ""
    cut: float | None = None
    images: str = ""

    def __post_init__(self) -> None:
        if self.cut is not None and not math.isfinite(self.cut):
            raise ArgumentError(f"--label-cut, or cut of columns, must be a finite number; got {self.cut}")

    @classmethod
    def of(cls, value: Columns | Mapping[str, Any] | None, where: str = "columns") -> Columns:
        """Columns from a mapping, {"text": "caption", "labels": ["sad", "glad"]}. Raises ArgumentError."""
        if value is None or isinstance(value, Columns):
            return value or cls()
        if not isinstance(value, Mapping):
            raise ArgumentError(f"{where} must be distill.Columns or a mapping; got {type(value).__name__}")
        labels = value.get("labels", ())
        tree = dataclasses.asdict(cls()) | dict(value) | {"labels": [labels] if isinstance(labels, str) else labels}
        try:
            return build_dataclass(cls, tree, where)
        except RecipeError as error:
            raise ArgumentError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """What is said, without the folder of images, which is a place on one machine."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if name != "images" and value not in ("", (), None)
        }

    def names(self, column: str) -> bool:
        """Whether a role is said to be of the column, by its name or a pattern."""
        said = (self.id, self.text, self.image, *self.labels)
        return column in said or any(fnmatchcase(column, each) for each in self.labels)

    def over(self, other: Columns) -> Columns:
        """These, completed by the `other` where they say nothing."""
        kept = {name: value for name, value in vars(self).items() if value not in ("", (), None)}
        return dataclasses.replace(other, **kept)
