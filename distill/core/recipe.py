"""What to build, read from TOML and checked before anything slow starts. Knows settings, runs nothing.

The values that apply when a user says nothing stand in `recipes/meme.toml` and nowhere else: a user's
recipe is laid over it, and `--set key=value` over both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from distill.core.errors import RecipeError
from distill.core.schema import build_dataclass, merge_table, nested, parse_override, read_toml

C = TypeVar("C", bound="ModelConfig")

Monitor = Literal["balanced_ap", "micro_ap", "macro_ap", "loss"]
Objective = Literal["micro", "macro", "balanced"]
Optimizer = Literal["nadam", "adamw"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class TextTower:
    """The text encoder: a Hugging Face id or a local directory.

    `lowercase` puts the text in lower case before the tokenizer: captions in capitals fall to pieces in a
    cased vocabulary. It becomes part of the tokenizer's own file. `layers` > 0 keeps that many of the
    pretrained layers, evenly spaced; `vocabulary` > 0 keeps about that many entries of the vocabulary.
    """

    model: str
    layers: int
    vocabulary: int
    lowercase: bool
    max_tokens: int
    pooling: Literal["mean", "first"]


@dataclass(frozen=True)
class ImageTower:
    """The image encoder: a torchvision name with its weights, or a Hugging Face id or directory.

    `weights = ""` means random initial weights and is for torchvision names only. `fit` says how a
    image becomes a square: "squash" keeps all of it, "crop" keeps the proportions of its middle.
    """

    model: str
    weights: str
    size: int
    fit: Literal["squash", "crop"]
    trainable: bool


@dataclass(frozen=True)
class Head:
    """How features become logits. `fusion` joins the modalities: "concat" lays pooled vectors side by side,
    "transformer" lets tokens and cells of the image attend to each other. `uses` names the modalities that
    there are. `modality_dropout` is the share of training examples that lose their text, and the share that lose
    their image, so that either can answer alone."""

    fusion: Literal["concat", "transformer"]
    uses: Literal["both", "text", "image"]
    hidden: int
    dropout: float
    modality_dropout: float

    @property
    def grid(self) -> bool:
        """Whether the image is wanted cell by cell."""
        return self.fusion == "transformer"


@dataclass(frozen=True)
class Focal:
    """Focusing `gamma` >= 0 and weight `alpha` of the positives in (0, 1); alpha < 0 turns the weight off."""

    gamma: float
    alpha: float


@dataclass(frozen=True)
class Augment:
    """How training examples are changed, anew in each epoch; 0 changes nothing.

    `words` is the share of a text's words that are replaced, added, swapped or deleted, `tokens` the share of its
    tokens that are masked, `images` how strongly images are cropped and recoloured, up to 1. A frozen image
    branch computes and caches `views` changed views of each image, and an epoch draws one of these and of the
    image itself.
    """

    words: float
    tokens: float
    images: float
    views: int


@dataclass(frozen=True)
class ModelConfig:
    """One model and its training; teacher and student share every setting that stands here."""

    text: TextTower
    image: ImageTower
    head: Head
    focal: Focal
    augment: Augment
    epochs: int
    batch_size: int
    precision: TrainingPrecision
    optimizer: Optimizer
    learning_rate: float
    head_learning_rate: float
    constant_epochs: int
    decay_per_epoch: float
    weight_decay: float
    patience: int
    monitor: Monitor
    objective: Objective
    seed: int

    def check(self, where: str) -> None:
        """Raise RecipeError for a value out of its range; `where` is "teacher" or "student"."""
        self._positive(where, "epochs", "batch_size", "learning_rate", "head_learning_rate", "patience")
        for name in ("constant_epochs", "decay_per_epoch", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{where}.{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.head.dropout < 1:
            raise RecipeError(f"{where}.head.dropout must be in [0, 1), got {self.head.dropout}")
        if not 0 <= self.head.modality_dropout < 0.5:
            raise RecipeError(
                f"{where}.head.modality_dropout must be in [0, 0.5), got {self.head.modality_dropout}"
            )
        if self.head.hidden < 1:
            raise RecipeError(f"{where}.head.hidden must be >= 1, got {self.head.hidden}")
        if self.focal.gamma < 0 or self.focal.alpha >= 1:
            raise RecipeError(f"{where}.focal needs gamma >= 0 and alpha < 1, got {self.focal}")
        for name in ("layers", "vocabulary"):
            if getattr(self.text, name) < 0:
                raise RecipeError(f"{where}.text.{name} must be >= 0 (0 keeps all), got {getattr(self.text, name)}")
        if self.text.max_tokens < 4:
            raise RecipeError(f"{where}.text.max_tokens must be >= 4, got {self.text.max_tokens}")
        if self.image.model == "cnn" and not self.image.trainable:
            raise RecipeError(f"{where}.image.model=cnn starts from nothing; set {where}.image.trainable=true")
        for name in ("words", "tokens"):
            if not 0 <= getattr(self.augment, name) < 1:
                raise RecipeError(f"{where}.augment.{name} must be in [0, 1), got {getattr(self.augment, name)}")
        if not 0 <= self.augment.images <= 1:
            raise RecipeError(f"{where}.augment.images must be in [0, 1], got {self.augment.images}")
        if self.augment.views < 1:
            raise RecipeError(f"{where}.augment.views must be >= 1, got {self.augment.views}")
        if not 16 <= self.image.size <= 1024:
            raise RecipeError(f"{where}.image.size must be 16 to 1024 pixels, got {self.image.size}")

    def _positive(self, where: str, *names: str) -> None:
        for name in names:
            if getattr(self, name) <= 0:
                raise RecipeError(f"{where}.{name} must be > 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class Asymmetric:
    """Focusing of positives and negatives, both >= 0, and the probability under which negatives count nothing."""

    gamma_positive: float
    gamma_negative: float
    clip: float


@dataclass(frozen=True)
class TeacherConfig(ModelConfig):
    """`folds` >= 2 also trains that many fold models, for out-of-fold thresholds and figures; 0 does not.

    `balance` lets rare labels weigh more: "alpha" takes a focal alpha for each label from its count, "class" weighs
    whole labels by their effective number of positives.
    """

    folds: int
    loss: Literal["focal", "asymmetric"]
    balance: Literal["none", "alpha", "class"]
    asymmetric: Asymmetric

    def __post_init__(self) -> None:
        self.check("teacher")
        a = self.asymmetric
        if a.gamma_positive < 0 or a.gamma_negative < 0 or not 0 <= a.clip < 1:
            raise RecipeError(f"teacher.asymmetric needs gammas >= 0 and clip in [0, 1), got {a}")
        if self.loss == "asymmetric" and self.balance == "alpha":
            raise RecipeError('teacher.balance=alpha belongs to loss="focal"; with "asymmetric" take none or class')
        if self.folds == 1 or self.folds < 0:
            raise RecipeError(f"teacher.folds must be 0 or >= 2, got {self.folds}")


@dataclass(frozen=True)
class DistillConfig:
    """Weights >= 0 of the terms of a student's loss: the `labels`, the teacher's `soft` logits at this
    `temperature`, its `text` and `image` features, and the `relations` between labels."""

    temperature: float
    labels: float
    soft: float
    text: float
    image: float
    relations: float

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise RecipeError(f"student.distill.temperature must be > 0, got {self.temperature}")
        weights = {name: getattr(self, name) for name in ("labels", "soft", "text", "image", "relations")}
        for name, weight in weights.items():
            if weight < 0:
                raise RecipeError(f"student.distill.{name} must be >= 0, got {weight}")
        if not any(weights.values()):
            raise RecipeError("student.distill has no weight above 0, so nothing would be learned")


@dataclass(frozen=True)
class StudentConfig(ModelConfig):
    """`out_of_fold` also trains a model for each of the teacher's folds, for thresholds and figures."""

    out_of_fold: bool
    distill: DistillConfig

    def __post_init__(self) -> None:
        self.check("student")
        if (self.head.fusion, self.head.uses) != ("concat", "both"):
            raise RecipeError(
                f"student.head: fusion={self.head.fusion} and uses={self.head.uses} are for teachers; a student "
                'has fusion="concat" and uses="both", and answers without a text or an image all the same'
            )
        if self.distill.image > 0 and not self.image.trainable:
            raise RecipeError(
                f"student.distill.image={self.distill.image} matches features of a frozen tower, which cannot "
                "learn them; set student.image.trainable=true, or the weight to 0"
            )


@dataclass(frozen=True)
class FinetuneConfig:
    """Training on in int8 arithmetic."""

    epochs: int
    learning_rate: float

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise RecipeError(f"finetune.epochs must be >= 1, got {self.epochs}")
        if self.learning_rate <= 0:
            raise RecipeError(f"finetune.learning_rate must be > 0, got {self.learning_rate}")


@dataclass(frozen=True)
class CardConfig:
    """What a Bundle's card says that nobody can measure; "" where it is not known."""

    name: str
    license: str
    language: str
    dataset: str


@dataclass(frozen=True)
class ExportConfig:
    """`max_drift` bounds |logit difference| torch to fp32 ONNX, `min_int8_share` the int8 share of the text
    tower's weights and of its multiply-accumulates, and `max_f1_drop` what quantising may cost in micro-F1 on dev.

    "auto" tries every way that there is and ships the best on this machine. `allow_slower` lets a file ship that is
    no smaller or no faster than fp32.
    """

    max_drift: float
    min_int8_share: float
    max_f1_drop: float
    matrices: Literal["auto", "dynamic"]
    convolutions: Literal["auto", "int8", "float"]
    calibration: Literal["auto", "minmax", "entropy", "percentile"]
    calibration_examples: int
    allow_slower: bool
    card: CardConfig

    def __post_init__(self) -> None:
        if self.max_drift <= 0:
            raise RecipeError(f"export.max_drift must be > 0, got {self.max_drift}")
        if not 0 < self.min_int8_share <= 1:
            raise RecipeError(f"export.min_int8_share must be in (0, 1], got {self.min_int8_share}")
        if self.max_f1_drop < 0:
            raise RecipeError(f"export.max_f1_drop must be >= 0, got {self.max_f1_drop}")
        if self.calibration_examples < 1:
            raise RecipeError(f"export.calibration_examples must be >= 1, got {self.calibration_examples}")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run makes."""

    teacher: TeacherConfig
    student: StudentConfig
    finetune: FinetuneConfig
    export: ExportConfig

    @classmethod
    def load(cls, path: Path | None = None, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
        """The packaged defaults, then `path`, then overrides, "teacher.epochs=12" or {"teacher.epochs": 12}. Raises
        RecipeError for a key that there is not."""
        tree = read_toml(recipes_folder() / "meme.toml")
        if path is not None:
            merge_table(tree, read_toml(path), str(path))
        if isinstance(overrides, Mapping):
            for key, value in overrides.items():
                merge_table(tree, nested(key, value), key)
        else:
            for override in overrides:
                merge_table(tree, parse_override(override), f"--set {override}")
        return build_dataclass(cls, tree, "recipe")


def override_config(config: C, overrides: Sequence[str], where: str) -> C:
    """The same settings under `key=value` overrides whose keys are a whole recipe's: teacher.epochs=12, where
    `where` is "teacher"."""
    tree = {where: dataclasses.asdict(config)}
    for override in overrides:
        merge_table(tree, parse_override(override), f"--set {override}")
    return build_dataclass(type(config), tree[where], where)


def recipes_folder() -> Path:
    """Where the recipes stand: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"
