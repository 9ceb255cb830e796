"""The golden answers of a Bundle, parsed from its golden.json, which may be a stranger's."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import BundleError, RecipeError
from distill.core.settings.bounds import check_bounds
from distill.core.settings.schema import build_dataclass

NOT_READABLE = "its golden answers cannot be read"
MAX_CASES = 64
MAX_TEXT = 20_000  # characters of a case
MAX_LOGIT = 1e6
# Of a logit, root mean square: the least is float sums in another order; a greatest beyond it would pass any model.
MIN_TOLERANCE, MAX_TOLERANCE = 1e-4, 1.0


@dataclass(frozen=True)
class Case:
    """One input: a text, and an image file in base64 or None."""

    text: str
    image: str | None

    def image_bytes(self) -> bytes | None:
        """The image file. Raises ValueError for what is no base64."""
        return None if self.image is None else base64.b64decode(self.image, validate=True)


@dataclass(frozen=True)
class GoldenAnswers:
    """Of every case: its token ids, a digest of its pixels, and its logits, of which a device's may differ by
    `tolerance` (root mean square). `exported_on` describes the machine that they are of."""

    cases: tuple[Case, ...]
    ids: tuple[tuple[int, ...], ...]
    pixels: tuple[str, ...]
    logits: tuple[tuple[float, ...], ...]
    tolerance: float
    exported_on: dict[str, str]

    @classmethod
    def from_json(cls, tree: Any, labels: int) -> GoldenAnswers:
        """The golden answers of a Bundle of so many labels. Raises BundleError for those of another form, and for
        figures that none can have."""
        try:
            answers = build_dataclass(cls, tree, "golden")
            answers._check(labels)
        except (RecipeError, ValueError) as error:
            raise BundleError(f"{NOT_READABLE}: {error}") from error
        return answers

    def array(self) -> NDArray[np.float32]:
        """The logits, float32 (cases, labels)."""
        return np.asarray(self.logits, dtype=np.float32)

    def _check(self, labels: int) -> None:
        count = len(self.cases)
        if not 1 <= count <= MAX_CASES:
            raise ValueError(f"{count:,} cases, expected 1 to {MAX_CASES}")
        if {len(self.ids), len(self.pixels), len(self.logits)} != {count}:
            raise ValueError(f"token ids, pixels or logits of another number of cases than {count}")
        if any(len(row) != labels for row in self.logits):
            raise ValueError(f"logits of another number of labels than {labels}")
        if any(len(case.text) > MAX_TEXT for case in self.cases):
            raise ValueError(f"a text of more than {MAX_TEXT:,} characters")
        bounds = {"ids": (0, 1 << 31), "logits": (-MAX_LOGIT, MAX_LOGIT), "tolerance": (0, MAX_TOLERANCE)}
        check_bounds(self, bounds, (0, 0))
