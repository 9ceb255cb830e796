"""The recipe: every setting of training and export, read from TOML and validated before anything slow starts.

The defaults are in `recipes/meme.toml` and nowhere else. A user's recipe overrides them, and `--set key=value`
overrides both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from distill.core.errors import RecipeError
from distill.core.output.printable import is_printable
from distill.core.settings.columns import Columns
from distill.core.settings.limits import check_limits
from distill.core.settings.model_config import ModelConfig
from distill.core.settings.schema import build_dataclass, flatten, merge_table, nested, parse_override, read_toml
from distill.core.settings.unread import Unread, find_unread, warn_of_unread
from distill.core.untrusted import short_repr, shorten

C = TypeVar("C", bound="ModelConfig")

MARGIN = 0.01  # of F1, of verdicts: a smaller difference is not worth a teacher or a larger model
TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)
TABLES = ("teacher", "student", "finetune", "export")  # of which a command reads some


@dataclass(frozen=True)
class Asymmetric:
    """Asymmetric loss: focusing of positives and negatives, both >= 0, and `clip` in [0, 1), the probability below
    which a negative contributes nothing (Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification")."""

    gamma_positive: float
    gamma_negative: float
    clip: float


@dataclass(frozen=True)
class TeacherConfig(ModelConfig):
    """The teacher's settings.

    `folds` >= 2 also trains that many fold models, for out-of-fold thresholds and metrics; 0 does not.
    `class_weights` gives rare labels more weight: "focal_alpha" sets each label's focal alpha from its count,
    "effective_number" weighs labels by their effective number of positives (Cui et al. 2019, "Class-Balanced Loss
    Based on Effective Number of Samples").
    """

    folds: int
    loss: Literal["focal", "asymmetric"]
    class_weights: Literal["none", "focal_alpha", "effective_number"]
    asymmetric: Asymmetric

    def __post_init__(self) -> None:
        self.check("teacher")
        if self.loss == "asymmetric" and self.class_weights == "focal_alpha":
            raise RecipeError(
                'teacher.class_weights=focal_alpha needs loss="focal"; with loss="asymmetric" choose none or '
                "effective_number"
            )
        if self.epochs == 0 and (self.loss, self.class_weights) != ("focal", "none"):
            raise RecipeError(
                f"teacher.epochs=0 fits the head by log loss, and loss={self.loss} with class_weights="
                f"{self.class_weights} is for training; set loss=focal and class_weights=none, the defaults"
            )
        if self.folds == 1:
            raise RecipeError("teacher.folds must be 0 or >= 2, got 1")


@dataclass(frozen=True)
class DistillConfig:
    """Weights >= 0 of the terms of a student's loss: the data's `hard_labels`, the teacher's `soft_targets` at this
    `temperature`, its `text_features` and `image_features`, and the `label_relations` between its logits. With
    `held_out`, the soft targets of training examples are those of the teacher's folds that were not trained on
    them; students of folds, for figures out of fold, learn from their own fold's teacher all the same."""

    temperature: float
    hard_labels: float
    soft_targets: float
    text_features: float
    image_features: float
    label_relations: float
    held_out: bool

    def __post_init__(self) -> None:
        if not any(weight for name, weight in vars(self).items() if name not in ("temperature", "held_out")):
            raise RecipeError("student.distill: all weights are 0, so nothing would be learned; set one above 0")


@dataclass(frozen=True)
class StudentConfig(ModelConfig):
    """The student's settings. `out_of_fold` also trains a model for each of the teacher's folds, for thresholds and
    metrics."""

    out_of_fold: bool
    distill: DistillConfig

    def __post_init__(self) -> None:
        if self.head.fusion != "concat":
            raise RecipeError(
                f"student.head.fusion={self.head.fusion}: fusions but concat are for teachers; set "
                "student.head.fusion=concat"
            )
        self.check("student")
        if self.distill.text_features > 0 and self.text.ngrams == "only":
            raise RecipeError(
                f"student.distill.text_features={self.distill.text_features} matches features of a text encoder, "
                "which student.text.ngrams=only has not; set it to 0"
            )
        for tower, other in (("text", "image"), ("image", "text")):
            if getattr(self.distill, f"{tower}_features") > 0 and self.head.modalities == other:
                raise RecipeError(
                    f"student.distill.{tower}_features matches features of a tower that "
                    f"student.head.modalities={other} leaves out; set it to 0"
                )
        for tower, is_trainable in (("text", self.text.trainable), ("image", self.image.trainable)):
            weight = getattr(self.distill, f"{tower}_features")
            if weight > 0 and not is_trainable:
                raise RecipeError(
                    f"student.distill.{tower}_features={weight} matches features of a frozen tower, which cannot "
                    f"learn them; set student.{tower}.trainable=true, or the weight to 0"
                )


@dataclass(frozen=True)
class FinetuneConfig:
    """Quantisation-aware training (QAT): further training in int8 arithmetic. Without a `seed`, it has the
    student's."""

    epochs: int
    learning_rate: float
    seed: int | None = None

    def __post_init__(self) -> None:
        check_limits(self, "finetune")


@dataclass(frozen=True)
class CardConfig:
    """Facts of a Bundle's model card that cannot be measured; "" if unknown."""

    name: str
    license: str
    language: str
    dataset: str

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not is_printable(value):
                raise RecipeError(
                    f"export.card.{name} holds a line break, a control character, or one that is invisible or "
                    f"turns the direction of writing: {short_repr(value)}; remove it"
                )


@dataclass(frozen=True)
class ExportConfig:
    """Settings of the export.

    `parity_tolerance` is the largest accepted |logit difference| between torch and the fp32 ONNX file,
    `min_int8_share` the smallest accepted int8 share of the text tower's weights and of its multiply-accumulates,
    and `max_f1_drop` the largest accepted loss of micro-F1 on dev by quantisation. "auto" tries every option and
    keeps the best on this machine. `allow_slower` accepts a file that is no smaller or no faster than fp32.
    """

    parity_tolerance: float
    min_int8_share: float
    max_f1_drop: float
    matmuls: Literal["auto", "dynamic"]
    convolutions: Literal["auto", "int8", "float"]
    calibration: Literal["auto", "minmax", "entropy", "percentile"]
    calibration_examples: int
    allow_slower: bool
    card: CardConfig

    def __post_init__(self) -> None:
        check_limits(self, "export")


@dataclass(frozen=True)
class DataConfig:
    """Which columns of the dataset hold what, where their names do not say it."""

    columns: Columns


@dataclass(frozen=True)
class TrackingConfig:
    """The trackers that a training is logged to; they decide nothing about its result."""

    report_to: tuple[TrackerName, ...]


@dataclass(frozen=True)
class LabelsConfig:
    """Which labels exclude each other: `groups` are lists of labels by the name of the group, of each of which
    exactly one is true; with `one_label`, exactly one of all labels is."""

    one_label: bool
    groups: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if self.one_label and self.groups:
            raise RecipeError(
                "labels.one_label=true, or --one-label, makes one group of all labels, and labels.groups names "
                "others; keep one of both"
            )


@dataclass(frozen=True)
class Recipe:
    """All settings of training and export."""

    data: DataConfig
    tracking: TrackingConfig
    labels: LabelsConfig
    teacher: TeacherConfig
    student: StudentConfig
    finetune: FinetuneConfig
    export: ExportConfig

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        overrides: Sequence[str] | Mapping[str, Any] = (),
        reads: Collection[str] = TABLES,
        varied: bool = False,
        unread: Unread = MappingProxyType({}),
    ) -> Recipe:
        """The packaged defaults, overridden by the file at `path` and then by `overrides`, ["teacher.epochs=12"] or
        {"teacher.epochs": 12}, with a warning of those that change nothing in a command that `reads` these tables
        of a training or an export, and of the file's. Settings that are `varied`, as by a search, may yet be read
        with another; `unread` are more that the command does not read, and why. Raises RecipeError for an unknown
        key or an invalid value."""
        tree = read_toml(recipes_folder() / "meme.toml")
        tree["data"]["columns"]["cut"] = tree["finetune"]["seed"] = None  # which TOML cannot write
        defaults, in_file = flatten(tree), {}
        keys = list(defaults)
        if path is not None:
            file = read_toml(path)
            merge_table(tree, file, str(path), keys)
            in_file = flatten(file)
        if isinstance(overrides, Mapping):
            for key, value in overrides.items():
                if not isinstance(key, str):
                    raise RecipeError(f"overrides: a key must be a string; got {short_repr(key)}")
                merge_table(tree, nested(key, _without_numpy(value)), shorten(key), keys)
        else:
            for override in [overrides] if isinstance(overrides, str) else overrides:
                if not isinstance(override, str):
                    raise RecipeError(f'overrides: expected "KEY=VALUE"; got {short_repr(override)}')
                merge_table(tree, parse_override(override), f"--set {shorten(override)}", keys)
        recipe = build_dataclass(cls, tree, "recipe")
        changed = [key for key, value in in_file.items() if value != defaults.get(key)]
        configs = {} if varied else {table: getattr(recipe, table) for table in reads}
        asked = asked_keys(overrides)
        warn_of_unread(find_unread(asked, reads, configs, unread))
        warn_of_unread(find_unread([key for key in changed if key not in asked], TABLES, configs), f"{path}: ")
        return recipe


def override_config(config: C, overrides: Sequence[str], where: str) -> C:
    """`config` with `key=value` overrides such as "teacher.epochs=12", whose first part is `where` ("teacher").
    Raises RecipeError."""
    tree = {where: dataclasses.asdict(config)}
    for override in overrides:
        merge_table(tree, parse_override(override), f"--set {shorten(override)}")
    return build_dataclass(type(config), tree[where], where)


def asked_keys(overrides: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """The keys of `overrides`, which are those of `Recipe.load`, each with its table."""
    if isinstance(overrides, Mapping):
        trees = [nested(key, value) for key, value in overrides.items()]
    else:
        trees = [parse_override(words) for words in ([overrides] if isinstance(overrides, str) else overrides)]
    return list(dict.fromkeys(key for tree in trees for key in flatten(tree)))


def choices(key: str) -> tuple[str, ...]:
    """The values of a key that may have few, such as "teacher.optimizer"; none for any other."""
    kind: Any = Recipe
    for part in key.split("."):
        if not dataclasses.is_dataclass(kind):
            return ()
        kind = get_type_hints(kind).get(part)
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else ()


def recipes_folder() -> Path:
    """The folder of the recipes: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def _without_numpy(value: Any) -> Any:
    """A number of numpy's, as a search over settings draws it, as one of Python's."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
