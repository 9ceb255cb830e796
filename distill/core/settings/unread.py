"""Settings that were asked for and change nothing: of another command, or switched off by another setting."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from distill.core.settings.model_config import OTHER, ModelConfig

if TYPE_CHECKING:
    from distill.core.settings.recipe import ExportConfig, StudentConfig, TeacherConfig

SHARED = ("data", "labels", "tracking")  # the tables that every command reads
LOADED = ("model", "weights", "ngrams")  # of an encoder that is left out, what has to be right all the same
RATES = ("learning_rate", "head_learning_rate", "patience")
SCHEDULE = ("optimizer", "warmup_epochs", "constant_epochs", "decay_per_epoch", "weight_decay")
STEPS = (
    "batch_size",
    "monitor",
    "precision",
    "head.dropout",
    "head.modality_dropout",
    "focal.gamma",
    "focal.alpha",
)
ONLY_TRAINING = (*RATES, *SCHEDULE, *STEPS)  # what a head that is fitted once does not read

Unread = Mapping[str, str]  # keys such as "teacher.asymmetric.clip", and why they change nothing
Rules = Iterator[tuple[str, str]]

IN_SEARCH: Unread = {"student.out_of_fold": "candidates are judged out of fold"}


def find_unread(
    keys: Iterable[str], reads: Collection[str], configs: Mapping[str, Any], more: Unread = MappingProxyType({})
) -> dict[str, str]:
    """Those of `keys` that change nothing in a command that `reads` these tables of the recipe, whose settings are
    `configs`, and why; `more` are others that it does not read."""
    rules: dict[str, str] = {}
    for name, config in configs.items():
        for key, why in _rules_of(name, config):
            rules.setdefault(f"{name}.{key}", f"{name}.{why}")
    found = {}
    for key in keys:
        if key.partition(".")[0] not in (*reads, *SHARED):
            found[key] = f"this command reads {' and '.join(f'{table}.*' for table in reads)}"
        elif key in more or key in rules:
            found[key] = more.get(key) or rules[key]
    return found


def warn_of_unread(found: Unread, source: str = "") -> None:
    """Warn of settings that change nothing, one line a reason; `source` is the file or the option they are of."""
    if not found:
        return
    # Imported here, as --help reads this module and needs none of rich.
    from distill.core.output.terminal import warn

    for why in dict.fromkeys(found.values()):
        keys = [key for key in found if found[key] == why]
        warn(f"{source}{', '.join(keys)} change{'s' if len(keys) == 1 else ''} nothing: {why}")


def unread_in_export(precision: str, runtime: str) -> Unread:
    """The settings that an export to this precision, for this runtime, does not read."""
    keys: tuple[str, ...]
    if precision == "fp32":
        of_int8 = (
            "min_int8_share",
            "max_f1_drop",
            "matmuls",
            "convolutions",
            "calibration",
            "calibration_examples",
        )
        keys, why = (*of_int8, "allow_slower"), "neither --int8 nor --int4 is given"
    elif runtime == "openvino":
        keys, why = ("matmuls", "calibration"), "NNCF quantises for OpenVINO"
    elif precision == "int4":
        keys, why = ("matmuls",), "4-bit products have one way"
    else:
        return {}
    return {f"export.{key}": why for key in keys}


def _rules_of(name: str, config: Any) -> Rules:
    if isinstance(config, ModelConfig):
        yield from _of_model(config)
    if name == "teacher":
        yield from _of_teacher(config)
    elif name == "student":
        yield from _of_student(config)
    elif name == "export":
        yield from _of_export(config)


def _of_model(config: ModelConfig) -> Rules:
    text, augment, head = config.text, config.augment, config.head
    if other := OTHER.get(head.modalities):
        why = f"head.modalities={head.modalities} leaves that encoder out"
        tower = getattr(config, other)
        checked = LOADED if tower.pretrained else (*LOADED, "trainable")
        yield from ((f"{other}.{key}", why) for key in vars(tower) if key not in checked)
        yield "head.modality_dropout", f"head.modalities={head.modalities} leaves one modality"
        rates = {"text": ("word_edit_rate", "token_mask_rate"), "image": ("image_strength", "image_views")}[other]
        yield from ((f"augment.{key}", f"head.modalities={head.modalities} reads no {other}") for key in rates)
    if not text.static:
        yield "text.static_width", "text.model is no static: encoder"
    if text.ngrams == "only":
        keys = ("trainable", "static_width") if text.static else ("trainable", "pooling")
        yield from ((f"text.{key}", "text.ngrams=only has no encoder") for key in keys)
    if "/" in config.image.model or not config.image.pretrained:
        yield "image.weights", "image.model is none of torchvision's"
    if config.epochs == 0:  # the rest is read where such a run is trained on, by retrain or finetune-int8
        yield from ((key, "epochs=0 fits the head once and trains nothing") for key in RATES)
    elif not config.fine_tunes:
        yield "learning_rate", "head_learning_rate is that of all that is trained here"
    if augment.image_strength == 0:
        yield "augment.image_views", "augment.image_strength=0 changes no image"
    elif config.image.trainable:
        yield "augment.image_views", "image.trainable=true sees new views in each epoch"


def _of_teacher(config: TeacherConfig) -> Rules:
    other = config.focal if config.loss == "asymmetric" else config.asymmetric
    yield from ((f"{type(other).__name__.lower()}.{key}", f"loss={config.loss}") for key in vars(other))
    if config.class_weights == "focal_alpha":
        yield "focal.alpha", "class_weights=focal_alpha takes it from the labels' counts"


def _of_student(config: StudentConfig) -> Rules:
    if config.distill.soft_targets == 0:
        yield "distill.temperature", "distill.soft_targets=0"


def _of_export(config: ExportConfig) -> Rules:
    if (config.matmuls, config.convolutions) == ("dynamic", "float"):
        yield "calibration", "matmuls=dynamic with convolutions=float calibrates nothing"
