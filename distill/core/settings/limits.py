"""The limits of every number in a recipe, in one table, and the check of a config against it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from distill.core.errors import RecipeError
from distill.core.untrusted import replace_surrogates, short_repr

MAX_STRING = 4096  # characters, of a path or a name


@dataclass(frozen=True)
class Limit:
    """The range of a value, and which of its ends are excluded. `note` explains an end."""

    low: float
    high: float
    above: bool = False  # `low` itself is excluded
    below: bool = False  # `high` itself is excluded
    note: str = ""

    def holds(self, value: float) -> bool:
        """Whether the value is within the range."""
        return (self.low < value if self.above else self.low <= value) and (
            value < self.high if self.below else value <= self.high
        )

    def __str__(self) -> str:
        if not self.above and not self.below:
            return f"{self.low:,} to {self.high:,}{self.note}"
        return f"in {'(' if self.above else '['}{self.low:,}, {self.high:,}{')' if self.below else ']'}{self.note}"


EPOCHS = Limit(1, 10_000)
RATE = Limit(0, 100, above=True)  # of learning; one above 1 never helped
WEIGHT = Limit(0, 1_000_000)  # of a term of a loss
SHARE = Limit(0, 1, below=True)
FOCUS = Limit(0, 100)  # the exponents of focal and asymmetric loss

# By the key in a recipe; "model" stands for teacher and student.
LIMITS = {
    "model.epochs": Limit(0, 10_000, note=' (0 with head_start = "probe" alone)'),
    "model.batch_size": Limit(1, 65_536),
    "model.learning_rate": RATE,
    "model.head_learning_rate": RATE,
    "model.warmup_epochs": Limit(0, 10_000),
    "model.constant_epochs": Limit(0, 10_000),
    "model.decay_per_epoch": Limit(0, 100),
    "model.weight_decay": Limit(0, 100),
    "model.patience": Limit(1, 10_000),
    "model.seed": Limit(0, 2**32 - 1),  # numpy's generators take no larger one
    "model.text.layers": Limit(0, 1_000, note=" (0 keeps all)"),
    "model.text.vocab_size": Limit(0, 10_000_000, note=" (0 keeps all)"),
    "model.text.max_tokens": Limit(4, 32_768),
    "model.text.static_width": Limit(8, 4_096),
    "model.image.size": Limit(16, 1024, note=" pixels"),
    "model.head.hidden_size": Limit(0, 65_536, note=" (0 is a linear head)"),
    "model.head.dropout": SHARE,
    "model.head.modality_dropout": Limit(0, 0.5, below=True),
    "model.focal.gamma": FOCUS,
    "model.focal.alpha": Limit(-1, 1, below=True, note=" (below 0: no weight)"),
    "model.augment.word_edit_rate": SHARE,
    "model.augment.token_mask_rate": SHARE,
    "model.augment.image_strength": Limit(0, 1),
    "model.augment.image_views": Limit(1, 1_000),
    "teacher.folds": Limit(0, 1_000),
    "teacher.asymmetric.gamma_positive": FOCUS,
    "teacher.asymmetric.gamma_negative": FOCUS,
    "teacher.asymmetric.clip": SHARE,
    "student.distill.temperature": Limit(0.01, 1_000),
    "student.distill.hard_labels": WEIGHT,
    "student.distill.soft_targets": WEIGHT,
    "student.distill.text_features": WEIGHT,
    "student.distill.image_features": WEIGHT,
    "student.distill.label_relations": WEIGHT,
    "finetune.epochs": EPOCHS,
    "finetune.learning_rate": RATE,
    "export.parity_tolerance": Limit(0, 10, above=True),
    "export.min_int8_share": Limit(0, 1, above=True),
    "export.max_f1_drop": Limit(0, 1),
    "export.calibration_examples": Limit(1, 1_000_000),
}


def check_limits(config: Any, where: str) -> None:
    """Raise RecipeError for a number of a config, or of one inside it, that is out of its range in LIMITS, and for
    a string that no file or card can hold. `where` is the config's key, such as "teacher"."""
    for field in dataclasses.fields(config):
        value, key = getattr(config, field.name), f"{where}.{field.name}"
        if dataclasses.is_dataclass(value):
            check_limits(value, key)
        elif isinstance(value, str):
            _check_string(value, key)
        elif value is not None and not isinstance(value, bool):
            limit = limit_of(key)
            if not limit.holds(value):
                raise RecipeError(f"{key} must be {limit}, got {short_repr(value)}")


def limit_of(key: str) -> Limit:
    """The limit of the number at a recipe's key, such as "teacher.text.layers"."""
    return LIMITS.get(key) or LIMITS["model." + key.partition(".")[2]]


def _check_string(value: str, key: str) -> None:
    if len(value) > MAX_STRING:
        raise RecipeError(f"{key} has {len(value):,} characters, over the limit of {MAX_STRING:,}; shorten it")
    if "\0" in value or replace_surrogates(value) != value:
        raise RecipeError(f"{key} holds a NUL character or a lone surrogate; got {short_repr(value)}")
