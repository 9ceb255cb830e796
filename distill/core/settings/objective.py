"""What thresholds are fitted for: a recipe's key, in a file of its own, so that a device imports no recipe."""

from __future__ import annotations

from typing import Literal

Objective = Literal["micro", "macro", "balanced"]
